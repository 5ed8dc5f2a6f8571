"""The faults real deliveries have, put into records that were right. The README's table counts them.

Only buildings without units lose or damage their code, so that no unit is left without its building.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

Record = dict[str, Any]


def bow_tie(geometry: BaseGeometry) -> BaseGeometry:
    """Return the polygon with two neighbouring corners exchanged, so that its ring crosses itself.

    Of all exchanges it takes the one whose repair changes the area least.
    """
    assert isinstance(geometry, Polygon)
    ring = list(geometry.exterior.coords)[:-1]
    holes = [list(hole.coords) for hole in geometry.interiors]
    best: tuple[float, Polygon] | None = None
    for n in range(len(ring) - 1):
        crossed = Polygon([*ring[:n], ring[n + 1], ring[n], *ring[n + 2 :]], holes)
        if crossed.is_valid:
            continue
        change = abs(shapely.make_valid(crossed).area - geometry.area)
        if best is None or change < best[0]:
            best = (change, crossed)
    assert best is not None
    return best[1]


def old_buildings(records: list[Record], rng: random.Random) -> list[Record]:
    """Damage 12 records of the survey of old buildings, numbered first, and deliver 2 more twice."""
    rows = [{**row, "number": n + 1} for n, row in enumerate(records)]
    homes = [row for row in rows if row["dwellings"] > 5 and not isinstance(row["geom"], MultiPolygon)]
    sheds = [
        row
        for row in rows
        if not row["dwellings"] and row["footprint_area"] < 150 and row["heritage"] == "none" and row["structure"]
    ]
    ringed, spare = rng.sample(homes, 3), rng.sample(sheds, 11)
    for row in ringed:
        row["geom"] = bow_tie(row["geom"])
    spare[0]["code"] = spare[1]["code"] = None
    spare[2]["code"] = spare[2]["code"][:9] + spare[2]["code"][10:]  # a digit dropped: 27 places
    spare[3]["code"] = _wide(spare[3]["code"])
    spare[4]["code"] = f"{spare[4]['code'][:12]} {spare[4]['code'][12:19].lower()} {spare[4]['code'][19:].lower()}"
    spare[5]["structure_zh"], spare[6]["structure_zh"] = "砖石", "简易"
    spare[7]["usage_zh"] = "车库"
    spare[8]["geom"] = None
    twice, changed = dict(spare[9]), dict(spare[10])
    changed["year_built"], changed["number"] = (changed["year_built"] or 1980) + 10, len(rows) + 1
    return [*rows, twice, changed]


def parcels(records: list[Record], rng: random.Random) -> list[Record]:
    """Cross the ring of 2 parcels."""
    rows = [dict(row) for row in records]
    for row in rng.sample([row for row in rows if len(row["geom"].exterior.coords) > 6], 2):
        row["geom"] = bow_tie(row["geom"])
    return rows


def new_buildings(records: list[Record], rng: random.Random) -> list[Record]:
    """Mistype the year of 1 building."""
    rows = [dict(row) for row in records]
    row = rng.choice([row for row in rows if not row["dwellings"] and row["storeys_above"] == 1])
    row["year_built"] = 20 * 1000 + row["year_built"] % 100
    return rows


def units(records: list[Record], rng: random.Random) -> list[Record]:
    """Take the code from 2 units."""
    rows = [dict(row) for row in records]
    for row in rng.sample(rows, 2):
        row["code"] = None
    return rows


def components(records: list[Record], rng: random.Random) -> list[Record]:
    """Damage 5 components and deliver 1 twice."""
    rows = [dict(row) for row in records]
    lamps = rng.sample([row for row in rows if row["class_code"] == "0118"], 6)
    lamps[0]["code"], lamps[0]["class_code"] = lamps[0]["code"][:6] + "0605" + lamps[0]["code"][10:], "0605"
    lamps[1]["code"] = lamps[1]["code"][:10] + lamps[1]["code"][12:]
    lamps[2]["status_zh"], lamps[3]["status_zh"] = "坏了", "不亮"
    lamps[4]["geom"] = None
    return [*rows, dict(lamps[5])]


def facilities(records: list[Record], rng: random.Random) -> list[Record]:
    """Take the place from 1 bus stop and misname the kind of another."""
    rows = [dict(row) for row in records]
    stops = rng.sample([row for row in rows if row["kind"] == "bus_stop"], 2)
    stops[0]["geom"] = None
    stops[1]["kind"] = "公交站台"
    return rows


def roads(records: list[Record], rng: random.Random) -> list[Record]:
    """Deliver 1 road edge twice."""
    return [*records, dict(rng.choice(records))]


def unknown(
    records: list[Record], column: str, number: int, rng: random.Random, where: Callable[[Record], bool]
) -> None:
    """Blank a column in `number` of the records that `where` picks: nobody knows; that is no fault."""
    for row in rng.sample([row for row in records if where(row)], number):
        row[column] = None


def _wide(code: str) -> str:
    return "".join(chr(ord(character) + 0xFEE0) for character in code)
