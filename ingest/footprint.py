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
- The outline of a **storey** is made like the footprint, above its own floor and up to the next.

Outlines are exact: they are made of the edges of the triangles. Whether a face is covered, and how high the roof is,
is looked up at points of a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

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
    _faces: dict[float, NDArray[np.object_]] = field(default_factory=dict)

    @cached_property
    def low(self) -> NDArray[np.float64]:
        """Lowest z of each triangle."""
        return np.asarray(self.triangles[:, :, 2].min(axis=1))

    @cached_property
    def high(self) -> NDArray[np.float64]:
        """Highest z of each triangle."""
        return np.asarray(self.triangles[:, :, 2].max(axis=1))

    def plan(self, floor: float, cuts: Sequence[float] = CUTS, top: float = np.inf) -> Plan:
        """Return what the fabric encloses a little above `floor`.

        Parameters
        ----------
        floor : height of the floor, metres
        cuts : heights of the cuts above the floor, metres
        top : what lies above this height is not looked at, metres

        Returns
        -------
        Plan with an empty outline where nothing stands on the floor.
        """
        near = (self.high >= floor - SLAB_REACH) & (self.low <= top)
        faces = np.concatenate([self.enclosed(floor + cut) for cut in cuts])
        kept = faces[self._covered(faces, near)]
        outline = shapely.union_all(kept, grid_size=GRID)
        slab, roof = self._slab(floor) & near, self._above(floor) & near
        # Where walls leave gaps too wide to close, the cut encloses next to nothing; slab and roof still tell.
        seen = np.logical_and(self._cover(slab), self._cover(roof)).sum() * self._step**2
        if outline.area < 0.6 * seen:
            roofed = shapely.intersection(self.projection(slab), self.projection(roof), grid_size=GRID)
            if outline.area < 0.5 * roofed.area:
                outline = shapely.union_all([outline, roofed], grid_size=GRID)
        return Plan(self._tidy(outline, near), float(self._cover(near).sum() * self._step**2))

    def roof(self, footprint: shapely.MultiPolygon, ground: float) -> Roof | None:
        """Return the roof over a footprint that stands on `ground` (metres); None where nothing covers it."""
        above = self._above(ground)
        heights = self._highest(above)
        parts = []
        for part in footprint.geoms:
            over = heights[shapely.contains_xy(part, self._points)]
            over = over[np.isfinite(over)]
            if len(over):
                lowest, middle, block, highest = np.percentile(over, (0, 50, 70, 100))
                parts.append((float(lowest), float(middle), float(block), float(highest)))
        edge = self._heights_at(_along(footprint), above)
        if not parts or not len(edge):
            return None
        inside = shapely.buffer(footprint, CLOSING)
        corners = self.triangles[above].reshape(-1, 3)
        within = corners[shapely.contains_xy(inside, corners[:, :2])]
        ridge = max(float(within[:, 2].max(initial=-np.inf)), *(part[3] for part in parts))
        outline = _polygons(shapely.union_all(self._at_the_outline(above), grid_size=GRID), MIN_AREA)
        return Roof(self._fill(outline, above), float(np.percentile(edge, 5)), ridge, parts)

    def enclosed(self, height: float) -> NDArray[np.object_]:
        """Return the faces into which the horizontal cut at `height` divides the plane, the outer one left out."""
        key = round(height, 6)
        if key not in self._faces:
            lines = section(self.triangles[(self.low <= height) & (self.high >= height)], height)
            if len(lines):
                noded = shapely.union_all(shapely.linestrings(lines), grid_size=GRID)
                self._faces[key] = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
            else:
                self._faces[key] = np.array([], dtype=object)
        return self._faces[key]

    def projection(self, chosen: _Mask) -> BaseGeometry:
        """Return the union of the triangles seen from above, metres, grid of 1 mm; vertical ones add nothing."""
        return shapely.union_all(self._flat[chosen[self._visible]], grid_size=GRID)

    @cached_property
    def _visible(self) -> NDArray[np.int64]:
        """Indices of the triangles that cover anything when seen from above."""
        edge1, edge2 = (self.triangles[:, i, :2] - self.triangles[:, 0, :2] for i in (1, 2))
        doubled = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
        return np.flatnonzero(np.abs(doubled) > 2 * GRID**2)

    @cached_property
    def _flat(self) -> NDArray[np.object_]:
        flat = self.triangles[self._visible, :, :2]
        return np.asarray(shapely.polygons(np.concatenate([flat, flat[:, :1]], axis=1)), object)

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self._flat)

    @cached_property
    def _bounds(self) -> tuple[float, float, float, float]:
        flat = self.triangles[:, :, :2].reshape(-1, 2)
        (west, south), (east, north) = flat.min(axis=0), flat.max(axis=0)
        return float(west), float(south), float(east), float(north)

    @cached_property
    def _step(self) -> float:
        west, south, east, north = self._bounds
        return max(STEP, float(np.sqrt((east - west) * (north - south) / MAX_POINTS)))

    @cached_property
    def _shape(self) -> tuple[int, int]:
        west, south, east, north = self._bounds
        return int((north - south) / self._step) + 1, int((east - west) / self._step) + 1

    @cached_property
    def _points(self) -> NDArray[np.float64]:
        """Middles of the cells of the grid, row by row from the south."""
        west, south, _, _ = self._bounds
        rows, columns = self._shape
        x, y = np.meshgrid(west + (np.arange(columns) + 0.5) * self._step, south + (np.arange(rows) + 0.5) * self._step)
        return np.column_stack([x.ravel(), y.ravel()])

    @cached_property
    def _hits(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which points of the grid lie under or over which triangles: indices of both, pair by pair."""
        return self._over(self._points)

    def _over(self, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if not len(points) or not len(self._visible):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        at, which = self._tree.query(shapely.points(points), predicate="intersects")
        return at, self._visible[which]

    def _cover(self, chosen: _Mask) -> _Mask:
        at, which = self._hits
        covered = np.zeros(len(self._points), bool)
        covered[at[chosen[which]]] = True
        return covered

    def _slab(self, floor: float) -> _Mask:
        return np.asarray((self.low >= floor - SLAB_REACH) & (self.high <= floor + SLAB_REACH))

    def _above(self, ground: float) -> _Mask:
        return np.asarray(self.high >= ground + ROOF_FROM)

    def _highest(self, chosen: _Mask) -> NDArray[np.float64]:
        """Return the highest z of the chosen triangles over each point of the grid, -inf where none is."""
        return self._top(self._points, *self._hits, chosen)

    def _heights_at(self, points: NDArray[np.float64], chosen: _Mask) -> NDArray[np.float64]:
        heights = self._top(points, *self._over(points), chosen)
        return heights[np.isfinite(heights)]

    def _top(
        self, points: NDArray[np.float64], at: NDArray[np.int64], which: NDArray[np.int64], chosen: _Mask
    ) -> NDArray[np.float64]:
        at, which = at[chosen[which]], which[chosen[which]]
        corners = self.triangles[which]
        edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        normal = np.cross(edge1, edge2)
        away = points[at] - corners[:, 0, :2]
        z = corners[:, 0, 2] - (normal[:, 0] * away[:, 0] + normal[:, 1] * away[:, 1]) / normal[:, 2]
        # Slivers that stand nearly upright must not carry a point beyond their own corners.
        z = np.clip(z, self.low[which], self.high[which])
        heights = np.full(len(points), -np.inf)
        np.maximum.at(heights, at, z)
        return heights

    def _covered(self, faces: NDArray[np.object_], chosen: _Mask) -> _Mask:
        """Say of each face whether half of it or more is covered."""
        if not len(faces):
            return np.array([], dtype=bool)
        covered = self._cover(chosen)
        face, point = shapely.STRtree(np.asarray(shapely.points(self._points), object)).query(
            faces, predicate="intersects"
        )
        middles = shapely.get_coordinates(shapely.point_on_surface(faces))
        at, which = self._over(middles)
        hits, of = np.zeros(len(faces)), np.ones(len(faces))
        hits[at[chosen[which]]] = 1.0
        np.add.at(of, face, 1.0)
        np.add.at(hits, face, covered[point].astype(float))
        return np.asarray(hits >= 0.5 * of)

    def _at_the_outline(self, chosen: _Mask) -> NDArray[np.object_]:
        """Return those of the triangles seen from above that lie at an edge of what they cover together."""
        flat = self._flat[chosen[self._visible]]
        whole = self._cover(chosen).reshape(self._shape)
        # Cells at the rim of the covered area, and around: counted up, so that a box of cells is asked in one step.
        rim = np.pad(~whole, 2, constant_values=True)
        counts = np.pad(rim.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        west, south, _, _ = self._bounds
        boxes = shapely.bounds(flat) - (west, south, west, south)
        first = np.floor(boxes[:, :2] / self._step).astype(int) + 1
        last = np.floor(boxes[:, 2:] / self._step).astype(int) + 4
        rows, columns = counts.shape
        left, bottom = np.clip(first[:, 0], 0, columns - 1), np.clip(first[:, 1], 0, rows - 1)
        right, top = np.clip(last[:, 0], 0, columns - 1), np.clip(last[:, 1], 0, rows - 1)
        uncovered = counts[top, right] - counts[bottom, right] - counts[top, left] + counts[bottom, left]
        return np.asarray(flat[uncovered > 0])

    def _fill(self, outline: shapely.MultiPolygon, chosen: _Mask) -> shapely.MultiPolygon:
        """Return the outline without those of its holes that are covered."""
        rings = [ring for part in outline.geoms for ring in part.interiors]
        holes = shapely.polygons(rings) if rings else np.array([], dtype=object)
        closed = holes[self._covered(holes, chosen)]
        if not len(closed):
            return outline
        return _polygons(shapely.union_all([outline, *closed], grid_size=GRID), MIN_AREA)

    def _tidy(self, outline: BaseGeometry, near: _Mask) -> shapely.MultiPolygon:
        closed = _offset(_offset(outline, CLOSING), -CLOSING)
        filled = self._fill(_polygons(closed), near)
        opened = _offset(_offset(filled, -THIN), THIN)
        return _polygons(shapely.set_precision(opened, GRID), MIN_AREA)


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
