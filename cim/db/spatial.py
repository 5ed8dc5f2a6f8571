"""Relate stored geometry to a shape given in any CRS: exactly in the shape's CRS, quickly by the storage index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import shapely
import sqlalchemy as sa

from cim import crs
from cim.errors import CrsError

# EPSG gives no operation between these two: both follow ITRF, and taking one for the other costs under a metre.
# It is the one datum change made here without parameters, because CRS84 is what the web speaks.
_TAKEN_AS_EQUAL = frozenset({("EPSG", "4326"), ("EPSG", "4490")})
# How far around its area of use a projection still behaves, in degrees. Beyond, the index is not asked.
_WINDOW_MARGIN = 10.0
_METRES_PER_DEGREE = 111_320.0
# Eight times 25 radii of 50 km: sharper no edge bends between two systems in use, and a chord of a fifth of a shape
# strays by its square over eight radii.
_BEND = 1e7
# Geometry in the middle of an expression: nothing of SQLAlchemy's needs to know it.
GEOMETRY = sa.types.NullType()


@dataclass(frozen=True, slots=True)
class Shape:
    """A shapely geometry, x before y, with the EPSG code of its CRS. Edges are straight in that CRS."""

    geometry: shapely.Geometry
    srid: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shape lies for the index: the step to densify at, in its own units, and the margin, in storage units.

    None instead of a Place means that the shape reaches where the storage projection is not to be trusted.
    """

    step: float
    margin: float


def srid_of(name: str | int) -> int:
    """Return the EPSG code of a CRS by any name PROJ knows; CRS84 counts as 4326, since we speak x before y.

    Raises
    ------
    CrsError : PROJ does not know it, or it has no EPSG code.
    """
    parsed = crs.parse(name)
    if parsed.to_authority() == ("OGC", "CRS84"):
        return 4326
    code = parsed.to_epsg()
    if code is None:
        raise CrsError(f"{crs.name(parsed)} has no EPSG code, which a query needs; transform to one that has")
    return int(code)


@lru_cache(maxsize=256)
def check_path(srid: int, storage: int) -> None:
    """Refuse two systems between which coordinates cannot be taken without guessing a datum change.

    Raises
    ------
    CrsError : no operation is known and the two are not WGS 84 and CGCS2000.
    """
    first, second = crs.parse(srid), crs.parse(storage)
    area = second.area_of_use
    try:
        crs.accuracy(first, second, area.bounds if area is not None else (-180.0, -90.0, 180.0, 90.0))
    except CrsError:
        datums = {c.geodetic_crs.to_authority() if c.geodetic_crs is not None else None for c in (first, second)}
        if not datums <= _TAKEN_AS_EQUAL:
            raise


def place(shape: Shape, storage: int) -> Place | None:
    """Return how to find the shape's neighbourhood in the storage index; None where it reaches too far out.

    Raises
    ------
    CrsError : the shape has no place on the earth in its CRS.
    """
    bounds: crs.Bounds = tuple(float(v) for v in shapely.bounds(shape.geometry))  # type: ignore[assignment]
    return place_of_box(bounds, crs.geographic_bounds(bounds, crs.parse(shape.srid)), storage)


def place_of_box(bounds: crs.Bounds, degrees: crs.Bounds, storage: int) -> Place | None:
    """Return the same of a box, whose bounds are known in its own CRS and in degrees."""
    west, south, east, north = degrees
    area = crs.parse(storage).area_of_use
    if area is None or area.west > area.east:
        return None
    inside = (
        area.west - _WINDOW_MARGIN <= west
        and east <= area.east + _WINDOW_MARGIN
        and max(area.south - _WINDOW_MARGIN, -89.0) <= south
        and north <= min(area.north + _WINDOW_MARGIN, 89.0)
    )
    if not inside:
        return None
    extent = max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    metres = max(east - west, north - south) * _METRES_PER_DEGREE
    # Between points of a densified edge the curve strays by far less than a hundredth of the shape, of a small one by
    # less still. What lies in the margin alone is read and projected only to be passed over.
    return Place(step=max(extent / 20, 1e-9), margin=1.0 + metres * min(metres / _BEND, 0.01))


def around(literal: sa.ColumnElement[Any], step: Any, margin: Any, storage: int) -> sa.ColumnElement[Any]:
    """Return the box in the storage CRS around a geometry that lies there by the step and margin of its place."""
    curved = transformed(postgis("ST_Segmentize", literal, step), storage)
    return postgis("ST_Expand", postgis("ST_Envelope", curved), margin)


def relation(
    function: str,
    geom: sa.ColumnElement[Any],
    literal: sa.ColumnElement[Any],
    srid: int,
    storage: int,
    near: tuple[sa.ColumnElement[float], sa.ColumnElement[float]] | None,
    *,
    is_box: bool = False,
) -> sa.ColumnElement[bool]:
    """Return `function(geom, literal)` computed in the literal's CRS, with an index condition where one holds.

    Parameters
    ----------
    function : a PostGIS predicate of two geometries, such as ST_Intersects
    geom : geometry in the storage CRS
    literal : geometry in EPSG `srid`
    near : step and margin of the literal's `Place`, where the predicate implies that the two meet; else None
    is_box : whether the literal is a box, and whatever lies in it fulfils the predicate
    """
    if srid == storage:
        return postgis(function, geom, literal, type_=sa.Boolean())
    exact: sa.ColumnElement[bool] = postgis(function, transformed(geom, srid), literal, type_=sa.Boolean())
    if near is None:
        return exact
    if is_box:
        step, margin = near
        inner = sa.func.cim.inner_box(literal, sa.literal(storage, sa.Integer), step * 4, margin, type_=GEOMETRY)
        exact = sa.or_(geom.op("@", is_comparison=True)(inner), exact)
    return sa.and_(geom.op("&&", is_comparison=True)(around(literal, *near, storage)), exact)


def postgis(function: str, *arguments: Any, type_: sa.types.TypeEngine[Any] = GEOMETRY) -> sa.Function[Any]:
    """Call a PostGIS function. Not `sa.func`: GeoAlchemy2 hooks some there, and writes SRIDs into cached statements."""
    return sa.Function(function, *arguments, type_=type_)


def transformed(geom: sa.ColumnElement[Any], srid: int) -> sa.ColumnElement[Any]:
    """Return the geometry in EPSG `srid`. The integer form: the text form builds a pipeline per row."""
    return postgis("ST_Transform", geom, sa.literal(srid, sa.Integer))


def from_wkb(wkb: sa.ColumnElement[bytes], srid: int) -> sa.ColumnElement[Any]:
    """Return the geometry of WKB bytes in EPSG `srid`."""
    return postgis("ST_GeomFromWKB", wkb, sa.literal(srid, sa.Integer))
