"""From coordinates of a model to coordinates on the earth: which statement to believe, and the numbers of it.

A model may carry several statements of its place, of different worth (LoGeoRef levels): a map conversion
(50), its coordinates themselves (30), latitude and longitude of the site (20), an address (10). The operator's word
goes before all of them, a building of the city that it fits stands in where there is nothing better than a hint.

The accuracy stored with a building is an estimate in metres: the residual where the place was fitted, else what the
numbers that state it resolve (half a unit of their last decimal), together with the accuracy that PROJ gives for the
change to the storage CRS.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from shapely.affinity import affine_transform

from cim import crs as crs_module
from cim.errors import CrsError
from ingest.fit import Matrix, from_points
from ingest.stated import Conversion, Geodetic
from ingest.statement import Statement

# A stated scale this close to the ratio of the units holds; the rest is the grid scale of the projection.
_SCALE_TOLERANCE = 0.1
# Coordinates farther than this from the origin (metres) are map coordinates, not those of a drawing.
FAR = 100_000.0
# Names that authoring tools write and PROJ does not know: pattern of the name → EPSG code of zone 0.
_ALIASES: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"MGA\s?2020\b.*?zone\s*(\d{2})", re.IGNORECASE), 7800),
    (re.compile(r"MGA\s?94\b.*?zone\s*(\d{2})", re.IGNORECASE), 28300),
    (re.compile(r"CGCS\s?2000\b.*?3[\s-]degree\W+GK\W+zone\s*(\d{2})", re.IGNORECASE), 4488),
)
# What to call the method of each kind of statement.
_METHODS = {
    "IfcMapConversion": "map_conversion",
    "IfcMapConversionScaled": "map_conversion",
    "IfcRigidOperation": "rigid_operation",
    "ePSet_MapConversion": "property_set_map_conversion",
}
# Units that eastings are written in by mistake, metres.
_MISTAKEN_UNITS = {"millimetres": 0.001, "centimetres": 0.01, "feet": 0.3048, "inches": 0.0254}
# What latitude and longitude of a site are worth at best, metres (design): people take them from a map of the city.
HINT = 50.0
_METRES_PER_DEGREE = 111_195.0  # of a great circle on the mean radius of the earth, 6371.0 km


@dataclass(frozen=True, slots=True)
class Placement:
    """How outlines in metres of the model become outlines in `crs`: an affine map, then perhaps a projection.

    `matrix` is (a, b, d, e, xoff, yoff) as shapely takes it; its result is in `plane`. `elevation` is the
    height of the model's z = 0 above the datum in metres, `z_scale` metres of height per metre of the model.
    `level` is the LoGeoRef level, None where the place is not the model's own word; `accuracy` is an estimate in
    metres, None where there is none.
    """

    crs: Any
    plane: Any
    matrix: tuple[float, float, float, float, float, float]
    method: str
    level: int | None
    elevation: float | None = None
    z_scale: float = 1.0
    accuracy: float | None = None

    def place(self, outlines: Sequence[Any]) -> list[Any]:
        """Return the outlines (or None) in `crs`.

        Raises
        ------
        CrsError : one of them lies outside the area of the CRS, or cannot be transformed.
        """
        placed = np.array([None if o is None else affine_transform(o, self.matrix) for o in outlines], dtype=object)
        if any(outline is not None for outline in placed):
            bounds = shapely.total_bounds(placed)
            crs_module.check_envelope((bounds[0], bounds[1], bounds[2], bounds[3]), self.plane)
            placed = crs_module.transform(placed, self.plane, self.crs)
        return list(placed)

    def height_of(self, z: float) -> float | None:
        """Return the height above the datum, metres, of a height in the model; None where it is not known."""
        return None if self.elevation is None else self.elevation + self.z_scale * z


def reconcile_scale(stated: float | None, expected: float) -> tuple[float, str | None]:
    """Decide on the scale of a map conversion: map units per unit of the model.

    Parameters
    ----------
    stated : the Scale the model gives, None where it gives none
    expected : metres per unit of the model divided by metres per map unit

    Returns
    -------
    (scale to use, warning or None). Scale missing or 1 where the units differ means it was forgotten: the
    expected one is used. Within ten per cent of the expected one it holds, the rest being the grid scale.

    Raises
    ------
    CrsError : any other value; the message says when it is the reciprocal of the right one.

    Source
    ------
    IFC 4.3, IfcMapConversion.Scale.
    https://ifc43-docs.standards.buildingsmart.org/IFC/RELEASE/IFC4x3/HTML/lexical/IfcMapConversion.htm
    """
    if stated is None or stated == 1.0:
        said = "no Scale" if stated is None else "Scale 1"
        differs = abs(expected - 1) > 1e-4
        return expected, f"{said} though the units differ: {expected:.9g} is used" if differs else None
    if abs(stated / expected - 1) <= _SCALE_TOLERANCE:
        return stated, None
    hint = " (it is the reciprocal of it)" if abs(stated * expected - 1) <= _SCALE_TOLERANCE else ""
    raise CrsError(
        f"Scale is {stated:.9g}{hint}, but the units of model and map ask for {expected:.9g}; correct the"
        " model or give its place with --place"
    )


def from_conversion(conversion: Conversion, assumed_crs: Any | None = None) -> tuple[Placement, list[str]]:
    """Make a placement of a coordinate operation, and the warnings that go with it.

    Parameters
    ----------
    conversion : as the model states it
    assumed_crs : pyproj.CRS to take for the one it names, where the operator knows better

    Raises
    ------
    CrsError : the CRS is missing, unknown or not projected, or the scale cannot be.
    """
    crs = crs_module.horizontal(assumed_crs or _crs_of(conversion))
    if not crs.is_projected:
        raise CrsError(f"{crs_module.name(crs)} is not a projected CRS; give the place of the model with --place")
    axis = float(crs.axis_info[0].unit_conversion_factor)
    warnings = []
    map_unit = conversion.map_unit
    if map_unit is None:
        map_unit = axis
        warnings.append(f"no MapUnit; that of {crs_module.name(crs)} is taken, {axis:.9g} m")
    scale, warning = reconcile_scale(conversion.scale, conversion.length_unit / map_unit)
    if warning is not None:
        warnings.append(warning)
    to_axis = map_unit / axis
    per_metre = scale / conversion.length_unit * to_axis
    x, y, z, turned = conversion.world
    if any((x, y, z, turned)):
        warnings.append("the world coordinate system is not at the origin; the map conversion is taken from it")
    turn = conversion.angle - turned
    factor_x, factor_y, factor_z = conversion.factors
    a, d = per_metre * factor_x * math.cos(turn), per_metre * factor_x * math.sin(turn)
    b, e = -per_metre * factor_y * math.sin(turn), per_metre * factor_y * math.cos(turn)
    east = conversion.eastings * to_axis - (a * x + b * y)
    north = conversion.northings * to_axis - (d * x + e * y)
    z_scale = scale / conversion.length_unit * map_unit * factor_z
    placement = Placement(
        crs=crs,
        plane=crs,
        matrix=(a, b, d, e, east, north),
        method=_METHODS[conversion.source],
        level=50,
        elevation=conversion.height * map_unit - z_scale * z,
        z_scale=z_scale,
        accuracy=map_unit * max(resolution_of(conversion.eastings), resolution_of(conversion.northings)),
    )
    return placement, warnings


def mistaken_unit(conversion: Conversion, crs: Any) -> str | None:
    """Name the unit that, taken for eastings and northings, would put the model into the area of its CRS."""
    boxes = np.array([[conversion.eastings, conversion.northings] * 2], dtype=np.float64)
    axis = float(crs.axis_info[0].unit_conversion_factor)
    for name, metres in _MISTAKEN_UNITS.items():
        if crs_module.inside(boxes * metres / axis, crs)[0]:
            return name
    return None


def from_geodetic(
    point: Geodetic, north: tuple[float, float], system: Any, method: str, level: int | None, accuracy: float | None
) -> Placement:
    """Make a placement that puts one point of the model at a longitude and latitude.

    Parameters
    ----------
    point : the point in the model and on the earth
    north : direction of north in the model, a unit vector
    system : pyproj.CRS on whose datum the degrees are; outlines come in its geographic system
    method, level, accuracy : how the place was found; see `Placement`
    """
    plane = crs_module.local_plane(system, point.longitude, point.latitude)
    (x, y, z), (north_x, north_y) = point.origin, north
    # North becomes the y axis: rows are the directions of east and of north in the model.
    matrix = (north_y, -north_x, north_x, north_y, -(north_y * x - north_x * y), -(north_x * x + north_y * y))
    elevation = None if point.elevation is None else point.elevation - z
    return Placement(crs_module.geographic_of(system), plane, matrix, method, level, elevation, accuracy=accuracy)


def from_coordinates(crs: Any) -> Placement:
    """Make a placement of a model whose coordinates are those of `crs` already (projected, any unit)."""
    per_metre = 1 / float(crs.axis_info[0].unit_conversion_factor)
    return Placement(crs, crs, (per_metre, 0, 0, per_metre, 0, 0), "local_coordinates", 30, 0.0, accuracy=0.0)


def from_matrix(matrix: Matrix, crs: Any, method: str, height: float | None, accuracy: float | None) -> Placement:
    """Make a placement of a motion from metres of the model to metres of `crs`, and the height of its zero."""
    per_metre = 1 / float(crs.axis_info[0].unit_conversion_factor)
    a, b, d, e, east, north = (per_metre * value for value in matrix)
    return Placement(crs, crs, (a, b, d, e, east, north), method, None, height, accuracy=accuracy)


def from_statement(said: Statement, true_north: tuple[float, float], system: Any) -> Placement:
    """Make a placement of what an operator says, in any form but that of a building.

    Without an angle true north of the model is used. Degrees are on the datum of `system` (pyproj.CRS).

    Raises
    ------
    CrsError : it names a CRS that is unknown or not projected.
    """
    north = true_north if said.angle is None else north_of(said.angle)
    if said.degrees is not None:
        point = Geodetic(said.degrees[0], said.degrees[1], said.height)
        accuracy = said.accuracy
        if accuracy is None and said.resolution is not None:
            accuracy = said.resolution * _METRES_PER_DEGREE
        return from_geodetic(point, north, system, "operator", None, accuracy)
    crs = crs_module.horizontal(crs_module.parse(said.crs or ""))
    if not crs.is_projected:
        raise CrsError(f"{said.origin}: {crs_module.name(crs)} is not a projected CRS")
    axis = float(crs.axis_info[0].unit_conversion_factor)
    if said.points:
        model, target = (np.array(side, np.float64) for side in zip(*said.points, strict=True))
        matrix, residual = from_points(model, target * axis)
        return from_matrix(matrix, crs, "control_points", said.height, said.accuracy or residual)
    assert said.origin_on_map is not None
    turn = math.atan2(north[0], north[1])
    cos, sin = math.cos(turn), math.sin(turn)
    east, origin_north = (value * axis for value in said.origin_on_map)
    accuracy = said.accuracy
    if accuracy is None:
        accuracy = axis * max(resolution_of(value) for value in said.origin_on_map)
    return from_matrix((cos, -sin, sin, cos, east, origin_north), crs, "operator_map", said.height, accuracy)


def north_of(angle: float) -> tuple[float, float]:
    """Return where north is in a model whose x axis is turned against east by `angle` degrees anticlockwise."""
    return math.sin(math.radians(angle)), math.cos(math.radians(angle))


def resolution_of(value: float) -> float:
    """Return half a unit of the last decimal that a number is written with: 0.005 for 316131.64."""
    text = repr(float(value))
    decimals = 0 if "e" in text or text.endswith(".0") else len(text.partition(".")[2])
    return float(0.5 * 10.0**-decimals)


def hint_accuracy(point: Geodetic) -> float:
    """Return what the degrees of a site are worth, metres: never better than `HINT`."""
    return max(HINT, point.resolution * _METRES_PER_DEGREE)


def apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance of two points (longitude, latitude in degrees) along a great circle, metres.

    Source
    ------
    Haversine formula; R. W. Sinnott (1984), "Virtues of the Haversine", Sky and Telescope 68, 159.
    """
    (lon1, lat1), (lon2, lat2) = (tuple(map(math.radians, point)) for point in (one, other))
    half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(min(1.0, half)))) * _METRES_PER_DEGREE


def _crs_of(conversion: Conversion) -> Any:
    name = conversion.crs_name
    if name is None and conversion.crs_wkt is None:
        raise CrsError("a map conversion without a named CRS; say which with --assume-crs")
    errors = []
    for text in (_alias(name), name, conversion.crs_wkt):
        if text is None:
            continue
        try:
            return crs_module.parse(text)
        except CrsError as error:
            errors.append(error)
    raise CrsError(f"the model names its CRS {name!r}, which is not known; say which it is with --assume-crs") from (
        errors[0]
    )


def _alias(name: str | None) -> int | None:
    for pattern, zone_zero in _ALIASES:
        found = pattern.search(name or "")
        if found is not None:
            return zone_zero + int(found.group(1))
    return None
