"""The district itself: which quarter stands on which block, and the boundary of the renewal unit."""

from __future__ import annotations

import random
from collections.abc import Callable

from shapely import Polygon

from sample_data import _footprints as shapes
from sample_data import _landmarks, _layout
from sample_data._layout import Block, largest, slices, split
from sample_data._quarters import Estate, estate, stand, towers, village
from sample_data._town import Site, Town

Builder = Callable[[Town, random.Random, Block, int, str], None]

# The renewal district, local frame: along streets where it can, across blocks where money or time ran out.
BOUNDARY = (
    (-14.0, 338.0), (70.0, 338.0), (196.0, 336.0), (200.0, 250.0), (283.0, 243.0), (359.0, 214.0),
    (421.0, 206.0), (578.0, 222.0), (578.0, 336.0), (668.0, 331.0), (672.0, 430.0), (748.0, 468.0),
    (749.0, 508.0), (664.0, 511.0), (578.0, 516.0), (574.0, 640.0), (498.0, 652.0), (470.0, 697.0),
    (190.0, 699.0), (186.0, 606.0), (96.0, 590.0), (60.0, 509.0), (-14.0, 506.0),
)  # fmt: skip


def build(seed: int) -> Town:
    """Build the town; the same seed gives the same town.

    Raises
    ------
    ValueError : a house set by hand does not fit its lot: the recipe is wrong.
    """
    rng = random.Random(seed)
    town = Town(_layout.plan())
    for place, block in town.plan.blocks.items():
        column, row = place
        street = _layout.EAST_WEST[row][3]
        address = f"{street}{40 + 20 * column + 2 * row}号"
        BUILDERS[place](town, rng, block, 1 + column + 5 * row, address)
    _waterfront(town)
    _works(town, rng)
    return town


def _estate(plan: Estate) -> Builder:
    def run(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
        estate(town, rng, block, zone, address, plan)

    return run


def _two_estates(west: Estate, east: Estate, share: float = 0.5) -> Builder:
    def run(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
        first, second, lane = split(block, "x", share, 7.0)
        town.lane(lane, 7.0, f"{west.name}东巷")
        estate(town, rng, first, zone, address, west)
        estate(town, rng, second, zone, f"{address}东院", east)

    return run


def _towers(plan: Estate) -> Builder:
    def run(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
        towers(town, rng, block, zone, address, plan)

    return run


def _village(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    west, east, lane = split(block, "x", 0.62, 6.0)
    town.lane(lane, 6.0, "南关中巷")
    village(town, rng, west, zone, address, "南关西")
    village(town, rng, east, zone, address, "南关东")


def _new_town(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    site = towers(town, rng, block, zone, address, Estate("北苑新城", (2021, 2025), (26, 28, 33)))
    late = [house for house in site.houses if house.year == 2025 and house.storeys > 20]
    for house in late[:2]:
        house.status = "under_construction"


def _waterfront(town: Town) -> None:
    south = [(-12, -14), (190, -13), (357, -12), (575, -11), (752, -10), (962, 2)]
    bank = [(962, -34), (900, -47), (820, -52), (750, -49), (690, -44), (620, -50), (560, -60), (480, -69),
            (400, -72), (320, -66), (250, -58), (180, -57), (110, -62), (50, -72), (-12, -80)]  # fmt: skip
    strip = Polygon([*south, *bank])
    # The second cut lets the main street through to the river.
    pieces, _ = slices(Block(strip, strip), "x", [282.0, 305.0, 387.0], 40.0)
    for n, piece in enumerate(pieces):
        name = f"柳堤滨河绿带{'西中东'[n]}段"
        site = Site(town, piece, 26, "green", name, f"河滨路{n + 1}号")
        pavilion = stand(
            piece, 60, 30, shapes.drum(4.0, 8), f"滨河{n + 1}号亭", "public_service", "other", 2019, 1, 3.6
        )
        site.add(pavilion, fence=0.5)
        town.greens.append((largest(piece.plot.difference(pavilion.shape)), "protective", name))


def _works(town: Town, rng: random.Random) -> None:
    """Put a few old slabs under repair and a few low houses on the list of approved demolitions."""
    old = [house for plot in town.plots for house in plot.houses if (house.year or 9999) < 1985 and house.stairs]
    for house in rng.sample([house for house in old if house.storeys > 2], 5):
        house.status = "under_renovation"
    for house in rng.sample([house for house in old if house.storeys == 1], 4):
        house.status = "demolition_approved"


BUILDERS: dict[tuple[int, int], Builder] = {
    (0, 0): _village,
    (1, 0): _landmarks.market,
    (2, 0): _towers(Estate("滨河雅苑", (2013, 2015), (15, 18), south=-6.3)),
    (3, 0): _estate(Estate("柳堤小区", (1999, 2003), (6,), shops=True)),
    (4, 0): _landmarks.elder_care,
    (0, 1): _landmarks.granary,
    (1, 1): _two_estates(
        Estate("建设里", (1975, 1979), (3, 4), "public_rented", style="plain"),
        Estate("运输公司家属院", (1982, 1985), (4, 5), "public_rented"),
    ),
    (2, 1): _landmarks.red_flag,
    (3, 1): _landmarks.civic,
    (4, 1): _landmarks.primary_school,
    (0, 2): _landmarks.cotton_mill,
    (2, 2): _landmarks.old_quarter,
    (3, 2): _landmarks.hospital,
    (4, 2): _towers(Estate("锦绣家园", (2008, 2011), (11, 18), style="plain")),
    (0, 3): _two_estates(
        Estate("机械厂家属院", (1977, 1981), (3, 4), "public_rented", style="plain"),
        Estate("机械厂新院", (1986, 1989), (5, 6), shops=True),
        0.54,
    ),
    (1, 3): _landmarks.nursery_estate,
    (2, 3): _landmarks.temple,
    (3, 3): _landmarks.park,
    (4, 3): _two_estates(
        Estate("向阳里", (1991, 1995), (6,), style="stepped"),
        Estate("向阳里东区", (1996, 1999), (6,)),
        0.52,
    ),
    (0, 4): _towers(Estate("翰林华府", (2016, 2018), (18, 24, 26), south=-6.3)),
    (1, 4): _landmarks.junior_school,
    (2, 4): _landmarks.mall,
    (3, 4): _two_estates(
        Estate("文化里", (1993, 1996), (5, 6), style="stepped"),
        Estate("税务局家属院", (1998, 2000), (6,)),
    ),
    (4, 4): _new_town,
}
