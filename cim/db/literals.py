"""Geometry as filters and boxes write it, judged before it reaches the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import shapely

from cim.errors import InvalidFilter

_SIMPLE = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
COLLECTION = "GeometryCollection"


def geometry(literal: Mapping[str, Any], srid: int, flip: bool) -> shapely.Geometry:
    """Return a literal as a valid geometry in two dimensions, x before y.

    Parameters
    ----------
    literal : GeoJSON geometry, or `bbox` with four or six numbers
    srid, flip : EPSG code of its coordinates, and whether they are written y before x

    Raises
    ------
    InvalidFilter : it is none, not valid, empty, or has coordinates that cannot be.
    """
    try:
        geometry = _box(literal["bbox"]) if "bbox" in literal else _shape(literal)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, shapely.errors.GEOSException) as error:
        raise InvalidFilter(f"not a geometry: {str(error)[:120] or 'malformed'}") from None
    geometry = shapely.force_2d(geometry)
    if flip:
        geometry = shapely.transform(geometry, lambda xy: xy[:, ::-1])
    if shapely.is_empty(geometry):
        raise InvalidFilter("not a geometry: it is empty")
    check_bounds(tuple(shapely.bounds(geometry)), srid)
    if not shapely.is_valid(geometry):
        raise InvalidFilter(f"not a valid geometry: {shapely.is_valid_reason(geometry)}")
    return geometry


def _shape(literal: Mapping[str, Any]) -> shapely.Geometry:
    kind = literal.get("type")
    if kind == COLLECTION:
        return shapely.GeometryCollection([_shape(part) for part in literal["geometries"]])
    if kind not in _SIMPLE:
        raise ValueError(f"{str(kind)[:40]!r} is none of {', '.join((*_SIMPLE, COLLECTION))}")
    rings = {"Polygon": [literal["coordinates"]], "MultiPolygon": literal["coordinates"]}.get(kind, [])
    if any(len(ring) < 4 or ring[0] != ring[-1] for polygon in rings for ring in polygon):
        raise ValueError("a ring must end where it began and have at least four positions")
    return shapely.geometry.shape(dict(literal))


def _box(numbers: Sequence[float]) -> shapely.Geometry:
    if len(numbers) not in (4, 6):
        raise ValueError(f"a box has 4 or 6 numbers, got {len(numbers)}")
    half = len(numbers) // 2
    west, south, east, north = (float(n) for n in (*numbers[:2], *numbers[half : half + 2]))
    return box(west, south, east, north)


def box(west: float, south: float, east: float, north: float) -> shapely.Geometry:
    """Return a box as a geometry; west beyond east crosses the antimeridian and gives two.

    Raises
    ------
    ValueError : south lies beyond north.
    """
    if south > north:
        raise ValueError(f"minimum {south:g} is above maximum {north:g}")
    if west > east:
        return shapely.MultiPolygon([shapely.box(west, south, 180.0, north), shapely.box(-180.0, south, east, north)])
    if west == east or south == north:
        corners = [(west, south), (east, north)]
        return shapely.Point(corners[0]) if corners[0] == corners[1] else shapely.LineString(corners)
    return shapely.box(west, south, east, north)


def check_bounds(bounds: Sequence[float], srid: int) -> None:
    """Refuse coordinates that are not finite, or degrees beyond the globe (EPSG:4326 and 4490)."""
    if not all(abs(value) < 1e12 for value in bounds):
        raise InvalidFilter("coordinates must be finite numbers below 1e12")
    if srid in (4326, 4490) and (
        min(bounds[0], bounds[2]) < -180 or max(bounds[0], bounds[2]) > 180 or bounds[1] < -90 or bounds[3] > 90
    ):
        raise InvalidFilter(
            f"coordinates {', '.join(f'{v:g}' for v in bounds)} leave the range of degrees; check the axis order"
        )
