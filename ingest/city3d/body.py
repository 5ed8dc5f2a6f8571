"""Footprint and heights of city objects from their bodies.

The footprint of a building is, of each of its bodies (itself, its parts): what the file gives at level of detail 0;
else the GroundSurfaces of the finest geometry that has any, with their holes; else what its walls enclose a little
above the ground (`ingest.footprint`). A footprint given for the building as a whole goes before those of its parts; a
building of roofs alone has what is seen of it from above.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ingest import footprint, linework
from ingest.city3d.feature import (
    BODIES,
    BUILDING,
    DEPTHS,
    NO_SENSE,
    CityObject,
    Feature,
    Frame,
    Notes,
    Surface,
    lod_of,
    of_type,
    surfaces,
)

# A damaged polygon: what stands in the place of a geometry that makes no sense, for the record to be rejected.
DAMAGED = b"\x01\x03\0\0\0"
_GROUND, _ROOF = "GroundSurface", "RoofSurface"
# Metres of a degree along a meridian, near enough for the tolerances of a plan: a quarter of it is 10,000 km.
_METRES_PER_DEGREE = 111_111.0
# Share of the area by which floor and roof of a block may differ, for the millimetres they are given in.
_AS_MUCH = 1e-3
_SECTION = "{n} without semantics: footprint is the floor, or from a cut through the walls"
_SEEN = "{n} without ground and walls: footprint is what is seen from above"


@dataclass(slots=True)
class Body:
    """What the body of an object tells; heights in the unit and system of the file, None where there is none.

    Attributes
    ----------
    shape : ISO WKB in x, y of the file's CRS
    area : of the surfaces that make the footprint, as the source has them, square metres; None in degrees
    ground : lowest point of the ground; top : highest of the roof; eaves : lowest of the roof
    lod : finest level of detail
    """

    shape: bytes | None = None
    area: float | None = None
    ground: float | None = None
    eaves: float | None = None
    top: float | None = None
    lod: str | None = None


@dataclass(slots=True)
class _Found:
    """Surfaces of one feature, as numbers of its vertices."""

    floors: list[Surface] = field(default_factory=list)
    meshes: list[list[Surface]] = field(default_factory=list)
    lines: list[list[int]] = field(default_factory=list)
    points: list[int] = field(default_factory=list)
    low: list[int] = field(default_factory=list)
    roof: list[int] = field(default_factory=list)
    high: list[int] = field(default_factory=list)
    lod: str = ""


def bodies(features: Sequence[Feature], coordinates: NDArray[np.float64], frame: Frame, notes: Notes) -> list[Body]:
    """Return the bodies of features.

    An object whose geometry makes no sense (boundaries of another depth, fewer values than surfaces) gets `DAMAGED`
    for its shape, and a sentence in `notes`.

    Parameters
    ----------
    coordinates : of the vertices of all features, one after another, see `coordinates_of`
    """
    found = [_checked(feature, notes) for feature in features]
    starts = np.cumsum([0, *(len(feature.vertices) for feature in features)])
    result = [Body(lod=one.lod or None) if one else Body(DAMAGED) for one in found]
    _heights(result, found, coordinates[:, 2], starts)
    _shapes(result, found, coordinates, starts, frame, notes)
    return result


def coordinates_of(features: Sequence[Feature], frame: Frame) -> NDArray[np.float64]:
    """Return the coordinates of all vertices of the features, one (x, y, z) a row, in the file's CRS.

    Raises
    ------
    TypeError, ValueError : a vertex is not three numbers.
    """
    count = sum(len(feature.vertices) for feature in features)
    numbers = chain.from_iterable(chain.from_iterable(feature.vertices for feature in features))
    raw = np.fromiter(numbers, np.float64, 3 * count).reshape(count, 3)
    if not np.isfinite(raw).all():
        raise ValueError("a vertex is not three numbers")
    placed: NDArray[np.float64] = raw * np.array(frame.scale) + np.array(frame.translate)
    return placed


def _checked(feature: Feature, notes: Notes) -> _Found | None:
    try:
        return _surfaces_of(feature)
    except NO_SENSE as error:
        notes.add(f"object {feature.id!r} has a geometry that makes no sense: {error}")
        return None


def _surfaces_of(feature: Feature) -> _Found:
    found = _Found()
    building = feature.root["type"] == BUILDING
    given = False
    for name in sorted(feature.objects, key=lambda name: name != feature.id):
        one = feature.objects[name]
        if not building or one["type"] in BODIES:
            given = _take(found, one, building, given)
    return found


def _take(found: _Found, one: CityObject, building: bool, given: bool) -> bool:
    """Add what one body tells; return whether the footprint of the building is known by now."""
    geometries = sorted(((lod_of(g), g) for g in one.get("geometry") or () if g["type"] in DEPTHS), key=_fineness)
    if not geometries:
        return given
    found.lod = max(found.lod, geometries[-1][0])
    if not building:
        plain = geometries[0] if geometries[0][0].startswith("0") else geometries[-1]
        _take_all(found, plain[1])
        return True
    flat = [g for lod, g in geometries if lod.startswith("0")]
    if flat and not given:
        found.floors += surfaces(flat[0])
    known = given or bool(flat)
    solid = [g for lod, g in reversed(geometries) if not lod.startswith("0")]
    told = ((g, of_type(g, _GROUND, _ROOF)) for g in solid if "semantics" in g)
    geometry, (floor, roof) = next(((g, t) for g, t in told if t[0]), (solid[0] if solid else None, [[], []]))
    if geometry is not None:
        every = surfaces(geometry) if not floor or not roof else []
        if not known:
            found.floors += floor
            if not floor:
                found.meshes.append(every)
        found.low += _flat(floor or every)
        found.roof += _flat(roof)
        found.high += _flat(roof or every)
    return known if one["type"] == BUILDING else given


def _fineness(pair: tuple[str, Any]) -> tuple[str, bool]:
    """Order geometries by level of detail, those with semantics last."""
    return pair[0], "semantics" in pair[1]


def _take_all(found: _Found, geometry: Any) -> None:
    """Add the geometry of an object that is no building: its surfaces from above, its lines, its points."""
    depth = DEPTHS[geometry["type"]]
    if depth == 0:
        found.points += geometry["boundaries"]
    elif depth == 1:
        found.lines += geometry["boundaries"]
    else:
        found.floors += surfaces(geometry)


def _flat(some: Iterable[Surface]) -> list[int]:
    return list(chain.from_iterable(chain.from_iterable(some)))


def _heights(
    result: list[Body], found: list[_Found | None], heights: NDArray[np.float64], starts: NDArray[np.int64]
) -> None:
    for name, which, least in (("ground", "low", True), ("top", "high", False), ("eaves", "roof", True)):
        rows = [row for row, one in enumerate(found) if one is not None and getattr(one, which)]
        if not rows:
            continue
        numbers = [getattr(found[row], which) for row in rows]
        lengths = np.array([len(some) for some in numbers])
        flat = np.fromiter(chain.from_iterable(numbers), np.int64, int(lengths.sum()))
        values = heights[flat + np.repeat(starts[rows], lengths)]
        groups = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        extremes = (np.minimum if least else np.maximum).reduceat(values, groups)
        for row, value in zip(rows, extremes.tolist(), strict=True):
            setattr(result[row], name, round(value, 3))


def _shapes(
    result: list[Body],
    found: list[_Found | None],
    coordinates: NDArray[np.float64],
    starts: NDArray[np.int64],
    frame: Frame,
    notes: Notes,
) -> None:
    """Set the shape of every object that has one."""
    polygons, owners = _polygons(found, coordinates, starts)
    _areas(result, polygons, owners, frame)
    counts = np.bincount(owners, minlength=len(found))
    shapes = _unions(polygons, owners, counts, frame.units[0])
    for row, one in enumerate(found):
        if one is None:
            continue
        own = coordinates[starts[row] : starts[row + 1]]
        if one.meshes:
            outlines = _outlines(own, one.meshes, frame, not counts[row], notes)
            parts = [shapes[row], *outlines] if counts[row] else outlines
            shapes[row] = shapely.union_all(parts, grid_size=frame.units[0])
        elif one.lines:
            shapes[row] = shapely.multilinestrings([own[line, :2] for line in one.lines if len(line) > 1])
        elif one.points:
            shapes[row] = shapely.multipoints(own[one.points, :2])
    for row, wkb in enumerate(shapely.to_wkb(shapes, flavor="iso", byte_order=1)):
        if wkb is not None:
            result[row].shape = wkb


def _polygons(
    found: list[_Found | None], coordinates: NDArray[np.float64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Return the floors of all objects as polygons, those without area left out, and whose each is."""
    rings: list[list[int]] = []
    ring_of: list[int] = []
    owner_of: list[int] = []
    for row, one in enumerate(found):
        for surface in one.floors if one is not None else ():
            if len(surface[0]) < 3:
                continue
            usable = [ring for ring in surface if len(ring) > 2]
            rings += usable
            ring_of += [len(owner_of)] * len(usable)
            owner_of.append(row)
    owners = np.array(owner_of, dtype=np.int64)
    if not rings:
        return np.array([], dtype=object), owners
    lengths = np.array([len(ring) for ring in rings])
    flat = np.fromiter(chain.from_iterable(rings), np.int64, int(lengths.sum()))
    flat += np.repeat(starts[owners[ring_of]], lengths)
    lines: Any = shapely.linearrings(coordinates[flat, :2], indices=np.repeat(np.arange(len(rings)), lengths))
    polygons: Any = shapely.polygons(lines, indices=np.array(ring_of))
    flat_ones = shapely.area(polygons) > 0
    return polygons[flat_ones], owners[flat_ones]


def _unions(
    polygons: NDArray[np.object_], owners: NDArray[np.int64], counts: NDArray[np.int64], grid: float
) -> NDArray[np.object_]:
    """Return one shape for each owner of polygons, which stand in the order of their owners; None without any."""
    shapes = np.full(len(counts), None, dtype=object)
    alone = counts[owners] == 1
    shapes[owners[alone]] = polygons[alone]
    invalid = ~alone & ~shapely.is_valid(polygons)
    polygons[invalid] = shapely.make_valid(polygons[invalid], method="structure", keep_collapsed=False)

    def unite(count: int) -> None:
        rows = np.flatnonzero(counts == count)
        members = polygons[np.isin(owners, rows)].reshape(len(rows), count)
        shapes[rows] = shapely.union_all(members, grid_size=grid, axis=1)

    # Nearly half of the time that detailed models take is here, and GEOS does not hold the interpreter.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(unite, np.unique(counts[counts > 1])))
    return shapes


def _areas(result: list[Body], polygons: NDArray[np.object_], owners: NDArray[np.int64], frame: Frame) -> None:
    if len(owners) and not (frame.crs is not None and frame.crs.is_geographic):
        for row, area in enumerate(np.bincount(owners, shapely.area(polygons)).tolist()):
            result[row].area = round(area, 4) if area else None


def _outlines(
    own: NDArray[np.float64], meshes: list[list[Surface]], frame: Frame, alone: bool, notes: Notes
) -> list[Any]:
    """Return what the walls of bodies enclose a little above their lowest point, in the file's CRS.

    Without any walls, and where nothing else is known (`alone`), what is seen of the bodies from above.
    """
    if not meshes:
        return []
    origin = own[np.unique([n for mesh in meshes for n in _flat(mesh)])].min(axis=0)
    scale = np.ones(3)
    if frame.crs is not None and frame.crs.is_geographic:
        scale = np.array([np.cos(np.radians(origin[1])), 1, 1 / _METRES_PER_DEGREE]) * _METRES_PER_DEGREE
    plane = (own - origin) * scale
    outlines: list[Any] = []
    roofs: list[NDArray[np.float64]] = []
    for mesh in meshes:
        outline = _floor(plane, mesh)
        if outline is None:
            triangles = _triangles(plane, mesh)
            if not len(triangles):
                continue
            outline = footprint.Fabric(triangles).plan(float(triangles[:, :, 2].min())).outline
            if outline.is_empty:
                roofs.append(triangles)
                continue
        outlines.append(outline)
    if outlines:
        notes.add(_SECTION)
    elif alone and roofs:
        notes.add(_SEEN)
        outlines = [seen for triangles in roofs if (seen := footprint.room(triangles)) is not None]
    return [shapely.transform(outline, lambda xy: xy / scale[:2] + origin[:2]) for outline in outlines]


def _floor(points: NDArray[np.float64], mesh: list[Surface]) -> Any | None:
    """Return the level floor of a body where all that lies above covers just as much; None where it has eaves.

    What a cut through the walls would give, without the cut: most bodies without semantics are blocks.
    """
    low = points[_flat(mesh), 2].min()
    floors: list[Any] = []
    above = 0.0
    for surface in mesh:
        rings = [points[ring] for ring in surface if len(ring) > 2]
        areas = [_area(ring) for ring in rings]
        seen = 2 * areas[0] - sum(areas) if areas else 0.0
        if seen <= linework.GRID**2:
            continue
        if max(float(ring[:, 2].max()) for ring in rings) - low <= linework.GRID:
            floors.append(shapely.Polygon(rings[0][:, :2], [ring[:, :2] for ring in rings[1:]]))
        else:
            above += seen
    if not floors or not all(floor.is_valid for floor in floors):
        return None
    whole = floors[0] if len(floors) == 1 else shapely.union_all(floors, grid_size=linework.GRID)
    return whole if abs(whole.area - above) <= _AS_MUCH * above else None


def _area(ring: NDArray[np.float64]) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y))) / 2


def _triangles(points: NDArray[np.float64], mesh: list[Surface]) -> NDArray[np.float64]:
    """Return flat surfaces with holes as triangles (n, 3, 3)."""
    simple = [surface[0] for surface in mesh if len(surface) == 1 and len(surface[0]) == 3]
    parts = [points[np.array(simple)]] if simple else []
    parts += [_cut(points, s) for s in mesh if len(s[0]) > 2 and not (len(s) == 1 and len(s[0]) == 3)]
    return np.concatenate(parts) if parts else np.zeros((0, 3, 3))


def _cut(points: NDArray[np.float64], surface: Surface) -> NDArray[np.float64]:
    """Cut a surface into triangles in the plane of two axes on which it is seen largest."""
    outer = points[surface[0]]
    normal = np.cross(outer, np.roll(outer, -1, axis=0)).sum(axis=0)
    axes = [axis for axis in range(3) if axis != int(np.abs(normal).argmax())]
    numbers = [ring for ring in surface if len(ring) > 2]
    polygon = shapely.Polygon(points[numbers[0]][:, axes], [points[ring][:, axes] for ring in numbers[1:]])
    known = {tuple(points[n, axes]): points[n] for ring in numbers for n in ring}
    try:
        cut = shapely.get_parts(shapely.constrained_delaunay_triangles(polygon))
    except shapely.errors.GEOSException:
        return np.zeros((0, 3, 3))
    corners = [[known.get(tuple(corner)) for corner in shapely.get_coordinates(one)[:3]] for one in cut]
    return np.array([c for c in corners if all(corner is not None for corner in c)]).reshape(-1, 3, 3)
