"""What stands in the town: plots and houses, and the tools that set houses on plots.

Local frame, metres. Nothing here knows of codes or columns; `_records` gives every object its record.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import shapely
from shapely import LineString, Point, Polygon, affinity
from shapely.geometry.base import BaseGeometry

from sample_data import _footprints as shapes
from sample_data._layout import Block, Plan, Street, largest


@dataclass
class House:
    """One building; `stairs` times `flats` dwellings on a floor; `shops`: the ground floor trades."""

    shape: Polygon
    usage: str
    structure: str
    year: int | None
    storeys: int
    name: str
    storey_height: float = 3.0
    below: int = 0
    stairs: int = 0
    flats: int = 0
    shops: bool = False
    status: str = "in_use"
    heritage: str = "none"
    tenure: str = "private_owned"
    tag: str = ""


@dataclass
class Plot:
    """One parcel: its ground, the right on it (places 13-14 of the code), what it is for, and its houses."""

    shape: Polygon
    zone: int
    right: str
    land_use: str
    name: str
    address: str
    houses: list[House] = field(default_factory=list)


@dataclass
class Town:
    """The whole district: plan, plots, greens and public services."""

    plan: Plan
    plots: list[Plot] = field(default_factory=list)
    greens: list[tuple[Polygon, str, str]] = field(default_factory=list)
    services: list[tuple[Point, str, str, int | None, House | None]] = field(default_factory=list)

    def lane(self, line: LineString, width: float, name: str) -> None:
        """Add a lane to the road graph."""
        self.plan.lanes.append(Street(line, width, name, lane=True))

    def serve(self, house: House, kind: str, name: str, capacity: int | None) -> None:
        """Add a public service at the middle of a house."""
        self.services.append((house.shape.representative_point(), kind, name, capacity, house))


class Site:
    """A plot being built on: keeps houses inside its fence and apart from each other."""

    def __init__(self, town: Town, block: Block, zone: int, land_use: str, name: str, address: str, right: str = "GB"):
        self.plot = Plot(block.plot, zone, right, land_use, name, address)
        self.town = town
        town.plots.append(self.plot)

    @property
    def houses(self) -> list[House]:
        """Houses built so far."""
        return self.plot.houses

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north of the plot."""
        west, south, east, north = self.plot.shape.bounds
        return west, south, east, north

    def fits(self, shape: Polygon, fence: float, apart: float) -> bool:
        """Say whether a shape keeps `fence` m from the plot's edge and `apart` m from the other houses."""
        if not self.plot.shape.buffer(-fence).contains(shape):
            return False
        return all(shape.distance(house.shape) >= apart for house in self.houses)

    def add(self, house: House, *, fence: float = 2.0, apart: float = 3.0) -> bool:
        """Build a house if there is room for it."""
        if not self.fits(house.shape, fence, apart):
            return False
        self.houses.append(house)
        return True

    def rows(
        self,
        depth: float,
        gap: float,
        lengths: tuple[float, ...],
        fence: float,
        between: float,
        angle: float = 0.0,
    ) -> Iterator[tuple[float, float, float]]:
        """Yield (x, y, length) of slabs in rows from south to north, the plot turned by -`angle` degrees."""
        about = self.plot.shape.centroid
        room = largest(affinity.rotate(self.plot.shape.buffer(-fence), -angle, origin=about))
        _, y, _, north = room.bounds
        row = 0
        while y + depth <= north:
            west, east = self._stretch(room, y, y + depth)
            row += 1
            if east - west >= min(lengths):
                yield from self._fill(west, east, y, lengths, between, row)
                y += depth + gap
            else:
                y += 2.0

    @staticmethod
    def _stretch(room: Polygon, low: float, high: float) -> tuple[float, float]:
        spans = []
        for y in (low, high):
            cut = room.intersection(LineString([(-2000, y), (3000, y)]))
            if cut.is_empty or cut.length == 0:
                return 0.0, 0.0
            spans.append(cut.bounds)
        return max(span[0] for span in spans), min(span[2] for span in spans)

    @staticmethod
    def _fill(
        west: float, east: float, y: float, lengths: tuple[float, ...], between: float, row: int
    ) -> Iterator[tuple[float, float, float]]:
        wanted: list[float] = []
        while True:
            length = lengths[(row + len(wanted)) % len(lengths)]
            if sum(wanted) + length + between * len(wanted) > east - west:
                length = min(lengths)
                if sum(wanted) + length + between * len(wanted) > east - west:
                    break
            wanted.append(length)
        # Slabs grow by up to a fifth to use their row's length; what is left moves it off the middle.
        stretch = min(1.2, (east - west - between * (len(wanted) - 1)) / sum(wanted))
        spare = east - west - between * (len(wanted) - 1) - stretch * sum(wanted)
        x = west + spare * (0.5 if row % 2 else 0.35)
        for length in wanted:
            yield x, y, stretch * length
            x += stretch * length + between

    def scatter(self, rng: random.Random, make: list[House], *, fence: float = 1.5, apart: float = 5.0) -> int:
        """Find room for small houses by trying places along the fence first; return how many found one."""
        west, south, east, north = self.bounds
        built = 0
        for house in make:
            for attempt in range(60):
                w, s, e, n = house.shape.bounds
                x = rng.uniform(west, east - (e - w))
                y = rng.uniform(south, north - (n - s))
                if attempt < 30:
                    x, y = rng.choice(
                        [
                            (x, south + fence + 0.4),
                            (x, north - fence - 0.4 - (n - s)),
                            (west + fence + 1.2, y),
                            (east - fence - 1.2 - (e - w), y),
                        ]
                    )
                house.shape = shapes.place(house.shape, x, y)
                if self.add(house, fence=fence, apart=apart):
                    built += 1
                    break
        return built

    def green(self, name: str, kind: str, *, clear: float = 4.0, least: float = 250.0) -> None:
        """Make a green of the largest open rectangle-like room left between the houses."""
        room: BaseGeometry = self.plot.shape.buffer(-2)
        if self.houses:
            room = room.difference(shapely.union_all([house.shape for house in self.houses]).buffer(clear))
        room = room.buffer(-3.5).buffer(3.5)
        if room.is_empty:
            return
        garden = largest(room)
        # A green between rows is compact: take the middle of the room, not its tails along the fence.
        middle = garden.representative_point()
        frame = shapely.box(middle.x - 26, middle.y - 17, middle.x + 26, middle.y + 17)
        garden = largest(garden.intersection(frame))
        garden = largest(shapely.simplify(garden, 0.4))
        if garden.area >= least:
            self.town.greens.append((garden, kind, name))
