"""From the triangles of a building to its footprint, the outline of its storeys and the area of its rooms.

A plan is what a horizontal cut a little above the floor encloses, as on a drawing: eaves, roof overhangs and
terraces lie outside, and what the cut encloses but nothing covers from above or below is a courtyard and
stays open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

# Heights of the cuts above the floor, metres: below and above most sills.
CUTS = (0.5, 1.0, 1.5)
# How far the ground slab may lie from the ground level, and how high begins what counts as a roof over it,
# metres.
SLAB_REACH = 0.5
ROOF_FROM = 1.8
# Gaps up to twice this wide are closed: joints of curtain walls, hollows between panels. Metres.
CLOSING = 0.15
# Parts thinner than twice this, or smaller than MIN_AREA (m²), are noise of modelling.
THIN = 0.025
MIN_AREA = 0.5
GRID = 0.001  # one millimetre, in metres

Triangles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is enclosed (MultiPolygon, metres, grid of 1 mm) and the area of all seen from above (m²)."""

    outline: shapely.MultiPolygon
    covered_area: float


def plan(triangles: Triangles, floor: float, cuts: Sequence[float] = CUTS, top: float = np.inf) -> Plan:
    """Return what the fabric of a building encloses a little above `floor`.

    Parameters
    ----------
    triangles : float64 (n, 3, 3), metres; z upwards; walls with or without thickness
    floor : height of the floor, metres, in the same coordinates
    cuts : heights of the cuts above the floor, metres
    top : what lies above this height is not looked at, metres

    Returns
    -------
    Plan with an empty outline where nothing stands on the floor.
    """
    low, high = triangles[:, :, 2].min(axis=1), triangles[:, :, 2].max(axis=1)
    near = triangles[(high >= floor - SLAB_REACH) & (low <= top)]
    cover = projection(near)
    faces = np.concatenate([enclosed(near, floor + cut) for cut in cuts])
    kept = faces[_covered(faces, cover)]
    outline = shapely.union_all(kept, grid_size=GRID)
    slab = _roofed_slab(near, floor)
    # Where walls leave gaps too wide to close, the cut encloses next to nothing; slab and roof still tell.
    if outline.area < 0.5 * slab.area:
        outline = shapely.union_all([outline, slab], grid_size=GRID)
    return Plan(_tidy(outline, cover), float(cover.area))


def projection(triangles: Triangles) -> BaseGeometry:
    """Return the union of the triangles seen from above, metres, grid of 1 mm; vertical ones add nothing."""
    flat = triangles[:, :, :2]
    edge1, edge2 = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    doubled = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    visible = flat[np.abs(doubled) > 2 * GRID**2]
    rings = np.concatenate([visible, visible[:, :1]], axis=1)
    return shapely.union_all(shapely.polygons(rings), grid_size=GRID)


def enclosed(triangles: Triangles, height: float) -> NDArray[np.object_]:
    """Return the faces that the horizontal cut at `height` divides the plane into, the outer one left out."""
    lines = section(triangles, height)
    if not len(lines):
        return np.array([], dtype=object)
    noded = shapely.union_all(shapely.linestrings(lines), grid_size=GRID)
    return shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))


def section(triangles: Triangles, height: float) -> NDArray[np.float64]:
    """Return the segments (m, 2, 2) in which triangles cross the plane at `height`.

    A vertex exactly in the plane counts as above it, so that neighbours agree and no segment comes twice.
    """
    above = triangles[:, :, 2] >= height
    count = above.sum(axis=1)
    crossing, sides = triangles[(count == 1) | (count == 2)], above[(count == 1) | (count == 2)]
    # The corner that is alone on its side; both cut edges start there.
    odd = np.where(sides.sum(axis=1) == 1, sides.argmax(axis=1), (~sides).argmax(axis=1))
    rows = np.arange(len(crossing))
    start = crossing[rows, odd]
    ends = np.stack([crossing[rows, (odd + 1) % 3], crossing[rows, (odd + 2) % 3]], axis=1)
    share = (height - start[:, None, 2]) / (ends[:, :, 2] - start[:, None, 2])
    points = start[:, None, :2] + share[:, :, None] * (ends[:, :, :2] - start[:, None, :2])
    lengths = np.hypot(*(points[:, 1] - points[:, 0]).T)
    segments: NDArray[np.float64] = points[lengths > GRID / 2]
    return segments


def _covered(faces: NDArray[np.object_], cover: BaseGeometry) -> NDArray[np.bool_]:
    shapely.prepare(cover)
    shared = shapely.area(shapely.intersection(faces, cover, grid_size=GRID))
    return np.asarray(shared >= 0.5 * shapely.area(faces))


def _roofed_slab(triangles: Triangles, floor: float) -> BaseGeometry:
    low, high = triangles[:, :, 2].min(axis=1), triangles[:, :, 2].max(axis=1)
    slab = projection(triangles[(low >= floor - SLAB_REACH) & (high <= floor + SLAB_REACH)])
    roof = projection(triangles[high >= floor + ROOF_FROM])
    return shapely.intersection(slab, roof, grid_size=GRID)


def _tidy(outline: BaseGeometry, cover: BaseGeometry) -> shapely.MultiPolygon:
    closed = _offset(_offset(outline, CLOSING), -CLOSING)
    filled = shapely.union_all(np.append(shapely.get_parts(closed), _covered_holes(closed, cover)), grid_size=GRID)
    opened = _offset(_offset(filled, -THIN), THIN)
    parts = shapely.get_parts(shapely.set_precision(opened, GRID))
    return shapely.MultiPolygon([p for p in parts if p.geom_type == "Polygon" and p.area >= MIN_AREA])


def _covered_holes(outline: BaseGeometry, cover: BaseGeometry) -> NDArray[np.object_]:
    rings = [ring for part in shapely.get_parts(outline) for ring in part.interiors]
    holes = shapely.polygons(rings) if rings else np.array([], dtype=object)
    return holes[_covered(holes, cover)]


def _offset(geometry: BaseGeometry, distance: float) -> BaseGeometry:
    return shapely.buffer(geometry, distance, join_style="mitre", mitre_limit=5.0)


def room(triangles: Triangles) -> shapely.MultiPolygon | None:
    """Return the outline of a body from above (MultiPolygon, metres, grid of 1 mm); None without area."""
    parts = [p for p in shapely.get_parts(projection(triangles)) if p.geom_type == "Polygon" and p.area > 0]
    return shapely.MultiPolygon(parts) if parts else None
