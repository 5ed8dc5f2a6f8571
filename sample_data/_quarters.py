"""The quarters of the town: how each kind of block is cut into plots and built on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from shapely import Polygon

from sample_data import _footprints as shapes
from sample_data._layout import Block, slices
from sample_data._town import House, Site, Town


@dataclass(frozen=True)
class Estate:
    """A housing estate: years of construction, storeys, and how its slabs or towers look."""

    name: str
    years: tuple[int, int]
    storeys: tuple[int, ...]
    tenure: str = "private_owned"
    south: float = 0.0
    style: Literal["slab", "stepped", "plain"] = "slab"
    shops: bool = False


def structure_of(year: int, storeys: int) -> str:
    """Return the usual structure of a house of that year and number of storeys."""
    if storeys <= 2 and year < 1985:
        return "brick_wood"
    if storeys <= 6 and year < 2003:
        return "mixed"
    return "reinforced_concrete"


def estate(
    town: Town,
    rng: random.Random,
    block: Block,
    zone: int,
    address: str,
    plan: Estate,
    also: Sequence[House] = (),
) -> Site:
    """Build rows of slabs with sheds, and the houses of `also`, at the fence, and a garden in the middle.

    What of `also` finds no room is left out.
    """
    site = Site(town, block, zone, "residential", plan.name, address)
    old = plan.years[0] < 1985
    depth = 9.6 if old else 11.4
    top = max(plan.storeys)
    gap = (1.12 if old else 1.3) * top * 2.8 + 2.0
    lengths = (42.0, 56.0, 30.0) if old else (48.0, 62.0, 34.0)
    about = site.plot.shape.centroid
    for n, (x, y, length) in enumerate(site.rows(depth, gap, lengths, 6.5, 8.0, plan.south)):
        stairs = max(2, round(length / 14.5))
        year = rng.randint(*plan.years)
        storeys = rng.choice(plan.storeys)
        shape = shapes.place(_slab(plan, length, depth, stairs, storeys), x, y)
        shape = shapes.turn(shape, plan.south, about)
        shops = plan.shops and n < 2
        house = House(
            shape,
            "mixed" if shops else "residential",
            structure_of(year, storeys),
            year,
            storeys,
            f"{plan.name}{n + 1}号楼",
            2.8 if year >= 1980 else 2.9,
            0,
            stairs,
            2,
            shops,
            tenure=plan.tenure,
        )
        site.add(house, fence=2.0, apart=6.0)
    first = min(plan.years)
    sheds = [
        House(shapes.rectangle(18.0, 4.2), "public_service", "brick_wood", first + 1, 1, f"{plan.name}车棚", 2.7),
        House(shapes.ell(15.0, 10.0, 6.0), "public_service", "mixed", first, 1, f"{plan.name}锅炉房", 4.5),
        House(shapes.rectangle(5.4, 3.6), "public_service", "mixed", first + 4, 1, f"{plan.name}门卫室", 2.8),
    ]
    site.scatter(rng, [*also, *sheds])
    site.green(f"{plan.name}中心绿地", "residential")
    return site


def _slab(plan: Estate, length: float, depth: float, stairs: int, storeys: int) -> Polygon:
    if plan.style == "plain" or storeys <= 3:
        return shapes.slab(length, depth, stairs, balconies=False)
    if plan.style == "stepped" and stairs >= 3:
        return shapes.stepped(length, depth, stairs, 2.1)
    return shapes.slab(length, depth, stairs, balconies=stairs <= 4)


def towers(town: Town, rng: random.Random, block: Block, zone: int, address: str, plan: Estate) -> Site:
    """Build towers in a loose grid, shops along the street, a kindergarten."""
    site = Site(town, block, zone, "residential", plan.name, address)
    slab_like = plan.style == "plain"
    width, depth = (34.0, 14.0) if slab_like else (25.0, 23.0)
    west, south, east, _ = site.bounds
    shop_year = plan.years[0]
    for x in (west + 6.0, (west + east) / 2 + 6.0):
        length = (east - west) / 2 - 16.0
        shape = shapes.place(shapes.rectangle(length, 11.0), x, south + 5.0)
        site.add(House(shape, "commercial", "reinforced_concrete", shop_year, 2, f"{plan.name}商铺", 3.9))
    down = 3
    for n, (x, y, _) in enumerate(site.rows(depth + 5.0, 27.0, (width,), 8.0, 24.0, plan.south)):
        shape = shapes.plank(width, depth) if slab_like else shapes.butterfly(width)
        shape = shapes.turn(shapes.place(shape, x, y), plan.south, site.plot.shape.centroid)
        storeys, year = rng.choice(plan.storeys), rng.randint(*plan.years)
        site.add(
            House(
                shape,
                "residential",
                "reinforced_concrete",
                year,
                storeys,
                f"{plan.name}{n + 1}号楼",
                2.9,
                2,
                1,
                4 if not slab_like else 3,
            ),
            fence=3.0,
            apart=9.0,
        )
        down = n
    gate = House(
        shapes.rectangle(7.2, 4.2),
        "public_service",
        "reinforced_concrete",
        shop_year,
        1,
        f"{plan.name}门卫室",
    )
    nursery = House(
        shapes.ell(30.0, 21.0, 11.0),
        "education",
        "reinforced_concrete",
        plan.years[1],
        3,
        f"{plan.name}幼儿园",
        3.6,
    )
    if site.scatter(rng, [nursery], fence=3.0, apart=10.0):
        town.serve(nursery, "kindergarten", nursery.name, 270)
    site.scatter(rng, [gate])
    if down:
        site.green(f"{plan.name}花园", "residential", clear=6.0)
    return site


def courtyards(town: Town, rng: random.Random, block: Block, zone: int, address: str, name: str) -> None:
    """Build an old quarter of courtyard houses, two deep between lanes 4 m wide."""
    west, south, east, north = block.plot.bounds
    strips, lanes = slices(block, "y", [1.0] * max(2, round((north - south) / 54.0)), 4.0)
    for n, lane in enumerate(lanes):
        town.lane(lane, 4.0, f"{name}{'头二三四五'[n]}条")
    door = 1
    for strip in strips:
        halves, _ = slices(strip, "y", [1.0, 1.0])
        for half in halves:
            count = max(3, round((east - west) / 23.0))
            pieces, _ = slices(half, "x", [rng.uniform(0.82, 1.2) for _ in range(count)])
            for piece in pieces:
                site = Site(town, piece, zone, "residential", f"{name}{door}号院", f"{address}{name}{door}号")
                _courtyard(site, rng, f"{name}{door}号院")
                door += 1


def _courtyard(site: Site, rng: random.Random, name: str) -> None:
    x0, y0, x1, y1 = site.plot.shape.buffer(-0.45, join_style="mitre").bounds
    room = site.plot.shape.buffer(-0.4, join_style="mitre")
    width, depth = x1 - x0 - 0.6, y1 - y0 - 0.6
    year = rng.choice((1955, 1955, 1956, 1958, 1958, 1960, 1962, 1963, 1965, 1968, 1972, 1976))
    base = House(
        room,
        "residential",
        "brick_wood",
        year,
        1,
        name,
        rng.choice((3.3, 3.5, 3.7)),
        0,
        1,
        rng.randint(2, 6),
        tenure=rng.choice(("public_rented", "public_rented", "private_owned")),
    )
    kind = rng.random()
    if kind < 0.28:
        plans = [(shapes.court(width, depth, 7.0, 4.6, 5.0), 0.0, 0.0)]
    elif kind < 0.48:
        plans = [(shapes.court(width, depth - 1.5, 7.0, 4.6, 0.0), 0.0, 1.2)]
    elif kind < 0.62:
        plans = [(shapes.ell(width, depth - 3, 6.4, east=rng.random() < 0.5), 0.0, 2.8)]
    else:
        plans = [(shapes.rectangle(width, 6.8), 0.0, depth - 6.8)]
        plans += [(shapes.rectangle(4.4, depth - 6.8 - 2.4 - rng.uniform(0, 4)), 0.0, 1.4)]
        if rng.random() < 0.7:
            plans += [(shapes.rectangle(4.4, depth - 6.8 - 2.4 - rng.uniform(0, 5)), width - 4.4, 1.4)]
    parts = ("", "西厢", "东厢")
    for n, (shape, dx, dy) in enumerate(plans):
        clipped = shapes.place(shape, x0 + 0.3 + dx, y0 + 0.3 + dy).intersection(room)
        if isinstance(clipped, Polygon) and clipped.area > 20:
            flats = base.flats if n == 0 else rng.randint(1, 2)
            site.add(replace(base, shape=clipped, name=f"{name}{parts[n]}", flats=flats), fence=0.35, apart=0.3)


def village(town: Town, rng: random.Random, block: Block, zone: int, address: str, name: str) -> None:
    """Build a village the town has swallowed: homesteads of collective land, no two houses alike."""
    west, south, east, north = block.plot.bounds
    strips, lanes = slices(block, "y", [1.0] * max(2, round((north - south) / 38.0)), 3.5)
    for n, lane in enumerate(lanes):
        town.lane(lane, 3.5, f"{name}{n + 1}巷")
    door = 1
    for strip in strips:
        halves, _ = slices(strip, "y", [1.0, 1.0])
        for half in halves:
            pieces, _ = slices(half, "x", [rng.uniform(0.85, 1.15) for _ in range(round((east - west) / 17.0))])
            for piece in pieces:
                site = Site(town, piece, zone, "residential", f"{name}{door}号宅", f"{address}{name}{door}号", "JC")
                _homestead(site, rng, f"{name}{door}号")
                door += 1


def _homestead(site: Site, rng: random.Random, name: str) -> None:
    room = site.plot.shape.buffer(-0.5, join_style="mitre")
    x0, y0, x1, y1 = room.bounds
    year = rng.randint(1978, 2012)
    storeys = 1 if year < 1990 else rng.choice((1, 2, 2, 3) if year < 2000 else (2, 3, 3, 4))
    width, depth = x1 - x0, y1 - y0
    shape = rng.choice(
        (
            shapes.rectangle(width - 0.4, depth * rng.uniform(0.55, 0.8)),
            shapes.ell(width - 0.3, depth - 1.0, 6.5, east=rng.random() < 0.5),
            shapes.court(width - 0.3, depth - 0.8, 6.4, 3.6, 0.0),
        )
    )
    _, low, _, high = shape.bounds
    clipped = shapes.place(shape, x0 + 0.15, y1 - (high - low) - 0.15).intersection(room)
    if not isinstance(clipped, Polygon):
        return
    structure = "brick_wood" if year < 1988 else "mixed"
    site.add(
        House(clipped, "residential", structure, year, storeys, f"{name}民房", 3.1, 0, 1, 1, tenure="collective"),
        fence=0.3,
        apart=0.3,
    )


def lot(
    town: Town,
    block: Block,
    zone: int,
    address: str,
    name: str,
    houses: list[House],
    land_use: str = "commercial",
) -> Site:
    """Make a plot of houses set by hand.

    Raises
    ------
    ValueError : a house does not fit: the recipe is wrong.
    """
    site = Site(town, block, zone, land_use, name, address)
    for house in houses:
        if not site.add(house, fence=1.0, apart=3.0):
            raise ValueError(f"no room for {house.name} on {name}")
    return site


def stand(
    block: Block,
    east: float,
    north: float,
    shape: Polygon,
    name: str,
    usage: str,
    structure: str,
    year: int,
    storeys: int,
    storey_height: float,
    **more: Any,
) -> House:
    """Return a house at an offset (m) from the south-west corner of a block's plot; `more` as in `House`."""
    west, south, *_ = block.plot.bounds
    placed = shapes.place(shape, west + east, south + north)
    return House(placed, usage, structure, year, storeys, name, storey_height, **more)
