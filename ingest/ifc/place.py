"""What a model says about its place on the earth, as plain facts; `ingest.georeference` judges them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cim.errors import CrsError
from ingest.ifc.properties import text
from ingest.stated import Conversion, Geodetic

# Names of units in property sets, metres.
_UNITS = {
    "METRE": 1.0, "METER": 1.0, "M": 1.0, "MILLIMETRE": 0.001, "MILLIMETER": 0.001, "MM": 0.001, "CENTIMETRE": 0.01,
    "CENTIMETER": 0.01, "CM": 0.01, "FOOT": 0.3048, "FEET": 0.3048, "FT": 0.3048, "US SURVEY FOOT": 1200 / 3937,
}  # fmt: skip
_FACTORS = ("FactorX", "FactorY", "FactorZ")


def conversion_of(model: Any, length_unit: float) -> Conversion | None:
    """Return the coordinate operation of a model: entities (IFC4 on) or property sets (IFC2X3); None without.

    Parameters
    ----------
    model : ifcopenshell.file
    length_unit : metres per length unit of the project

    Raises
    ------
    CrsError : a property set says it in words that are no number or unit.
    """
    if model.schema == "IFC2X3":
        return _from_property_sets(model, length_unit)
    operations = model.by_type("IfcCoordinateOperation")
    for operation in operations:
        if operation.is_a("IfcMapConversion"):
            return _from_map_conversion(model, operation, length_unit)
        if operation.is_a("IfcRigidOperation"):
            return _from_rigid_operation(operation, length_unit)
    return None


def count_operations(model: Any) -> int:
    """Return how many different coordinate operations a model has; more than one calls for a warning."""
    if model.schema == "IFC2X3":
        return 0
    return len({str(o).partition("=")[2] for o in model.by_type("IfcCoordinateOperation")})


def geodetic_of(site: Any | None, length_unit: float) -> Geodetic | None:
    """Return latitude, longitude and elevation of a site and where they are in the model; None if not given.

    Zero north, zero east is an untouched default and counts as not given.
    """
    import ifcopenshell.util.placement

    if site is None or not site.RefLatitude or not site.RefLongitude:
        return None
    latitude, longitude = degrees(site.RefLatitude), degrees(site.RefLongitude)
    if (latitude == 0 and longitude == 0) or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    origin = (0.0, 0.0, 0.0)
    placement = site.ObjectPlacement
    if placement is not None and placement.is_a("IfcLocalPlacement"):
        matrix = ifcopenshell.util.placement.get_local_placement(placement)
        x, y, z = (float(v) * length_unit for v in matrix[:3, 3])
        origin = (x, y, z)
    elevation = site.RefElevation
    return Geodetic(
        longitude=longitude,
        latitude=latitude,
        elevation=None if elevation is None else float(elevation) * length_unit,
        origin=origin,
        resolution=max(resolution_of(site.RefLatitude), resolution_of(site.RefLongitude)),
    )


def degrees(parts: tuple[int, ...]) -> float:
    """Return decimal degrees of an IfcCompoundPlaneAngleMeasure: degrees, minutes, seconds, millionths.

    Every part carries its own sign, so the parts are summed: (-71, -3, -24) lies west and south of zero.
    """
    scales = (1, 60, 3600, 3_600_000_000)
    return sum(part / scale for part, scale in zip(parts, scales, strict=False))


def resolution_of(parts: tuple[int, ...]) -> float:
    """Return half a unit of the last place that is not zero, in degrees: half a second for (50, 5, 13, 0)."""
    scales = (1.0, 60.0, 3600.0, 3_600_000_000.0)
    given = [(abs(part), scale) for part, scale in zip(parts, scales, strict=False) if part]
    if not given:
        return 0.5
    part, scale = given[-1]
    zeros = len(str(part)) - len(str(part).rstrip("0")) if scale == scales[3] else 0
    return float(0.5 * 10.0**zeros / scale)


def true_north_of(model: Any) -> tuple[float, float]:
    """Return the direction of north in the plane of the model, a unit vector; (0, 1) if it is not given."""
    for context in model.by_type("IfcGeometricRepresentationContext", include_subtypes=False):
        if context.TrueNorth is not None and context.ContextType in (None, "Model"):
            x, y = context.TrueNorth.DirectionRatios[:2]
            length = math.hypot(x, y)
            if length > 0:
                return x / length, y / length
    return 0.0, 1.0


def _from_map_conversion(model: Any, operation: Any, length_unit: float) -> Conversion:
    target = operation.TargetCRS
    factor_x, factor_y, factor_z = (float(getattr(operation, name, None) or 1.0) for name in _FACTORS)
    return Conversion(
        source=operation.is_a(),
        length_unit=length_unit,
        map_unit=_map_unit(target),
        crs_name=_crs_name(target),
        crs_wkt=_wkt_of(target),
        eastings=float(operation.Eastings),
        northings=float(operation.Northings),
        height=float(operation.OrthogonalHeight or 0.0),
        angle=_angle(operation.XAxisAbscissa, operation.XAxisOrdinate),
        scale=operation.Scale,
        factors=(factor_x, factor_y, factor_z),
        world=_world_coordinate_system(model, length_unit),
    )


def _from_rigid_operation(operation: Any, length_unit: float) -> Conversion | None:
    first, second = operation.FirstCoordinate, operation.SecondCoordinate
    if first.is_a("IfcPlaneAngleMeasure") or second.is_a("IfcPlaneAngleMeasure"):
        return None
    target = operation.TargetCRS
    return Conversion(
        source=operation.is_a(),
        length_unit=length_unit,
        map_unit=_map_unit(target),
        crs_name=_crs_name(target),
        crs_wkt=_wkt_of(target),
        eastings=float(first.wrappedValue),
        northings=float(second.wrappedValue),
        height=float(operation.Height or 0.0),
    )


def _from_property_sets(model: Any, length_unit: float) -> Conversion | None:
    import ifcopenshell.util.element

    for entity in (*model.by_type("IfcProject"), *model.by_type("IfcSite")):
        sets = {name.casefold(): values for name, values in ifcopenshell.util.element.get_psets(entity).items()}
        values = sets.get("epset_mapconversion")
        if not values or values.get("Eastings") is None or values.get("Northings") is None:
            continue
        crs = sets.get("epset_projectedcrs", {})
        return Conversion(
            source="ePSet_MapConversion",
            length_unit=length_unit,
            map_unit=_named_unit(text(crs.get("MapUnit"))),
            crs_name=text(crs.get("Name")) or text(values.get("TargetCRS")),
            eastings=_number(values, "Eastings") or 0.0,
            northings=_number(values, "Northings") or 0.0,
            height=_number(values, "OrthogonalHeight") or 0.0,
            angle=_angle(_number(values, "XAxisAbscissa"), _number(values, "XAxisOrdinate")),
            scale=_number(values, "Scale"),
            world=_world_coordinate_system(model, length_unit),
        )
    return None


def _number(values: Mapping[str, Any], name: str) -> float | None:
    """Return a number of the property set, which text may hold, too."""
    value = values.get(name)
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        raise CrsError(f"ePSet_MapConversion says {name} {value!r}, which is no number") from None


def _angle(abscissa: float | None, ordinate: float | None) -> float:
    # The vector need not have unit length, and rounding may have left it none at all.
    x, y = float(abscissa or 0.0), float(ordinate or 0.0)
    return math.atan2(y, x) if x or y else 0.0


def _crs_name(target: Any) -> str | None:
    return text(getattr(target, "Name", None))


def _wkt_of(target: Any) -> str | None:
    for relation in getattr(target, "WellKnownText", None) or ():
        if relation.is_a("IfcWellKnownText"):
            return text(relation.WellKnownText)
    return None


def _map_unit(target: Any) -> float | None:
    import ifcopenshell.util.unit

    unit = getattr(target, "MapUnit", None)
    return None if unit is None else float(ifcopenshell.util.unit.get_unit_scale(unit))


def _named_unit(name: str | None) -> float | None:
    if name is not None and name.upper() not in _UNITS:
        raise CrsError(f"ePSet_ProjectedCRS says MapUnit {name!r}, which is not known")
    return None if name is None else _UNITS[name.upper()]


def _world_coordinate_system(model: Any, length_unit: float) -> tuple[float, float, float, float]:
    """Return x, y, z (metres) and rotation (radians) of the origin that a map conversion starts from."""
    import ifcopenshell.util.geolocation

    matrix = ifcopenshell.util.geolocation.get_wcs(model)
    if matrix is None:
        return 0.0, 0.0, 0.0, 0.0
    x, y, z = (float(v) * length_unit for v in matrix[:3, 3])
    return x, y, z, math.atan2(float(matrix[1, 0]), float(matrix[0, 0]))
