"""Which cells of a grid triangles and polygons cover: found row by row, all of them at once.

A shape covers a cell if the middle of the cell lies in it. What it covers of a row are runs of cells; as many runs as
there are rows in a shape are kept, not as many cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray

# Middles of cells so near to an edge, in cells, lie on it.
_ON = 1e-9

Points = NDArray[np.float64]
_Whole = NDArray[np.int64]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Runs:
    """Cells from `first` to `last` of `row`, covered by the shape number `which`; all int64 (n)."""

    which: _Whole
    row: _Whole
    first: _Whole
    last: _Whole

    def of(self, chosen: _Mask) -> Runs:
        """Return the runs of the chosen shapes."""
        kept = chosen[self.which]
        return Runs(self.which[kept], self.row[kept], self.first[kept], self.last[kept])


@dataclass(frozen=True)
class Grid:
    """Square cells, `rows` upwards and `columns` to the right of a corner (`west`, `south`), `step` wide (metres)."""

    west: float
    south: float
    step: float
    rows: int
    columns: int

    @cached_property
    def points(self) -> Points:
        """Middles of the cells, (rows · columns, 2), row by row."""
        x, y = np.meshgrid(np.arange(self.columns), np.arange(self.rows))
        return np.asarray((np.column_stack([x.ravel(), y.ravel()]) + 0.5) * self.step + (self.west, self.south))

    def triangles(self, corners: Points) -> Runs:
        """Return what triangles (n, 3, 2), metres, cover; what has no area covers nothing."""
        local = self._local(corners)
        local = np.take_along_axis(local, local[:, :, 1].argsort(axis=1)[:, :, None], axis=1)
        which, row = self._rows(local[:, 0, 1], local[:, 2, 1])
        low, middle, high = (local[which, corner] for corner in range(3))
        # From the lowest corner to the highest on one side, by way of the middle one on the other.
        upper = (row >= middle[:, 1]) & (high[:, 1] > middle[:, 1])
        begin, end = np.where(upper[:, None], middle, low), np.where(upper[:, None], high, middle)
        return self._runs(which, row, _at(low, high, row), _at(begin, end, row))

    def polygons(self, shapes: NDArray[np.object_]) -> Runs:
        """Return what polygons cover, their holes left out."""
        rings, of = shapely.get_rings(shapes, return_index=True)
        corners, ring = shapely.get_coordinates(rings, return_index=True)
        local = self._local(corners)
        same = ring[1:] == ring[:-1]
        begin, end, owner = local[:-1][same], local[1:][same], of[ring[1:][same]]
        upwards = begin[:, 1] < end[:, 1]
        begin, end = np.where(upwards[:, None], begin, end), np.where(upwards[:, None], end, begin)
        # An edge ends just below its upper corner, so that no corner counts twice.
        edge, row = self._rows(begin[:, 1], np.nextafter(end[:, 1], -np.inf))
        x = _at(begin[edge], end[edge], row)
        order = np.lexsort((x, row, owner[edge]))
        x, row, which = x[order], row[order], owner[edge][order]
        return self._runs(which[::2], row[::2], x[::2], x[1::2])

    def covered(self, runs: Runs) -> _Mask:
        """Return which cells (rows, columns) the runs cover."""
        wide = self.columns + 1
        size = self.rows * wide
        changes = np.bincount(runs.row * wide + runs.first, minlength=size)
        changes -= np.bincount(runs.row * wide + runs.last + 1, minlength=size)
        return np.asarray(changes.reshape(self.rows, wide).cumsum(axis=1)[:, :-1] > 0)

    def counts(self, runs: Runs, cells: _Mask, shapes: int) -> tuple[_Whole, _Whole]:
        """Return how many cells each of a number of shapes covers, and how many of the chosen `cells`."""
        before = np.pad(cells.cumsum(axis=1), ((0, 0), (1, 0)))
        chosen = before[runs.row, runs.last + 1] - before[runs.row, runs.first]
        return (
            np.bincount(runs.which, runs.last - runs.first + 1, shapes).astype(np.int64),
            np.bincount(runs.which, chosen, shapes).astype(np.int64),
        )

    def cells(self, runs: Runs) -> tuple[_Whole, _Whole]:
        """Return the cells of the runs, as indices of `points`, and the shape that covers each."""
        length = runs.last - runs.first + 1
        which = np.repeat(runs.which, length)
        start = runs.row * self.columns + runs.first
        return np.repeat(start - (length.cumsum() - length), length) + np.arange(len(which)), which

    def _local(self, points: Points) -> Points:
        """Return points in cells, from the middle of the first one on."""
        return (points - (self.west, self.south)) / self.step - 0.5

    def _rows(self, low: Points, high: Points) -> tuple[_Whole, _Whole]:
        """Return which shape and which row, for each row whose middle lies from `low` to `high` of a shape."""
        first = np.maximum(np.ceil(low), 0).astype(np.int64)
        count = np.maximum(np.minimum(np.floor(high), self.rows - 1).astype(np.int64) - first + 1, 0)
        which = np.repeat(np.arange(len(low)), count)
        return which, np.arange(len(which)) - np.repeat(count.cumsum() - count - first, count)

    def _runs(self, which: _Whole, row: _Whole, one: Points, other: Points) -> Runs:
        first = np.maximum(np.ceil(np.minimum(one, other) - _ON), 0).astype(np.int64)
        last = np.minimum(np.floor(np.maximum(one, other) + _ON), self.columns - 1).astype(np.int64)
        kept = first <= last
        return Runs(which[kept], row[kept], first[kept], last[kept])


def over(points: Points, triangles: Points, reach: float = 0.0) -> tuple[_Whole, _Whole]:
    """Return which points (m, 2) lie in which triangles (n, 3, 2), or up to `reach` outside: pairs of indices."""
    order = points[:, 1].argsort()
    x, y = points[order].T
    # By hand, as the minimum along an axis of three is many times slower.
    one, two, three = (triangles[:, corner] for corner in range(3))
    low = np.minimum(np.minimum(one, two), three) - reach
    high = np.maximum(np.maximum(one, two), three) + reach
    first = np.searchsorted(y, low[:, 1])
    count = np.searchsorted(y, high[:, 1], "right") - first
    which = np.repeat(np.arange(len(triangles)), count)
    at = np.arange(len(which)) - np.repeat(count.cumsum() - count - first, count)
    near = (x[at] >= low[which, 0]) & (x[at] <= high[which, 0])
    at, which = at[near], which[near]
    corners = triangles[which]
    edges = np.roll(corners, -1, axis=1) - corners
    turn = np.sign(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
    away = np.column_stack([x[at], y[at]])[:, None] - corners
    sides = (edges[:, :, 0] * away[:, :, 1] - edges[:, :, 1] * away[:, :, 0]) * turn[:, None]
    within = (sides >= -reach * np.hypot(edges[:, :, 0], edges[:, :, 1])).all(axis=1)
    return order[at[within]], which[within]


def _at(begin: Points, end: Points, row: _Whole) -> Points:
    """Return where lines between two points pass the middle of a row; a level one at its end."""
    rise = end[:, 1] - begin[:, 1]
    share = np.divide(row - begin[:, 1], rise, out=np.ones_like(rise), where=rise != 0)
    return np.asarray(begin[:, 0] + share * (end[:, 0] - begin[:, 0]))
