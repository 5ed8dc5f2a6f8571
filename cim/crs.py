"""Coordinate reference systems: the only module that touches PROJ.

PROJ is lenient where a cadastre must not be: without a known datum change it returns coordinates as they came, it
takes operations made for another area, and it projects points far outside a zone. Everything here asks for x
before y (east before north), forbids such "ballpark" steps, always names the area of the data, and checks
results against the area a system is made for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from pyproj.aoi import AreaOfInterest
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import AzimuthalEquidistantConversion
from pyproj.exceptions import CRSError as ProjCrsError
from pyproj.exceptions import ProjError

from cim.errors import CrsError, OutsideArea

Bounds = tuple[float, float, float, float]
Geometries = npt.NDArray[np.object_]

# Datums without published parameters to any other: EPSG code of the geographic system, and the names it goes by.
# A WKT with parameters of its own (a bound CRS) is taken.
_CLOSED_DATUMS = {4214: ("beijing1954", "beijing54"), 4610: ("xian1980", "xian80")}
# Names and EPSG codes of the parameters of method 9606.
_POSITION_VECTOR = (
    ("X-axis translation", 8605),
    ("Y-axis translation", 8606),
    ("Z-axis translation", 8607),
    ("X-axis rotation", 8608),
    ("Y-axis rotation", 8609),
    ("Z-axis rotation", 8610),
    ("Scale difference", 8611),
)
# Data of a city may reach a little beyond the zone its storage system is made for: half a 3-degree zone.
_MARGIN_DEGREES = 1.5


def parse(text: str | int | pyproj.CRS) -> pyproj.CRS:
    """Return the CRS that an EPSG code, URN, name, PROJ string or WKT denotes.

    Raises
    ------
    CrsError : PROJ does not know it.
    """
    return text if isinstance(text, pyproj.CRS) else _parsed(text)


@lru_cache(maxsize=256)
def _parsed(text: str | int) -> pyproj.CRS:
    try:
        return pyproj.CRS.from_user_input(int(text) if str(text).isdecimal() else text)
    except ProjCrsError as error:
        raise CrsError(
            f"{text!r} is not a coordinate reference system PROJ knows; give an EPSG code (EPSG:4548) or WKT"
        ) from error


def name(crs: pyproj.CRS) -> str:
    """Return how to call a CRS in a message: authority code if it has one, and its name."""
    authority = crs.to_authority()
    return f"{':'.join(authority)} ({crs.name})" if authority else crs.name


def same(first: pyproj.CRS, second: pyproj.CRS) -> bool:
    """Tell whether coordinates in x, y order mean the same in both systems."""
    return bool(first.equals(second, ignore_axis_order=True))


def same_datum(first: pyproj.CRS, second: pyproj.CRS) -> bool:
    """Tell whether both stand on one datum, so that the way between them is exact."""
    one, other = first.geodetic_crs, second.geodetic_crs
    if one is None or other is None or first.is_bound or second.is_bound:
        return False
    return _same_datum(one.to_wkt(), other.to_wkt())


@lru_cache(maxsize=64)
def _same_datum(one: str, other: str) -> bool:
    # PROJ looks up all names of both datums, which takes long.
    return one == other or bool(pyproj.CRS(one).datum == pyproj.CRS(other).datum)


def check_storage(crs: pyproj.CRS) -> None:
    """Refuse a system that a city cannot be kept in: coordinates are planar metres, on a grid of 1 mm.

    Raises
    ------
    CrsError : degrees, feet, a third axis, or the projection of web maps, which stretches areas (EPSG method 1024).
    """
    method = crs.coordinate_operation.method_code if crs.coordinate_operation is not None else None
    planar = crs.is_projected and not crs.is_compound and len(crs.axis_info) == 2
    if not planar or any(axis.unit_conversion_factor != 1.0 for axis in crs.axis_info) or method == "1024":
        raise CrsError(
            f"{name(crs)} cannot be the storage CRS: areas and distances must be planar, in metres; set CIM_SRID to a"
            " projected system of the city's zone, such as 4548"
        )


def horizontal(crs: pyproj.CRS) -> pyproj.CRS:
    """Return the horizontal part of a compound or three-dimensional CRS, and any other CRS as it is."""
    if crs.is_compound:
        return horizontal(crs.sub_crs_list[0])
    return crs.to_2d() if len(crs.axis_info) == 3 and not crs.is_bound else crs


def with_parameters(system: pyproj.CRS, parameters: Sequence[float], target: pyproj.CRS) -> pyproj.CRS:
    """Return the system bound to the datum of `target` by parameters that a survey office gives for its area.

    Parameters
    ----------
    system : such as Beijing 1954 or Xian 1980, geographic or projected; its horizontal part is taken
    parameters : 3 translations in metres, or also 3 rotations in arc seconds (position vector convention, as PROJ's
        `towgs84`: of the other, coordinate frame, the signs are turned) and a scale difference in parts per million
    target : stands on the datum the parameters lead to

    Raises
    ------
    CrsError : another number of parameters, not finite or beyond any real datum shift, or a system that has some.
    """
    if len(parameters) not in (3, 7) or not np.isfinite(parameters).all():
        raise CrsError(
            f"parameters of a datum change are 3 or 7 numbers, got {len(parameters)}: translations in m, rotations in"
            " arc seconds (position vector), scale in ppm"
        )
    # The largest published shift of any datum is below 2 km, 100 seconds and 100 ppm (EPSG dataset): beyond it units
    # or order are wrong.
    if max(map(abs, parameters[:3])) > 5000 or max(map(abs, parameters[3:]), default=0) > 200:
        raise CrsError(
            f"parameters {', '.join(f'{p:g}' for p in parameters)} move further than any datum change: give"
            " translations in m, rotations in arc seconds, scale in ppm, in this order"
        )
    plain = horizontal(system)
    if plain.is_bound:
        raise CrsError(f"{name(plain)} brings parameters of its own; give them once")
    values = [*parameters, *[0.0] * (7 - len(parameters))]
    values[6] = 1 + values[6] * 1e-6
    listed = ",".join(
        f'PARAMETER["{label}",{value!r},ID["EPSG",{code}]]'
        for (label, code), value in zip(_POSITION_VECTOR, values, strict=True)
    )
    method = 'METHOD["Position Vector transformation (geog2D domain)",ID["EPSG",9606]]'
    return pyproj.CRS.from_wkt(
        f"BOUNDCRS[SOURCECRS[{plain.to_wkt()}],TARGETCRS[{geographic_of(target).to_wkt()}],"
        f'ABRIDGEDTRANSFORMATION["parameters given",{method},{listed}]]'
    )


def vertical(system: pyproj.CRS) -> str | None:
    """Return what a system says heights are measured from, None where it says nothing."""
    if not system.is_compound:
        return f"ellipsoid of {system.name}" if len(system.axis_info) == 3 else None
    found = [part for part in system.sub_crs_list if part.is_vertical]
    return name(found[0]) if found else None


def transform(geometries: Geometries, source: pyproj.CRS, target: pyproj.CRS) -> Geometries:
    """Return the geometries in the target system; the input stays as it is.

    Parameters
    ----------
    geometries : array of shapely geometries in `source`, x before y; None and empty stay None and empty
    source, target : any CRS of two axes or more; of both the horizontal part

    Returns
    -------
    array of geometries of x and y alone, same order; the very same array where both systems are the same.

    Raises
    ------
    CrsError : no operation between the two is known for this area, a datum has no published parameters, or a
        coordinate has no image in the target.
    """
    source, target = horizontal(source), horizontal(target)
    if same(source, target):
        return geometries
    moved = transform_coordinates(shapely.get_coordinates(geometries), source, target)
    result: Geometries = shapely.set_coordinates(np.array(geometries, dtype=object), moved)
    return result


def transform_coordinates(
    coordinates: npt.NDArray[np.float64],
    source: pyproj.CRS,
    target: pyproj.CRS,
    area_of_interest: Bounds | None = None,
) -> npt.NDArray[np.float64]:
    """Return coordinates, one (x, y) a row, in the target system; see `transform`.

    `area_of_interest` is west, south, east, north in degrees; computed from the data where not given.
    """
    source, target = horizontal(source), horizontal(target)
    if same(source, target):
        return coordinates
    _refuse_closed(source, target)
    if len(coordinates) == 0:
        return coordinates
    if area_of_interest is None:
        area_of_interest = geographic_bounds(extent(coordinates), source)
    if same_datum(source, target):
        area_of_interest = None  # there is one way, wherever it is
    transformer = _transformer(source.to_wkt(), target.to_wkt(), area_of_interest)
    try:
        return np.column_stack(transformer.transform(coordinates[:, 0], coordinates[:, 1], errcheck=True))
    except ProjError as error:
        raise CrsError(
            f"coordinates between {_range(coordinates)} cannot be transformed from {name(source)} to"
            f" {name(target)}: {error}; check the CRS the source states, or correct it with --assume-crs"
        ) from error


def accuracy(source: pyproj.CRS, target: pyproj.CRS, area_of_interest: Bounds) -> float | None:
    """Return the stated accuracy of the transformation in metres: 0.0 without datum change, None if unstated.

    Raises
    ------
    CrsError : as `transform`.
    """
    source, target = horizontal(source), horizontal(target)
    if same(source, target):
        return 0.0
    _refuse_closed(source, target)
    transformer = _transformer(source.to_wkt(), target.to_wkt(), area_of_interest)
    west, south, east, north = area_of_interest
    value = _operation(transformer, *_to_projection(source, (west + east) / 2, (south + north) / 2)).accuracy
    return None if value is None or value < 0 else float(value)


def way(source: pyproj.CRS, target: pyproj.CRS) -> str:
    """Return the operation between two systems in the area of the target, as PROJ defines it with the grids it has.

    Raises
    ------
    CrsError : as `transform`.
    """
    source, target = horizontal(source), horizontal(target)
    if same(source, target):
        return "none"
    _refuse_closed(source, target)
    area = area_of(target)
    transformer = _transformer(source.to_wkt(), target.to_wkt(), None if same_datum(source, target) else area)
    if area is None:
        return str(transformer.definition)
    west, south, east, north = area
    return str(_operation(transformer, *_to_projection(source, (west + east) / 2, (south + north) / 2)).definition)


def _operation(transformer: pyproj.Transformer, x: float, y: float) -> pyproj.Transformer:
    """Return the operation that is used at a place: PROJ decides among several only when it meets a coordinate."""
    transformer.transform(x, y)
    try:
        return transformer.get_last_used_operation()
    except ProjError:  # there is but one
        return transformer


def geographic_bounds(bounds: Bounds, crs: pyproj.CRS) -> Bounds:
    """Return west, south, east, north in degrees, on the system's own datum, of bounds given in it.

    Raises
    ------
    OutsideArea : the bounds have no place on the earth in this system.
    """
    crs = horizontal(crs)
    _check_degrees(bounds, crs)
    if crs.is_geographic:
        return bounds
    # No errcheck: it fails for sound bounds of some Lambert systems (EPSG:2277); what has no place comes as inf.
    result = _geographic(crs.to_wkt()).transform_bounds(*bounds)
    if not np.isfinite(result).all():
        raise OutsideArea(f"coordinates between {_span(bounds)} have no place in {name(crs)}")
    west, south, east, north = (float(v) for v in result)
    return west, south, east, north


def check_envelope(bounds: Bounds, crs: pyproj.CRS) -> None:
    """Refuse bounds that do not lie in the area the CRS is made for, with a margin of 1.5 degrees.

    Parameters
    ----------
    bounds : minimum x, minimum y, maximum x, maximum y, in `crs`, x before y
    crs : the system the data claims; one without a stated area of use passes if its degrees are degrees

    Raises
    ------
    OutsideArea : degrees beyond the globe, or bounds outside the area of use: the sign of a wrong statement.
    """
    crs = horizontal(crs)
    west, south, east, north = geographic_bounds(bounds, crs)
    area = area_of(crs)
    if area is None:
        return
    least_x, least_y, most_x, most_y = area
    outside = south < least_y - _MARGIN_DEGREES or north > most_y + _MARGIN_DEGREES
    if least_x <= most_x:
        outside |= west < least_x - _MARGIN_DEGREES or east > most_x + _MARGIN_DEGREES
    if outside:
        raise OutsideArea(
            f"coordinates between {_span(bounds)} lie at {_span((west, south, east, north))} degrees, outside the"
            f" area of {name(crs)} ({_span(area)}); if the source states a wrong CRS, say the right one"
            " with --assume-crs, or choose another storage CRS (CIM_SRID)"
        )


def inside(boxes: npt.NDArray[np.float64], crs: pyproj.CRS) -> npt.NDArray[np.bool_]:
    """Tell for each box (a row of minimum x, minimum y, maximum x, maximum y) if its middle lies in the area.

    The same test as `check_envelope`, object by object; large objects may reach out, and one with a corner far away has
    its middle far away. A box of NaN (empty geometry) counts as inside.
    """
    crs = horizontal(crs)
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    missing = np.isnan(x)
    if not crs.is_geographic:
        x, y = _geographic(crs.to_wkt()).transform(x, y)
    west, south, east, north = area_of(crs) or (-180.0, -90.0, 180.0, 90.0)
    if west > east:  # an area across the 180th meridian
        west, east = -180.0, 180.0
    margin = 0.0 if area_of(crs) is None else _MARGIN_DEGREES
    within = (
        (np.maximum(west - margin, -180) <= x)
        & (x <= np.minimum(east + margin, 180))
        & (np.maximum(south - margin, -90) <= y)
        & (y <= np.minimum(north + margin, 90))
    )
    result: npt.NDArray[np.bool_] = missing | within
    return result


def area_of(crs: pyproj.CRS) -> Bounds | None:
    """Return the area a system is made for, west, south, east, north in degrees; None where it states none.

    With parameters of its own, it is that of the system they belong to.
    """
    area = crs.source_crs.area_of_use if crs.is_bound and crs.source_crs is not None else crs.area_of_use
    return None if area is None else area.bounds


def covers(crs: pyproj.CRS, longitude: float, latitude: float) -> bool:
    """Tell whether a point (degrees) lies in the area a system is made for, with a margin of 1.5 degrees."""
    area = area_of(horizontal(crs))
    if area is None:
        return True
    west, south, east, north = area
    within = south - _MARGIN_DEGREES <= latitude <= north + _MARGIN_DEGREES
    if west <= east:
        within &= west - _MARGIN_DEGREES <= longitude <= east + _MARGIN_DEGREES
    return within


def local_plane(system: pyproj.CRS, longitude: float, latitude: float) -> pyproj.CRS:
    """Return the plane in metres that touches the earth at a point (degrees) on the datum of `system`.

    Azimuthal equidistant: true to scale along every line through the point, to 1e-9 within a few kilometres.
    """
    plane = json.loads(_plane_at_zero(geographic_of(system).to_wkt()))
    for parameter, value in zip(plane["conversion"]["parameters"], (latitude, longitude), strict=False):
        parameter["value"] = value
    return pyproj.CRS.from_json_dict(plane)


@lru_cache(maxsize=16)
def _plane_at_zero(geographic: str) -> str:
    """Return the local plane at 0, 0 as PROJJSON: to make one, PROJ looks up all names of a datum, which takes long."""
    conversion = AzimuthalEquidistantConversion(latitude_natural_origin=0, longitude_natural_origin=0)
    return ProjectedCRS(conversion, "local plane", geodetic_crs=geographic).to_json()


def geographic_of(crs: pyproj.CRS) -> pyproj.CRS:
    """Return the geographic system (degrees, two axes) on whose datum a CRS stands.

    Raises
    ------
    CrsError : it stands on none (an engineering CRS).
    """
    plain = horizontal(crs)
    if plain.geodetic_crs is None:
        raise CrsError(f"{name(crs)} has no place on the earth; give a projected or geographic CRS")
    return horizontal(plain.geodetic_crs)


def _refuse_closed(source: pyproj.CRS, target: pyproj.CRS) -> None:
    closed_source, closed_target = _closed(source), _closed(target)
    if closed_source != closed_target:
        refused = source if closed_source else target
        raise CrsError(
            f"{name(source)} to {name(target)}: the datum of {name(refused)} has no published parameters to any"
            " other (they are local); give those of your survey office with --crs-parameters, or as WKT or PROJ text"
            " with --assume-crs"
        )


def _closed(crs: pyproj.CRS) -> int | None:
    """Return the EPSG code of the closed datum's geographic system that `crs` stands on, or None."""
    geodetic = None if crs.is_bound else crs.geodetic_crs
    if geodetic is None or geodetic.datum is None:
        return None
    spelled = "".join(c for c in geodetic.datum.name.lower().removeprefix("d_") if c.isalnum())
    for code, names in _CLOSED_DATUMS.items():
        if spelled in names:
            return code
    return None


@lru_cache(maxsize=64)
def _transformer(source: str, target: str, area: Bounds | None) -> pyproj.Transformer:
    try:
        return pyproj.Transformer.from_crs(
            source,
            target,
            always_xy=True,
            allow_ballpark=False,
            area_of_interest=None if area is None else AreaOfInterest(*area),  # type: ignore[arg-type] # two names of one class
        )
    except ProjError as error:
        first, second = pyproj.CRS(source), pyproj.CRS(target)
        where = "" if area is None else f" for {_span(area)} degrees"
        raise CrsError(
            f"no transformation from {name(first)} to {name(second)} is known{where}; if the"
            f" coordinates may count as another system's, say so: --assume-crs {_same_kind(first, second)}"
        ) from error


def _same_kind(source: pyproj.CRS, target: pyproj.CRS) -> str:
    """Name the target's geographic system where the source is geographic, else the target itself."""
    wanted = target.geodetic_crs if source.is_geographic and target.geodetic_crs is not None else target
    authority = wanted.to_authority()
    return ":".join(authority) if authority else wanted.name


@lru_cache(maxsize=64)
def _geographic(wkt: str) -> pyproj.Transformer:
    """Return the conversion from a projected system to degrees on its own datum: never a datum change."""
    crs = pyproj.CRS(wkt)
    plain = crs.source_crs if crs.is_bound and crs.source_crs is not None else crs
    if plain.geodetic_crs is None:
        raise CrsError(f"{name(crs)} has no place on the earth; give a projected or geographic CRS with --assume-crs")
    return pyproj.Transformer.from_crs(plain, plain.geodetic_crs, always_xy=True)


def _to_projection(crs: pyproj.CRS, longitude: float, latitude: float) -> tuple[float, float]:
    if crs.is_geographic:
        return longitude, latitude
    x, y = _geographic(crs.to_wkt()).transform(longitude, latitude, direction="INVERSE")
    return float(x), float(y)


def _check_degrees(bounds: Bounds, crs: pyproj.CRS) -> None:
    west, south, east, north = bounds
    if crs.is_geographic and (west < -180.0 or east > 360.0 or south < -90.0 or north > 90.0):
        raise OutsideArea(
            f"coordinates between {_span(bounds)} are no degrees, though the source states {name(crs)};"
            " say what they are with --assume-crs"
        )


def extent(coordinates: npt.NDArray[np.float64]) -> Bounds:
    """Return minimum x, minimum y, maximum x, maximum y of coordinates, one (x, y) a row, at least one; NaN aside."""
    x, y = coordinates[:, 0], coordinates[:, 1]
    return float(np.fmin.reduce(x)), float(np.fmin.reduce(y)), float(np.fmax.reduce(x)), float(np.fmax.reduce(y))


def _range(coordinates: npt.NDArray[Any]) -> str:
    return _span(extent(coordinates))


def _span(bounds: Bounds) -> str:
    west, south, east, north = bounds
    return f"{west:.7g}, {south:.7g} and {east:.7g}, {north:.7g}"
