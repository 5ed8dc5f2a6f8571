"""Which buildings are modelled, where the models lie on the map, how storeys are cut into rooms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from shapely import Polygon

from sample_data._records import Layers
from sample_data._town import House

Record = dict[str, Any]

WALL, PARTY_WALL = 0.24, 0.2  # thickness, m


@dataclass(frozen=True)
class Room:
    """A room: outline in model metres, number on the door, what it is."""

    outline: Polygon
    number: str
    kind: str


@dataclass(frozen=True)
class Subject:
    """A building to model: its footprint in metres of the model; `cos` and `sin` turn it to the map."""

    record: Record
    house: House
    outline: Polygon
    east: float
    north: float
    cos: float
    sin: float
    occupancy: str

    @property
    def storey_height(self) -> float:
        """Height of a storey, m."""
        return self.house.storey_height

    def rooms(self, storey: int) -> list[Room]:
        """Return the rooms of a storey counted from 1: flats side by side, or classrooms along the wings."""
        inside = self.outline.buffer(-WALL, join_style="mitre")
        pieces = _flats(self, inside) if self.house.flats else _classrooms(inside)
        rooms = []
        for n, piece in enumerate(pieces):
            if self.house.flats:
                stair, flat = divmod(n, self.house.flats)
                rooms.append(Room(piece, f"{stair + 1}-{storey}{flat + 1:02d}", "住宅"))
            else:
                rooms.append(Room(piece, f"{storey}{n + 1:02d}", "教室"))
        return rooms


def subjects(layers: Layers) -> list[tuple[str, Subject, float]]:
    """Return what to model: file name, building, metres per unit of length of the model."""
    records = layers.records["building"]
    slab = next(r for r in records if r["name"].startswith("红旗里") and r["storeys_above"] == 5 and r["dwellings"])
    school = next(r for r in records if layers.houses[r["code"]].tag == "school")
    return [
        ("red_flag_slab_mm.ifc", _subject(slab, layers.houses[slab["code"]], "住宅"), 0.001),
        ("primary_school_m.ifc", _subject(school, layers.houses[school["code"]], "学校"), 1.0),
    ]


def _subject(record: Record, house: House, occupancy: str) -> Subject:
    ring = np.array(shapely.normalize(record["geom"]).exterior.coords)
    edges = np.diff(ring, axis=0)
    along = edges[np.argmax(np.hypot(*edges.T))]
    along = along if along[0] > 0 else -along
    cos, sin = along / np.hypot(*along)
    # The turn first and the move second: coordinates of the map are too large to turn with millimetres kept.
    start = ring[np.argmin((ring - ring[0]) @ np.array([cos - sin, sin + cos]))]
    local = (ring - start) @ np.array([[cos, -sin], [sin, cos]])
    outline = shapely.orient_polygons(Polygon(local.round(5)))
    return Subject(record, house, outline, float(start[0]), float(start[1]), float(cos), float(sin), occupancy)


def _flats(subject: Subject, inside: Polygon) -> list[Polygon]:
    west, south, east, north = inside.bounds
    count = subject.house.stairs * subject.house.flats
    step = (east - west) / count
    strips = [shapely.box(west + n * step, south - 1, west + (n + 1) * step, north + 1) for n in range(count)]
    return list(_rooms(inside, strips))


def _classrooms(inside: Polygon) -> list[Polygon]:
    """Cut an L at its inner corner and every 9 m along its wings."""
    west, south, east, north = inside.bounds
    corner = min(
        inside.exterior.coords[:-1],
        key=lambda p: math.hypot(p[0] - (west + east) / 2, p[1] - (south + north) / 2),
    )
    columns = [west, corner[0], *_steps(corner[0], east, 9.0)]
    rows = [*reversed(_steps(corner[1], south, 9.0)), corner[1], north]
    cells = [shapely.box(a, c, b, d) for c, d in pairwise(rows) for a, b in pairwise(columns)]
    return list(_rooms(inside, cells))


def _steps(start: float, end: float, step: float) -> list[float]:
    count = max(1, round(abs(end - start) / step))
    return [start + (end - start) * (n + 1) / count for n in range(count)]


def _rooms(inside: Polygon, cells: Iterable[Polygon]) -> Iterator[Polygon]:
    for cell in cells:
        room = inside.intersection(cell.buffer(-PARTY_WALL / 2, join_style="mitre"))
        if isinstance(room, Polygon) and room.area > 8:
            yield shapely.orient_polygons(shapely.simplify(room, 0.001))
