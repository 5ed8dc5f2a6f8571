"""A city made from a seed: what is measured on it says the same on every machine.

Buildings have 5 to 60 vertices (bays along the walls), three or four a parcel, some 1,850 to the square kilometre, with
streets, greens, facilities, planning zones and districts. Everything is captured as any other load.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from cim.city import City

SRID = 4548
WEST, SOUTH = 480_000.0, 4_300_000.0
ORIGIN = np.array([WEST, SOUTH])
PITCH, SIDE = 42.6, 37.6  # of the parcels' lattice, and of a parcel, metres
A_PARCEL = 3.4  # buildings on a parcel
EVERY = 5  # parcels between two streets
SHAPES = 240
DISTRICTS = 50
CHUNK = 50_000
USAGES = ("residential", "commercial", "office", "education", "industrial", "public_service")
STRUCTURES = ("brick_wood", "mixed", "reinforced_concrete", "steel")
KINDS = ("kindergarten", "primary_school", "health_centre", "market", "elder_day_care", "service_station")


@dataclass(frozen=True)
class Town:
    """What was made: how many buildings, and the side of its square, metres."""

    buildings: int
    side: float


def footprints(random: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    """Return rings around the origin, 12 to 17 m long: rectangles with bays, 5 to 60 vertices with the closing one."""
    shapes = []
    for _ in range(SHAPES):
        long, wide = random.uniform(12, 17), random.uniform(9, 14)
        bays = int(random.integers(0, 14))
        corners = np.array([[-long, -wide], [long, -wide], [long, wide], [-long, wide]]) / 2
        ring = []
        for side in range(4):
            start, end = corners[side], corners[(side + 1) % 4]
            along = (end - start) / np.hypot(*(end - start))
            out = np.array([along[1], -along[0]])
            ring.append(start)
            share = bays // 4 + (side < bays % 4)
            length = np.hypot(*(end - start))
            for bay in range(share):
                middle = length * (bay + 1) / (share + 1)
                half, depth = length / (share + 1) / 4, random.uniform(0.4, 1.2)
                for at, off in ((-half, 0), (-half, depth), (half, depth), (half, 0)):
                    ring.append(start + along * (middle + at) + out * off)
        ring.append(ring[0])
        shapes.append(np.array(ring))
    return shapes


def make(city: City, buildings: int, seed: int = 1) -> Town:
    """Fill an empty city, in committed chunks, and return what it is."""
    random = np.random.default_rng(seed)
    parcels = int(np.ceil(buildings / A_PARCEL))
    across = int(np.ceil(np.sqrt(parcels)))
    number = np.arange(parcels)
    corner = np.stack([number % across, number // across], axis=1) * PITCH + ORIGIN
    codes = [f"110105{n // 1_000_000 + 1:03d}{n // 10_000 % 100 + 1:03d}GB{n % 10_000 + 1:05d}" for n in number]
    squares = shapely.box(*corner.T, *(corner + SIDE).T)
    tenure = np.where(random.random(parcels) < 0.9, "state_owned", "collective")
    copy(city, "parcel", ["code", "tenure", "geom"], zip(codes, tenure, multi(squares), strict=True))
    _buildings(city, buildings, parcels, corner, codes, random)
    side = across * PITCH
    _lines(city, across)
    _rest(city, buildings, side, random)
    return Town(buildings, side)


def _buildings(city: City, buildings: int, parcels: int, corner: Any, codes: list[str], random: Any) -> None:
    shapes = footprints(random)
    parcel = np.minimum((np.arange(buildings) / A_PARCEL).astype(np.int64), parcels - 1)
    first = np.searchsorted(parcel, parcel, side="left")
    place = np.arange(buildings) - first  # 0 … 3 on its parcel
    middle = corner[parcel] + np.stack([place % 2, place // 2], axis=1) * SIDE / 2 + SIDE / 4
    chosen = random.integers(0, SHAPES, buildings)
    geometry = np.empty(buildings, dtype=object)
    for shape in range(SHAPES):
        rows = np.flatnonzero(chosen == shape)
        geometry[rows] = shapely.polygons(np.round(shapes[shape][None] + middle[rows][:, None], 3))
    storeys = random.integers(1, 19, buildings)
    area = np.round(shapely.area(geometry) * storeys, 2)
    year = random.integers(1950, 2024, buildings)
    usage = np.array(USAGES)[random.choice(len(USAGES), buildings, p=[0.7, 0.1, 0.05, 0.03, 0.07, 0.05])]
    structure = np.array(STRUCTURES)[random.integers(0, len(STRUCTURES), buildings)]
    danger = np.array([*"ABCD"])[random.choice(4, buildings, p=[0.8, 0.15, 0.04, 0.01])]
    dwellings = (area / 80).astype(np.int64) * (usage == "residential")
    unknown = random.random((3, buildings)) < 0.02
    columns = ["code", "parcel_code", "usage", "structure", "status", "year_built", "storeys_above", "storeys_below"]
    columns += ["height", "gross_floor_area", "dwellings", "households", "danger_grade", "heritage", "has_lift", "geom"]
    rows = (
        (
            f"{codes[parcel[n]]}F{place[n] + 1:04d}0000",
            codes[parcel[n]],
            usage[n],
            structure[n],
            "in_use",
            None if unknown[0, n] else int(year[n]),
            int(storeys[n]),
            0,
            float(storeys[n] * 3),
            None if unknown[1, n] else float(area[n]),
            int(dwellings[n]),
            None if unknown[2, n] else int(dwellings[n] * 0.9),
            danger[n],
            "none",
            bool(storeys[n] > 6),
            geometry[n],
        )
        for n in range(buildings)
    )
    copy(city, "building", columns, rows)


def _lines(city: City, across: int) -> None:
    """Streets between every few parcels, each from one crossing to the next."""
    step = EVERY * PITCH
    count = across // EVERY + 1
    at = np.arange(count) * step - (PITCH - SIDE) / 2
    ends = [((a, b), (a + step, b)) for b in at for a in at[:-1]] + [
        ((a, b), (a, b + step)) for a in at for b in at[:-1]
    ]
    lines = shapely.linestrings(np.array(ends) + ORIGIN)
    rows = ((f"RO-{n}", "branch", "in_use", shapely.multilinestrings([line])) for n, line in enumerate(lines))
    copy(city, "road", ["code", "road_class", "status", "geom"], rows)


def _rest(city: City, buildings: int, side: float, random: Any) -> None:
    def places(count: int, size: float) -> Any:
        south_west = random.uniform(0, max(side - size, 1), (count, 2)) + ORIGIN
        return shapely.box(*south_west.T, *(south_west + size).T)

    greens = places(buildings // 200 + 1, 60)
    copy(
        city,
        "green_space",
        ["code", "kind", "counts_as_green", "geom"],
        ((f"GR-{n}", "park", True, g) for n, g in enumerate(multi(greens))),
    )
    points = shapely.points(random.uniform(0, side, (buildings // 44 + 6, 2)) + ORIGIN)
    kinds = random.integers(0, len(KINDS), len(points))
    copy(
        city,
        "facility",
        ["code", "kind", "geom"],
        ((f"FA-{n}", KINDS[kinds[n]], point) for n, point in enumerate(points)),
    )
    zones = [
        shapely.box(x, y, x + 1000, y + 1000)
        for x in np.arange(WEST, WEST + side, 1000)
        for y in np.arange(SOUTH, SOUTH + side, 1000)
    ]
    copy(
        city,
        "planning_zone",
        ["code", "zone_kind", "far_cap", "density_cap", "height_cap", "geom"],
        ((f"PZ-{n}", "development_control", 3.0, 0.5, 54.0, z) for n, z in enumerate(multi(np.array(zones)))),
    )
    middle = np.array([WEST, SOUTH]) + side / 2
    half = min(500.0, side / 2)
    districts = [shapely.box(*(middle - half), *(middle + half)), *places(DISTRICTS, min(1000.0, side / 2))]
    copy(
        city,
        "renewal_district",
        ["code", "name", "geom"],
        ((f"RD-{n}", f"片区 {n}", d) for n, d in enumerate(multi(np.array(districts)))),
    )


def multi(areas: Any) -> Any:
    return np.array([shapely.multipolygons([area]) for area in areas], dtype=object)


def copy(city: City, type_name: str, columns: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Commit rows through COPY, as any client of PostgreSQL may; the triggers capture them."""
    wanted_multi = city.database.table(type_name).c.geom.type.geometry_type.startswith("MULTI")
    statement = f"COPY city.{type_name} ({', '.join(columns)}) FROM STDIN"
    pending: list[tuple[Any, ...]] = []

    def flush() -> None:
        shapes = np.array([row[-1] for row in pending], dtype=object)
        if wanted_multi and shapes[0].geom_type == "Polygon":
            shapes = multi(shapes)
        texts = shapely.to_wkb(shapely.set_srid(shapes, SRID), hex=True, include_srid=True)
        with city.database.engine.begin() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            with raw.cursor().copy(statement) as out:
                for row, geometry in zip(pending, texts, strict=True):
                    out.write_row((*row[:-1], geometry))
        pending.clear()

    for row in rows:
        pending.append(tuple(v.item() if isinstance(v, np.generic) else v for v in row))
        if len(pending) == CHUNK:
            flush()
    if pending:
        flush()
