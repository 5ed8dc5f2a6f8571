"""The district itself: which quarter stands on which block, and its boundary, parks and planning zones."""

from __future__ import annotations

import random
from collections.abc import Callable

from shapely import Polygon

from sample_data import _footprints as shapes
from sample_data import _layout
from sample_data._layout import Block, slices, split
from sample_data._quarters import Estate, at, courtyards, estate, offices, towers, village
from sample_data._town import House, Site, Town

Builder = Callable[[Town, random.Random, Block, int, str], None]

# The renewal district in the local frame: along streets where it can, across blocks where money or time ran out.
BOUNDARY = (
    (-14.0, 338.0), (70.0, 338.0), (196.0, 336.0), (200.0, 250.0), (283.0, 243.0), (359.0, 214.0), (421.0, 206.0),
    (578.0, 222.0), (578.0, 336.0), (668.0, 331.0), (672.0, 430.0), (748.0, 468.0), (749.0, 508.0), (664.0, 511.0),
    (578.0, 516.0), (574.0, 640.0), (498.0, 652.0), (470.0, 697.0), (190.0, 699.0), (186.0, 606.0), (96.0, 590.0),
    (60.0, 509.0), (-14.0, 506.0),
)  # fmt: skip


def build(seed: int) -> Town:
    """Build the town; the same seed gives the same town."""
    rng = random.Random(seed)
    town = Town(_layout.plan())
    for place, block in town.plan.blocks.items():
        column, row = place
        street = _layout.EAST_WEST[row][3]
        address = f"{street}{40 + 20 * column + 2 * row}号"
        BUILDERS[place](town, rng, block, 1 + column + 5 * row, address)
    _waterfront(town)
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


def _farm_bureau(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    west, east, lane = split(block, "x", 0.55, 7.0)
    town.lane(lane, 7.0, "农机局巷")
    estate(town, rng, west, zone, address, Estate("农机局家属院", (1983, 1986), (4, 5), "public_rented", style="plain"))
    hall = House(at(east, 6, 20, shapes.rectangle(46, 62)), "commercial", "steel", 2004, 1, "河滨农贸市场", 7.5)
    stalls = House(at(east, 6, 96, shapes.rectangle(44, 9)), "commercial", "mixed", 1997, 2, "市场北侧商铺", 3.5)
    gate = House(at(east, 8, 4, shapes.rectangle(40, 7)), "commercial", "mixed", 1997, 1, "市场临街门面", 3.6)
    offices(town, east, zone, f"{address}市场", "河滨农贸市场", [hall, stalls, gate])
    town.serve(hall, "market", hall.name, 180)


def _elder_care(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    west, east, lane = split(block, "x", 0.5, 7.0)
    town.lane(lane, 7.0, "夕阳巷")
    home = House(
        at(west, 10, 52, shapes.court(64, 46, 13, 12, 12)), "public_service", "reinforced_concrete", 2012, 4,
        "柳堤养老院", 3.3,
    )
    clinic = House(at(west, 12, 14, shapes.ell(34, 20, 11)), "medical", "mixed", 1998, 2, "柳堤卫生服务站", 3.4)
    offices(town, west, zone, address, "柳堤养老院", [home, clinic], "public_service")
    town.serve(home, "elder_care", home.name, 160)
    town.serve(clinic, "clinic", clinic.name, 12)
    culture = House(at(east, 14, 14, shapes.arena(52, 36)), "culture_sport", "steel_concrete", 2017, 2, "柳堤文化馆", 6.0)
    library = House(
        at(east, 16, 66, shapes.comb(52, 40, 13, 2, 12)), "culture_sport", "reinforced_concrete", 2009, 3, "区图书馆", 4.2
    )
    site = offices(town, east, zone, f"{address}东院", "柳堤文化中心", [culture, library], "public_service")
    site.green("文化馆前广场绿地", "square")
    town.serve(culture, "culture_station", culture.name, 600)


def _market_dorms(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    south, north, lane = split(block, "y", 0.44, 8.0)
    town.lane(lane, 8.0, "粮库巷")
    stores = [
        House(at(south, 8 + 39 * n, 8, shapes.rectangle(30, 50)), "warehouse", "brick_wood", 1957 + 2 * n, 1,
              f"粮库{n + 1}号仓", 6.2, status="disused" if n < 2 else "in_use")
        for n in range(3)
    ]  # fmt: skip
    scale = House(at(south, 127, 10, shapes.rectangle(14, 7)), "warehouse", "mixed", 1988, 1, "粮库地磅房", 3.3)
    office = House(at(south, 127, 30, shapes.ell(24, 20, 8)), "office", "mixed", 1979, 2, "粮库办公楼", 3.3)
    offices(town, south, zone, f"{address}粮库", "柳堤粮库", [*stores, scale, office], "warehouse")
    plan = Estate("粮库宿舍", (1972, 1976), (2, 3), "public_rented", style="plain")
    estate(town, rng, north, zone, f"{address}宿舍", plan)


def _red_flag(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    west, east, lane = split(block, "x", 0.46, 7.0)
    town.lane(lane, 7.0, "红旗里中巷")
    first = estate(town, rng, west, zone, address, Estate("红旗里", (1979, 1983), (3, 4, 5), "public_rented"))
    estate(town, rng, east, zone, f"{address}东院", Estate("红旗里东院", (1985, 1988), (5, 6), shops=True, style="stepped"))
    clinic = House(shapes.rectangle(20.0, 9.0), "medical", "mixed", 1994, 2, "红旗里卫生所", 3.2)
    if first.scatter(rng, [clinic], apart=6.0):
        town.serve(clinic, "clinic", clinic.name, 6)


def _civic(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    south, north, lane = split(block, "y", 0.5, 9.0)
    town.lane(lane, 9.0, "政通路")
    hall = House(at(south, 44, 22, shapes.aitch(62, 44, 15)), "office", "reinforced_concrete", 1996, 5, "柳堤街道办事处", 3.6)
    bank = House(at(south, 8, 12, shapes.ell(26, 34, 14)), "commercial", "reinforced_concrete", 2003, 6, "农村信用社", 3.8)
    post = House(at(south, 116, 12, shapes.rectangle(24, 30)), "commercial", "mixed", 1986, 3, "柳堤邮电所", 3.6)
    site = offices(town, south, zone, address, "柳堤街道办事处", [hall, bank, post], "public_service")
    site.green("街道办前绿地", "square")
    hotel = House(
        at(north, 10, 14, shapes.boxes((0, 0, 40, 16), (0, 0, 16, 46))), "commercial", "reinforced_concrete", 2001, 9,
        "柳堤宾馆", 3.5, 1,
    )
    tower = House(
        at(north, 76, 20, shapes.boxes((0, 0, 44, 22), (6, -5, 38, 4), (14, 18, 30, 27))), "office",
        "reinforced_concrete", 2013, 16, "光明商务大厦", 3.7, 2,
    )
    annex = House(at(north, 76, 56, shapes.rectangle(44, 13)), "commercial", "reinforced_concrete", 2013, 3, "光明商务裙楼", 4.2)
    offices(town, north, zone, f"{address}北院", "光明商务中心", [hotel, tower, annex])


def _primary_school(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    school, homes, lane = split(block, "x", 0.66, 7.0)
    town.lane(lane, 7.0, "育才巷")
    teaching = House(
        at(school, 10, 96, shapes.ell(62, 40, 11)), "education", "reinforced_concrete", 2008, 4, "建设路小学教学楼",
        3.6, tag="school",
    )
    labs = House(at(school, 12, 76, shapes.rectangle(44, 11)), "education", "mixed", 1993, 3, "建设路小学综合楼", 3.5)
    hall = House(at(school, 80, 112, shapes.rectangle(30, 22)), "culture_sport", "steel", 2015, 1, "建设路小学体育馆", 9.0)
    lodge = House(at(school, 58, 3, shapes.rectangle(6, 4)), "education", "mixed", 1994, 1, "建设路小学门卫", 2.9)
    site = offices(town, school, zone, address, "建设路小学", [teaching, labs, hall, lodge], "public_service")
    west, south, *_ = site.bounds
    court = Polygon([(west + 14, south + 12), (west + 102, south + 12), (west + 102, south + 62), (west + 14, south + 62)])
    town.greens.append((court.buffer(-10).buffer(10, quad_segs=4), "attached", "建设路小学操场"))
    town.serve(teaching, "primary_school", "建设路小学", 1080)
    town.services.append((court.centroid, "sports_ground", "建设路小学操场", None, None))
    estate(town, rng, homes, zone, f"{address}东院", Estate("教师新村", (1994, 1997), (5, 6), style="plain"))


def _factory(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    works, dorms, lane = split(block, "x", 0.8, 8.0)
    town.lane(lane, 8.0, "棉纺厂东路")
    f, year = "棉纺厂", 1958
    halls: list[tuple[str, Polygon, float, float, int, int, str, float, str]] = [
        ("一号车间", shapes.sawtooth(88, 46, 7), 10, 14, 1958, 1, "brick_wood", 7.2, "disused"),
        ("二号车间", shapes.sawtooth(70, 46, 6), 108, 12, 1966, 1, "mixed", 7.2, "disused"),
        ("三号车间", shapes.rectangle(54, 62), 188, 10, 1984, 1, "reinforced_concrete", 8.4, "disused"),
        ("原棉仓库", shapes.rectangle(60, 22), 10, 74, 1959, 1, "brick_wood", 5.8, "disused"),
        ("成品仓库", shapes.rectangle(52, 22), 82, 74, 1978, 2, "mixed", 4.8, "in_use"),
        ("动力站", shapes.ell(30, 24, 12), 144, 72, 1961, 2, "mixed", 5.0, "disused"),
        ("水塔", shapes.drum(5.0), 180, 84, 1959, 1, "reinforced_concrete", 24.0, "disused"),
        ("机修车间", shapes.rectangle(40, 16), 200, 84, 1972, 1, "mixed", 6.4, "in_use"),
        ("办公楼", shapes.court(46, 30, 10, 9, 0), 12, 106, 1964, 3, "mixed", 3.4, "in_use"),
        ("食堂", shapes.rectangle(34, 20), 72, 108, 1976, 1, "mixed", 5.2, "disused"),
        ("礼堂", shapes.boxes((0, 0, 24, 30), (3, -5, 21, 2)), 120, 104, 1963, 1, "brick_wood", 9.5, "disused"),
        ("锅炉房", shapes.ell(22, 20, 10), 160, 112, 1981, 2, "mixed", 5.5, "disused"),
        ("职工浴室", shapes.rectangle(26, 12), 196, 116, 1974, 1, "mixed", 4.6, "ruin"),
        ("厂门传达室", shapes.rectangle(9, 5), 38, 2.5, year, 1, "brick_wood", 3.0, "in_use"),
    ]  # fmt: skip
    houses = [
        House(
            at(works, x, y, shape), "office" if name == "办公楼" else "warehouse" if "仓库" in name else "industrial",
            structure, built, storeys, f + name, height, status=status,
            heritage="historic_building" if name in ("一号车间", "礼堂", "水塔") else "none",
        )
        for name, shape, x, y, built, storeys, structure, height, status in halls
    ]
    offices(town, works, zone, address, "柳堤棉纺厂", houses, "industrial")
    plan = Estate("棉纺厂宿舍", (1974, 1978), (3, 4), "public_rented", style="plain")
    estate(town, rng, dorms, zone, f"{address}宿舍", plan)


def _temple(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    courtyards(town, rng, block, zone, address, "文庙街")


def _hospital(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    clinic = House(at(block, 12, 10, shapes.aitch(72, 34, 13)), "medical", "reinforced_concrete", 1999, 5, "区医院门诊楼", 3.8)
    wards = House(
        at(block, 12, 62, shapes.boxes((0, 0, 66, 17), (24, -6, 42, 23), (0, 0, 8, 20), (58, 0, 66, 20))), "medical",
        "reinforced_concrete", 2011, 14, "区医院住院楼", 3.9, 2,
    )
    technique = House(at(block, 98, 14, shapes.ell(42, 40, 15)), "medical", "reinforced_concrete", 2005, 4, "区医院医技楼", 3.9)
    old = House(at(block, 100, 74, shapes.court(38, 30, 9, 8, 9)), "medical", "mixed", 1968, 2, "区医院老门诊", 3.4)
    plant = House(at(block, 14, 110, shapes.rectangle(26, 12)), "public_service", "mixed", 1991, 1, "区医院锅炉房", 4.6)
    morgue = House(at(block, 120, 118, shapes.rectangle(16, 9)), "medical", "mixed", 1982, 1, "区医院附属用房", 3.4)
    site = offices(town, block, zone, address, "柳堤区医院", [clinic, wards, technique, old, plant, morgue], "public_service")
    site.green("区医院康复花园", "attached")
    town.serve(clinic, "hospital", "柳堤区医院", 420)


def _nursery_estate(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    north_years = Estate("光明新村", (1985, 1990), (5, 6), south=-6.3)
    site = estate(town, rng, block, zone, address, north_years)
    nursery = House(shapes.court(26.0, 17.0, 7.0, 6.0, 0.0), "education", "mixed", 1988, 2, "光明幼儿园", 3.4)
    if site.scatter(rng, [nursery], fence=2.0, apart=5.0):
        town.serve(nursery, "kindergarten", nursery.name, 180)


def _old_town(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    south, north, lane = split(block, "y", 0.5, 7.0)
    town.lane(lane, 7.0, "书院胡同")
    temple = [
        House(at(south, 36, 50, shapes.boxes((0, 0, 26, 15), (9, -4, 17, 2))), "culture_sport", "brick_wood", 1955, 1,
              "文庙大成殿", 8.5, heritage="protected"),
        House(at(south, 38, 12, shapes.rectangle(22, 7)), "culture_sport", "brick_wood", 1955, 1, "文庙戟门", 5.5,
              heritage="protected"),
        House(at(south, 22, 22, shapes.rectangle(6, 36)), "culture_sport", "brick_wood", 1957, 1, "文庙西庑", 4.2,
              heritage="listed"),
        House(at(south, 70, 22, shapes.rectangle(6, 36)), "culture_sport", "brick_wood", 1957, 1, "文庙东庑", 4.2,
              heritage="listed"),
        House(at(south, 112, 14, shapes.court(52, 46, 10, 9, 9)), "education", "mixed", 1962, 2, "书院旧址", 3.8,
              heritage="listed"),
    ]  # fmt: skip
    site = offices(town, south, zone, address, "文庙", temple, "public_service")
    site.green("文庙古树园", "park", clear=3.0)
    courtyards(town, rng, north, zone, f"{address}北", "书院街")


def _park(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    tea = House(at(block, 24, 92, shapes.ell(20, 14, 7)), "commercial", "brick_wood", 1994, 1, "人民公园茶社", 3.6)
    keeper = House(at(block, 104, 10, shapes.rectangle(14, 7)), "public_service", "mixed", 1987, 1, "公园管理处", 3.3)
    toilet = House(at(block, 8, 30, shapes.rectangle(9, 5)), "public_service", "mixed", 2010, 1, "公园公厕", 3.3)
    site = offices(town, block, zone, address, "人民公园", [tea, keeper, toilet], "green")
    ground = site.plot.shape.buffer(-3)
    pond = Polygon(shapes.place(shapes.arena(62, 40, 36), *(site.bounds[0] + 50, site.bounds[1] + 70)).exterior)
    lawn = ground.difference(pond)
    for house in site.houses:
        lawn = lawn.difference(house.shape.buffer(2, join_style="mitre"))
    town.greens.append((_layout.largest(lawn), "park", "人民公园"))
    town.services.append((ground.centroid, "sports_ground", "人民公园健身广场", None, None))


def _junior_school(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    teaching = House(at(block, 8, 84, shapes.comb(46, 56, 11, 3, 12)), "education", "mixed", 1991, 4, "第二中学教学楼", 3.6)
    science = House(at(block, 66, 118, shapes.rectangle(54, 15)), "education", "reinforced_concrete", 2006, 5, "第二中学实验楼", 3.7)
    hall = House(at(block, 66, 84, shapes.arena(44, 28)), "culture_sport", "steel", 2016, 1, "第二中学体育馆", 11.0)
    canteen = House(at(block, 114, 84, shapes.rectangle(22, 26)), "education", "mixed", 1998, 2, "第二中学食堂", 4.2)
    site = offices(town, block, zone, address, "第二中学", [teaching, science, hall, canteen], "public_service")
    west, south, *_ = site.bounds
    track = Polygon([(west + 8, south + 8), (west + 132, south + 8), (west + 132, south + 74), (west + 8, south + 74)])
    town.greens.append((track.buffer(-32).buffer(32, quad_segs=6), "attached", "第二中学田径场"))
    town.serve(teaching, "junior_school", "第二中学", 1350)


def _mall(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    south, north, lane = split(block, "y", 0.52, 9.0)
    town.lane(lane, 9.0, "金街")
    mall = House(
        at(south, 10, 10, shapes.boxes((0, 0, 116, 54), (10, -4, 30, 3), (80, -4, 106, 3), (112, 12, 124, 42))),
        "commercial", "steel_concrete", 2012, 4, "柳堤购物中心", 5.1, 1,
    )
    office = House(at(south, 146, 14, shapes.rectangle(34, 34)), "office", "reinforced_concrete", 2012, 22, "柳堤国际大厦", 3.8, 3)
    offices(town, south, zone, address, "柳堤购物中心", [mall, office])
    flats = [
        House(at(north, 12 + 58 * n, 18, shapes.plank(44, 16)), "mixed", "reinforced_concrete", 2011 + n, 18 + 3 * n,
              f"金街公寓{n + 1}号楼", 3.0, 2, 2, 5, shops=True)
        for n in range(3)
    ]  # fmt: skip
    shops = House(at(north, 12, 54, shapes.rectangle(150, 10)), "commercial", "reinforced_concrete", 2011, 2, "金街北侧商铺", 4.0)
    offices(town, north, zone, f"{address}北院", "金街公寓", [*flats, shops])


def _new_town(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    site = towers(town, rng, block, zone, address, Estate("北苑新城", (2021, 2025), (26, 28, 33)))
    late = [house for house in site.houses if house.year == 2025 and house.storeys > 20]
    for house in late[:2]:
        house.status = "under_construction"


def _waterfront(town: Town) -> None:
    south = [(-12, -14), (190, -13), (357, -12), (575, -11), (752, -10), (962, 2)]
    bank = [(962, -34), (820, -52), (690, -44), (560, -60), (400, -72), (250, -58), (110, -62), (-12, -80)]
    pieces, _ = slices(Block(Polygon([*south, *bank]), Polygon([*south, *bank])), "x", [1.0, 1.2, 0.9], 8.0)
    for n, piece in enumerate(pieces):
        town.greens.append((piece.plot, "protective", f"柳堤滨河绿带{'西中东'[n]}段"))
        site = Site(town, piece, 26, "green", f"柳堤滨河绿带{'西中东'[n]}段", f"河滨路{n + 1}号")
        hut = House(at(piece, 60, 30, shapes.drum(4.0, 8)), "public_service", "other", 2019, 1, f"滨河{n + 1}号亭", 3.6)
        site.add(hut, fence=0.5)


BUILDERS: dict[tuple[int, int], Builder] = {
    (0, 0): _village,
    (1, 0): _farm_bureau,
    (2, 0): _towers(Estate("滨河雅苑", (2013, 2015), (15, 18), south=-6.3)),
    (3, 0): _estate(Estate("柳堤小区", (1999, 2003), (6,), shops=True)),
    (4, 0): _elder_care,
    (0, 1): _market_dorms,
    (1, 1): _two_estates(
        Estate("建设里", (1975, 1979), (3, 4), "public_rented", style="plain"),
        Estate("运输公司家属院", (1982, 1985), (4, 5), "public_rented"),
    ),
    (2, 1): _red_flag,
    (3, 1): _civic,
    (4, 1): _primary_school,
    (0, 2): _factory,
    (2, 2): _temple,
    (3, 2): _hospital,
    (4, 2): _towers(Estate("锦绣家园", (2008, 2011), (11, 18), style="plain")),
    (0, 3): _two_estates(
        Estate("机械厂家属院", (1977, 1981), (3, 4), "public_rented", style="plain"),
        Estate("机械厂新院", (1986, 1989), (5, 6), shops=True),
        0.54,
    ),
    (1, 3): _nursery_estate,
    (2, 3): _old_town,
    (3, 3): _park,
    (4, 3): _two_estates(Estate("向阳里", (1991, 1995), (6,), style="stepped"), Estate("向阳里东区", (1996, 1999), (6,)), 0.52),
    (0, 4): _towers(Estate("翰林华府", (2016, 2018), (18, 24, 26), south=-6.3)),
    (1, 4): _junior_school,
    (2, 4): _mall,
    (3, 4): _two_estates(Estate("文化里", (1993, 1996), (5, 6), style="stepped"), Estate("税务局家属院", (1998, 2000), (6,))),
    (4, 4): _new_town,
}
