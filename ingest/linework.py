"""Areas from lines and triangles in the plane, on a grid of one millimetre.

Noding is the dear part, and its cost grows with the number of segments. Lines of a model repeat: two triangles make a
wall's face, two walls share one. So segments that lie on one line and touch are made one before anything is noded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ingest.raster import over

GRID = 0.001  # one millimetre, in metres
# A crossing nearer to the grid than this, metres, lies on it; so often it is tried to get all of them there.
_STILL = 1e-7
_ROUNDS = 6

Segments = NDArray[np.float64]
_Whole = NDArray[np.int64]


@dataclass
class Faces:
    """The bounded faces into which lines divide the plane.

    Attributes
    ----------
    shapes : polygons that do not overlap, on the grid
    """

    shapes: NDArray[np.object_]
    _unions: dict[bytes, BaseGeometry] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Segments) -> Faces:
        """Return the faces between segments (n, 2, 2), metres."""
        if not len(lines):
            return cls(np.array([], dtype=object))
        return cls(shapely.get_parts(shapely.polygonize(_noded(lines))))

    def union(self, chosen: NDArray[np.bool_]) -> BaseGeometry:
        """Return the chosen faces as one."""
        key = chosen.tobytes()
        if key not in self._unions:
            self._unions[key] = shapely.coverage_union_all(self.shapes[chosen])
        return self._unions[key]


def section(triangles: NDArray[np.float64], height: float) -> Segments:
    """Return the segments (m, 2, 2) in which triangles (n, 3, 3) cross the plane at `height`.

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
    segments: Segments = points[lengths > GRID / 2]
    return segments


def merge(lines: Segments) -> Segments:
    """Round segments (n, 2, 2) to the grid, and make one of those that lie on one line and touch or overlap."""
    ends = np.rint(lines / GRID).astype(np.int64)
    origin = ends.reshape(-1, 2).min(axis=0) if len(ends) else np.zeros(2, np.int64)
    found = (_merged(ends - origin) + origin) * GRID
    return found.round(3)


def union(triangles: NDArray[np.float64]) -> BaseGeometry:
    """Return the union of triangles (n, 3, 2) in the plane, metres, on the grid."""
    corners = np.rint(triangles / GRID).astype(np.int64)
    origin = corners.reshape(-1, 2).min(axis=0) if len(corners) else np.zeros(2, np.int64)
    corners -= origin
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    turn = np.sign(edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0])
    corners = np.where((turn > 0)[:, None, None], corners, corners[:, ::-1])[turn != 0]
    edges = np.stack([corners, np.roll(corners, -1, axis=1)], axis=2).reshape(-1, 2, 2)
    lines = ((_merged(_uneven(edges)) + origin) * GRID).round(3)
    faces = Faces.of(lines)
    if not len(faces.shapes):
        return shapely.MultiPolygon()
    covered = np.zeros(len(faces.shapes), bool)
    middles = shapely.get_coordinates(shapely.point_on_surface(faces.shapes))
    covered[over(middles, triangles, GRID)[0]] = True
    return faces.union(covered)


def _noded(lines: Segments) -> NDArray[np.object_]:
    """Cut segments on the grid where they cross, and move the crossings to the grid.

    In full precision, again and again until nothing moves any more, as that is several times faster than in steps of
    the grid; where it does not come to an end, those are taken.
    """
    noded: NDArray[np.object_] = np.asarray(shapely.linestrings(lines), object)
    for _ in range(_ROUNDS):
        noded = shapely.get_parts(shapely.union_all(noded))
        corners = shapely.get_coordinates(noded)
        on_grid = (np.rint(corners / GRID) * GRID).round(3)
        moved = np.abs(corners - on_grid).max() > _STILL
        noded = np.asarray(shapely.set_coordinates(noded, on_grid), object)
        noded = noded[shapely.length(noded) > 0]
        if not moved:
            break
    else:
        noded = shapely.get_parts(shapely.union_all(shapely.linestrings(lines), grid_size=GRID))
    return noded


def _uneven(edges: _Whole) -> _Whole:
    """Return those of the edges of triangles that turn one way where more triangles lie on one side than on the other.

    Only there can what the triangles cover begin or end.
    """
    back = (edges[:, 0, 0] > edges[:, 1, 0]) | ((edges[:, 0, 0] == edges[:, 1, 0]) & (edges[:, 0, 1] > edges[:, 1, 1]))
    same = np.where(back[:, None, None], edges[:, ::-1], edges)
    order = np.lexsort(same.reshape(-1, 4).T)
    same, sides = same[order], np.where(back, -1, 1)[order]
    first = _starts(same.reshape(-1, 4))
    return same[first][np.add.reduceat(sides, first) != 0] if len(first) else same


def _merged(ends: _Whole) -> _Whole:
    """Make one of all segments (n, 2, 2) on the grid that lie on one line and touch; those without length vanish."""
    start, end = ends[:, 0], ends[:, 1]
    back = (start[:, 0] > end[:, 0]) | ((start[:, 0] == end[:, 0]) & (start[:, 1] > end[:, 1]))
    start, end = np.where(back[:, None], end, start), np.where(back[:, None], start, end)
    kept = (start != end).any(axis=1)
    start, end = start[kept], end[kept]
    if not len(start):
        return np.empty((0, 2, 2), np.int64)
    # A line: the shortest step along it that stays on the grid, and how far it passes the origin by.
    step = end - start
    step //= np.gcd(step[:, 0], step[:, 1])[:, None]
    passing = step[:, 0] * start[:, 1] - step[:, 1] * start[:, 0]
    along = np.where(step[:, 0] == 0, 1, 0)
    rows = np.arange(len(start))
    begins, stops = start[rows, along], end[rows, along]
    order = np.lexsort((begins, passing, step[:, 1], step[:, 0]))
    begins, stops = begins[order], stops[order]
    lines = np.column_stack([step, passing])[order]
    new = np.zeros(len(order), bool)
    new[_starts(lines)] = True
    # The farthest end so far on each line, found in one pass: lines are moved out of each other's reach.
    apart = (np.cumsum(new) - 1) * (np.int64(stops.max()) - np.int64(begins.min()) + 1)
    farthest = np.maximum.accumulate(stops + apart) - apart
    new[1:] |= begins[1:] > farthest[:-1]
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(order)) - 1
    steps = lines[first, :2]
    origin = start[order[first]]
    # The end lies as many steps from the start as the coordinate that was followed says.
    axis = along[order[first]]
    rows = np.arange(len(first))
    count = (farthest[last] - origin[rows, axis]) // steps[rows, axis]
    return np.stack([origin, origin + steps * count[:, None]], axis=1)


def _starts(ordered: _Whole) -> NDArray[np.int64]:
    """Return where in ordered rows another row begins than the one before."""
    if not len(ordered):
        return np.empty(0, np.int64)
    return np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
