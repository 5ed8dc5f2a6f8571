"""From the triangles of a building to its footprint, its roof, the outline of its storeys and the area of its rooms.

The rules, in the order in which they apply:

- The **footprint** is what horizontal cuts 0.5, 1.0 and 1.5 m above the ground enclose, as on a drawing. Eaves, roof
  overhangs, balconies and terraces lie outside it; so do canopies, as posts enclose nothing.
- What lies below the ground, basements, piles and footings, is not cut and adds nothing.
- What the cuts enclose but nothing covers from above or below is a **courtyard** and stays open.
- Where walls leave gaps too wide to close (an open hall, a petrol station), the part of the ground slab that has a
  roof over it is the footprint.
- The **roof outline** is all that can be seen from above and lies more than 1.8 m over the ground: eaves, balconies
  and canopies count.
- The outline of a **storey** is made like the footprint, above its own floor and up to the next. What hangs over that
  floor's edge without standing on it, as the verge of a roof that is cut beside an attic, is left out.

Outlines are exact: they are made of the edges of the triangles. Whether a face is covered, and how high the roof is,
is looked up at points of a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ingest.linework import GRID, Faces, merge, section, union
from ingest.raster import Grid, Runs, over

# Heights of the cuts above the floor, metres: below and above most sills.
CUTS = (0.5, 1.0, 1.5)
# What belongs to a storey is enclosed so little above its floor, too, metres.
FOOT = 0.2
# How far the ground slab may lie from the ground level, and how high begins what counts as a roof over it,
# metres.
SLAB_REACH = 0.5
ROOF_FROM = 1.8
# Of what slab and roof both cover, the cuts enclose at least so much where there are walls (design): looked up on the
# grid, which is cheap, and then measured.
_SUSPECT, _OPEN = 0.6, 0.5
# Of its plan, so much stands on a storey's floor where walls begin there (design).
_STANDING = 0.5
# Gaps up to twice this wide are closed: joints of curtain walls, hollows between panels. Metres.
CLOSING = 0.15
# Parts thinner than twice this, or smaller than MIN_AREA (m²), are noise of modelling.
THIN = 0.025
MIN_AREA = 0.5
# The grid on which cover and heights are looked up: at least this wide (metres), at most so many points.
STEP = 0.2
MAX_POINTS = 20_000

Triangles = NDArray[np.float64]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is enclosed (MultiPolygon, metres, grid of 1 mm) and the area of all seen from above (m²)."""

    outline: shapely.MultiPolygon
    covered_area: float


@dataclass(frozen=True, slots=True)
class Roof:
    """The roof outline (MultiPolygon, metres, grid of 1 mm) and heights, metres in coordinates of the model.

    `eaves` is where the outer walls meet the roof, the lowest twentieth of it left out; `ridge` the highest point
    within the footprint. `parts` are the lowest, middle, 70th percentile and highest roof over each part of the
    footprint; the 70th is the height of an LoD1 block.

    Source
    ------
    3DBAG, attributes b3_h_dak_*. https://docs.3dbag.nl/en/schema/attributes/
    """

    outline: shapely.MultiPolygon
    eaves: float
    ridge: float
    parts: list[tuple[float, float, float, float]]


@dataclass
class Fabric:
    """The triangles of a building, to be cut and to be looked at from above.

    Attributes
    ----------
    triangles : float64 (n, 3, 3), metres; z upwards; walls with or without thickness
    """

    triangles: Triangles
    _faces: dict[bytes, Faces] = field(default_factory=dict)

    @cached_property
    def low(self) -> NDArray[np.float64]:
        """Lowest z of each triangle."""
        return np.asarray(np.minimum.reduce(self._heights))

    @cached_property
    def high(self) -> NDArray[np.float64]:
        """Highest z of each triangle."""
        return np.asarray(np.maximum.reduce(self._heights))

    @cached_property
    def _heights(self) -> NDArray[np.float64]:
        """The z of each corner, corner by corner: (3, n)."""
        return np.ascontiguousarray(self.triangles[:, :, 2].T)

    def plan(self, floor: float, top: float = np.inf) -> Plan:
        """Return what the fabric encloses a little above `floor`.

        Parameters
        ----------
        floor : height of the floor, metres
        top : what lies above this height is not looked at, metres

        Returns
        -------
        Plan with an empty outline where nothing stands on the floor.
        """
        near = self._near(floor, top)
        outline = self._cut(floor, CUTS, near)
        slab, roof = self._slab(floor) & near, self._above(floor) & near
        # Where walls leave gaps too wide to close, the cut encloses next to nothing; slab and roof still tell.
        seen = np.logical_and(self._cover(slab), self._cover(roof)).sum() * self._grid.step**2
        if outline.area < _SUSPECT * seen:
            roofed = shapely.intersection(self.projection(slab), self.projection(roof), grid_size=GRID)
            if outline.area < _OPEN * roofed.area:
                outline = shapely.union_all([outline, roofed], grid_size=GRID)
        return Plan(self._tidy(outline, near), float(self._cover(near).sum() * self._grid.step**2))

    def storey(self, floor: float, top: float) -> shapely.MultiPolygon:
        """Return the outline of the storey on `floor`, up to `top` (metres): of its plan, what stands on the floor.

        It is the whole plan where less than half of it does, as walls do not begin at the floor then.
        """
        outline = self.plan(floor, top).outline
        near = self._near(floor, top)
        standing = shapely.intersection(outline, self._tidy(self._cut(floor, (FOOT,), near), near), grid_size=GRID)
        if standing.area < _STANDING * outline.area or standing.area > outline.area - MIN_AREA:
            return outline
        return self._tidy(standing, near)

    def roof(self, footprint: shapely.MultiPolygon, ground: float) -> Roof | None:
        """Return the roof over a footprint that stands on `ground` (metres); None where nothing covers it."""
        above = self._above(ground)
        heights = self._highest(above)
        parts = []
        runs = self._grid.polygons(np.asarray(footprint.geoms, object))
        cells, part = self._grid.cells(runs)
        for number in range(len(footprint.geoms)):
            over = heights[cells[part == number]]
            over = over[np.isfinite(over)]
            if len(over):
                lowest, middle, block, highest = np.percentile(over, (0, 50, 70, 100))
                parts.append((float(lowest), float(middle), float(block), float(highest)))
        edge = self._heights_at(_along(footprint), above)
        if not parts or not len(edge):
            return None
        inside = shapely.buffer(footprint, CLOSING)
        corners = self.triangles[above].reshape(-1, 3)
        corners = corners[corners[:, 2] > max(part[3] for part in parts)]
        within = corners[shapely.contains_xy(inside, corners[:, :2])]
        ridge = max(float(within[:, 2].max(initial=-np.inf)), *(part[3] for part in parts))
        outline = _polygons(union(self._at_the_outline(above)), MIN_AREA)
        return Roof(self._fill(outline, above), float(np.percentile(edge, 5)), ridge, parts)

    def _near(self, floor: float, top: float) -> _Mask:
        """Say which triangles matter to what stands on `floor` and ends at `top`."""
        return np.asarray((self.high >= floor - SLAB_REACH) & (self.low <= top))

    def _cut(self, floor: float, heights: Sequence[float], near: _Mask) -> BaseGeometry:
        """Return what cuts at `heights` above the floor enclose and triangles `near` it cover."""
        cut = {id(faces): faces for faces in (self.enclosed(floor + height) for height in heights)}.values()
        kept = [faces.union(self._covered(faces.shapes, near)) for faces in cut]
        return shapely.union_all(kept, grid_size=GRID)

    def enclosed(self, height: float) -> Faces:
        """Return the faces into which the horizontal cut at `height` divides the plane, the outer one left out."""
        lines = merge(section(self.triangles[(self.low <= height) & (self.high >= height)], height))
        key = lines.tobytes()
        if key not in self._faces:
            self._faces[key] = Faces.of(lines)
        return self._faces[key]

    def projection(self, chosen: _Mask) -> BaseGeometry:
        """Return the union of the triangles seen from above, metres, grid of 1 mm; vertical ones add nothing."""
        return union(self.triangles[self._visible[chosen[self._visible]], :, :2])

    @cached_property
    def _visible(self) -> NDArray[np.int64]:
        """Indices of the triangles that cover anything when seen from above."""
        edge1, edge2 = (self.triangles[:, i, :2] - self.triangles[:, 0, :2] for i in (1, 2))
        doubled = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
        return np.flatnonzero(np.abs(doubled) > 2 * GRID**2)

    @cached_property
    def _grid(self) -> Grid:
        flat = self.triangles[:, :, :2].reshape(-1, 2)
        (west, south), (east, north) = flat.min(axis=0).tolist(), flat.max(axis=0).tolist()
        step = max(STEP, float(np.sqrt((east - west) * (north - south) / MAX_POINTS)))
        return Grid(west, south, step, int((north - south) / step) + 1, int((east - west) / step) + 1)

    @cached_property
    def _runs(self) -> Runs:
        """What the triangles cover of the grid."""
        runs = self._grid.triangles(self.triangles[self._visible, :, :2])
        return replace(runs, which=self._visible[runs.which])

    def _over(self, points: NDArray[np.float64], chosen: _Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which points lie under or over which of the chosen triangles: indices of both, pair by pair."""
        candidates = self._visible[chosen[self._visible]]
        at, which = over(points, self.triangles[candidates, :, :2])
        return at, candidates[which]

    def _cover(self, chosen: _Mask) -> _Mask:
        return self._grid.covered(self._runs.of(chosen))

    def _slab(self, floor: float) -> _Mask:
        return np.asarray((self.low >= floor - SLAB_REACH) & (self.high <= floor + SLAB_REACH))

    def _above(self, ground: float) -> _Mask:
        return np.asarray(self.high >= ground + ROOF_FROM)

    def _highest(self, chosen: _Mask) -> NDArray[np.float64]:
        """Return the highest z of the chosen triangles over each point of the grid, -inf where none is."""
        return self._top(self._grid.points, *self._grid.cells(self._runs.of(chosen)))

    def _heights_at(self, points: NDArray[np.float64], chosen: _Mask) -> NDArray[np.float64]:
        heights = self._top(points, *self._over(points, chosen))
        return heights[np.isfinite(heights)]

    def _top(self, points: NDArray[np.float64], at: NDArray[np.int64], which: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the highest z of triangles over points, by pairs of indices of both; -inf where none is."""
        corner, slope = self.triangles[:, 0], self._slopes
        x, y = (points[at] - corner[which, :2]).T
        z = corner[which, 2] + slope[which, 0] * x + slope[which, 1] * y
        # Slivers that stand nearly upright must not carry a point beyond their own corners.
        z = np.clip(z, self.low[which], self.high[which])
        heights = np.full(len(points), -np.inf)
        np.maximum.at(heights, at, z)
        return heights

    @cached_property
    def _slopes(self) -> NDArray[np.float64]:
        """How much the plane of each triangle rises in x and in y, zero where it is upright."""
        edge1, edge2 = (self.triangles[:, i] - self.triangles[:, 0] for i in (1, 2))
        normal = np.cross(edge1, edge2)
        slopes = np.zeros((len(normal), 2))
        slopes[self._visible] = -normal[self._visible, :2] / normal[self._visible, 2:]
        return slopes

    def _covered(self, faces: NDArray[np.object_], chosen: _Mask) -> _Mask:
        """Say of each face whether half of it or more is covered: of the points of the grid in it, and one more."""
        if not len(faces):
            return np.array([], dtype=bool)
        points, hits = self._grid.counts(self._grid.polygons(faces), self._cover(chosen), len(faces))
        lead = 2 * hits - points
        # The one more point matters where the others are even, or next to; it tells alone where there are none.
        open_ = np.flatnonzero((lead == 0) | (lead == -1))
        middles = shapely.get_coordinates(shapely.point_on_surface(faces[open_]))
        lead[open_[self._over(middles, chosen)[0]]] = 1
        return np.asarray(lead > 0)

    def _at_the_outline(self, chosen: _Mask) -> NDArray[np.float64]:
        """Return those of the triangles seen from above that lie at an edge of what they cover together."""
        flat = self.triangles[self._visible[chosen[self._visible]], :, :2]
        # Cells at the rim of the covered area, and around: counted up, so that a box of cells is asked in one step.
        rim = np.pad(~self._cover(chosen), 2, constant_values=True)
        counts = np.pad(rim.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        corner, step = (self._grid.west, self._grid.south), self._grid.step
        first = np.floor((flat.min(axis=1) - corner) / step).astype(int) + 1
        last = np.floor((flat.max(axis=1) - corner) / step).astype(int) + 4
        rows, columns = counts.shape
        left, bottom = np.clip(first[:, 0], 0, columns - 1), np.clip(first[:, 1], 0, rows - 1)
        right, top = np.clip(last[:, 0], 0, columns - 1), np.clip(last[:, 1], 0, rows - 1)
        uncovered = counts[top, right] - counts[bottom, right] - counts[top, left] + counts[bottom, left]
        return np.asarray(flat[uncovered > 0])

    def _fill(self, outline: shapely.MultiPolygon, chosen: _Mask) -> shapely.MultiPolygon:
        """Return the outline without those of its holes that are covered."""
        rings = [ring for part in outline.geoms for ring in part.interiors]
        if not rings:
            return outline
        holes = shapely.polygons(rings)
        closed = holes[self._covered(holes, chosen)]
        if not len(closed):
            return outline
        return _polygons(shapely.union_all([outline, *closed], grid_size=GRID), MIN_AREA)

    def _tidy(self, outline: BaseGeometry, near: _Mask) -> shapely.MultiPolygon:
        closed = _offset(_offset(outline, CLOSING), -CLOSING)
        filled = self._fill(_polygons(closed), near)
        opened = _offset(_offset(filled, -THIN), THIN)
        return _polygons(shapely.set_precision(opened, GRID), MIN_AREA)


def room(triangles: Triangles) -> shapely.MultiPolygon | None:
    """Return the outline of a body from above (MultiPolygon, metres, grid of 1 mm); None without area."""
    outline = _polygons(Fabric(triangles).projection(np.ones(len(triangles), bool)))
    return None if outline.is_empty else outline


def _along(footprint: shapely.MultiPolygon) -> NDArray[np.float64]:
    """Return points along the outline, half a metre apart and 5 cm inside of it."""
    rings = [part.exterior for part in _polygons(_offset(footprint, -0.05)).geoms]
    found = [shapely.line_interpolate_point(ring, np.arange(0.0, ring.length, 0.5)) for ring in rings]
    return shapely.get_coordinates(np.concatenate(found)) if found else np.empty((0, 2))


def _polygons(geometry: BaseGeometry, least: float = 0.0) -> shapely.MultiPolygon:
    parts = shapely.get_parts(geometry)
    return shapely.MultiPolygon([p for p in parts if p.geom_type == "Polygon" and p.area > 0 and p.area >= least])


def _offset(geometry: BaseGeometry, distance: float) -> BaseGeometry:
    return shapely.buffer(geometry, distance, join_style="mitre", mitre_limit=5.0)
