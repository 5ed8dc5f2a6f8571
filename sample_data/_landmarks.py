"""Lots whose houses are set by hand: works, schools, hospital, offices, old temple, park and market."""

from __future__ import annotations

import random

from shapely import Polygon

from sample_data import _footprints as shapes
from sample_data._layout import Block, largest, split
from sample_data._quarters import Estate, courtyards, estate, lot, stand
from sample_data._town import House, Town

RC, MIXED, BRICK = "reinforced_concrete", "mixed", "brick_wood"


def market(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build flats of the farm machinery bureau and the market hall."""
    west, east, lane = split(block, "x", 0.55, 7.0)
    town.lane(lane, 7.0, "农机局巷")
    bureau = Estate("农机局家属院", (1983, 1986), (4, 5), "public_rented", style="plain")
    estate(town, rng, west, zone, address, bureau)
    hall = stand(east, 6, 20, shapes.rectangle(46, 62), "河滨农贸市场", "commercial", "steel", 2004, 1, 7.5)
    houses = [
        hall,
        stand(east, 6, 96, shapes.rectangle(44, 9), "市场北侧商铺", "commercial", MIXED, 1997, 2, 3.5),
        stand(east, 8, 4, shapes.rectangle(40, 7), "市场临街门面", "commercial", MIXED, 1997, 1, 3.6),
    ]
    lot(town, east, zone, f"{address}市场", "河滨农贸市场", houses)
    town.serve(hall, "market", hall.name, 180)


def elder_care(town: Town, _rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build an old people's home and the culture centre."""
    west, east, lane = split(block, "x", 0.5, 7.0)
    town.lane(lane, 7.0, "夕阳巷")
    home_plan = shapes.court(64, 46, 13, 12, 12)
    home = stand(west, 10, 52, home_plan, "柳堤养老院", "public_service", RC, 2012, 4, 3.3)
    clinic = stand(west, 12, 14, shapes.ell(34, 20, 11), "柳堤卫生服务中心", "medical", MIXED, 1998, 2, 3.4)
    lot(town, west, zone, address, "柳堤养老院", [home, clinic], "public_service")
    town.serve(home, "elder_care", home.name, 160)
    town.serve(clinic, "health_centre", clinic.name, 12)
    centre_plan, library_plan = shapes.arena(52, 36), shapes.comb(52, 40, 13, 2, 12)
    centre = stand(east, 14, 14, centre_plan, "柳堤文化馆", "culture_sport", "steel_concrete", 2017, 2, 6.0)
    library = stand(east, 16, 66, library_plan, "柳堤图书馆", "culture_sport", RC, 2009, 3, 4.2)
    site = lot(town, east, zone, f"{address}东院", "柳堤文化中心", [centre, library], "public_service")
    site.green("文化馆前广场绿地", "square")
    town.serve(centre, "culture_station", centre.name, 600)
    town.serve(library, "library", library.name, 400)


def granary(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build the grain stores of the 1950s and the flats of their workers."""
    south, north, lane = split(block, "y", 0.44, 8.0)
    town.lane(lane, 8.0, "粮库巷")
    houses = [
        stand(south, 8 + 39 * n, 8, shapes.rectangle(30, 50), f"粮库{n + 1}号仓", "warehouse", BRICK,
        1957 + 2 * n,
              1, 6.2, status="disused" if n < 2 else "in_use")
        for n in range(3)
    ] + [
        stand(south, 127, 10, shapes.rectangle(14, 7), "粮库地磅房", "warehouse", MIXED, 1988, 1, 3.3),
        stand(south, 127, 30, shapes.ell(24, 20, 8), "粮库办公楼", "office", MIXED, 1979, 2, 3.3),
    ]  # fmt: skip
    lot(town, south, zone, f"{address}粮库", "柳堤粮库", houses, "warehouse")
    plan = Estate("粮库宿舍", (1972, 1976), (2, 3), "public_rented", style="plain")
    estate(town, rng, north, zone, f"{address}宿舍", plan)


def red_flag(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build two estates of the 1980s; the clinic stands in the first."""
    west, east, lane = split(block, "x", 0.46, 7.0)
    town.lane(lane, 7.0, "红旗里中巷")
    first = Estate("红旗里", (1979, 1983), (3, 4, 5), "public_rented")
    second = Estate("红旗里东院", (1985, 1988), (5, 6), shops=True, style="stepped")
    clinic = House(shapes.rectangle(20.0, 9.0), "medical", MIXED, 1994, 2, "红旗里卫生所", 3.2)
    estate(town, rng, west, zone, address, first, [clinic])
    estate(town, rng, east, zone, f"{address}东院", second)
    town.serve(clinic, "clinic", clinic.name, 6)


def civic(town: Town, _rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build the street office with bank and post, and offices and a hotel behind."""
    south, north, lane = split(block, "y", 0.5, 9.0)
    town.lane(lane, 9.0, "政通路")
    houses = [
        stand(south, 44, 22, shapes.aitch(62, 44, 15), "柳堤街道办事处", "office", RC, 1996, 5, 3.6),
        stand(south, 8, 12, shapes.ell(26, 34, 14), "农村信用社", "commercial", RC, 2003, 6, 3.8),
        stand(south, 116, 12, shapes.rectangle(24, 30), "柳堤邮电所", "commercial", MIXED, 1986, 3, 3.6),
    ]
    site = lot(town, south, zone, address, "柳堤街道办事处", houses, "public_service")
    site.green("街道办前绿地", "square")
    for house, kind in zip(houses, ("street_office", "bank", "post_office"), strict=True):
        town.serve(house, kind, house.name, None)
    hotel, tower = (
        shapes.boxes((0, 0, 40, 16), (0, 0, 16, 46)),
        shapes.boxes((0, 0, 44, 22), (6, -5, 38, 4), (14, 18, 30, 27)),
    )
    houses = [
        stand(north, 10, 14, hotel, "柳堤宾馆", "commercial", RC, 2001, 9, 3.5, below=1),
        stand(north, 76, 20, tower, "光明商务大厦", "office", RC, 2013, 16, 3.7, below=2),
        stand(north, 76, 56, shapes.rectangle(44, 13), "光明商务裙楼", "commercial", RC, 2013, 3, 4.2),
    ]
    lot(town, north, zone, f"{address}北院", "光明商务中心", houses)


def primary_school(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build the primary school and the flats of its teachers."""
    school, homes, lane = split(block, "x", 0.66, 7.0)
    town.lane(lane, 7.0, "育才巷")
    name, wing = "建设路小学", shapes.ell(62, 40, 11)
    teaching = stand(school, 10, 96, wing, f"{name}教学楼", "education", RC, 2008, 4, 3.6, tag="school")
    houses = [
        teaching,
        stand(school, 12, 76, shapes.rectangle(44, 11), f"{name}综合楼", "education", MIXED, 1993, 3, 3.5),
        stand(school, 80, 112, shapes.rectangle(30, 22), f"{name}体育馆", "culture_sport", "steel", 2015, 1, 9.0),
        stand(school, 58, 3, shapes.rectangle(6, 4), f"{name}门卫", "education", MIXED, 1994, 1, 2.9),
    ]
    site = lot(town, school, zone, address, name, houses, "public_service")
    west, south, *_ = site.bounds
    court = shapes.place(shapes.rectangle(88, 50), west + 14, south + 12).buffer(-10).buffer(10, quad_segs=4)
    town.greens.append((court, "attached", f"{name}操场"))
    town.serve(teaching, "primary_school", name, 1080)
    town.services.append((court.centroid, "sports_ground", f"{name}操场", None, None))
    teachers = Estate("教师新村", (1994, 1997), (5, 6), style="plain")
    estate(town, rng, homes, zone, f"{address}东院", teachers)


def cotton_mill(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build the cotton mill of 1958, mostly idle now, and the flats of its workers."""
    works, dorms, lane = split(block, "x", 0.8, 8.0)
    town.lane(lane, 8.0, "棉纺厂东路")
    # Name, plan, metres east and north of the corner, use, structure, year, storeys, their height, status.
    table: list[tuple[str, Polygon, float, float, str, str, int, int, float, str]] = [
        ("一号车间", shapes.sawtooth(88, 46, 7), 10, 14, "industrial", BRICK, 1958, 1, 7.2, "disused"),
        ("二号车间", shapes.sawtooth(70, 46, 6), 108, 12, "industrial", MIXED, 1966, 1, 7.2, "disused"),
        ("三号车间", shapes.rectangle(54, 62), 188, 10, "industrial", RC, 1984, 1, 8.4, "disused"),
        ("原棉仓库", shapes.rectangle(60, 22), 10, 74, "warehouse", BRICK, 1959, 1, 5.8, "disused"),
        ("成品仓库", shapes.rectangle(52, 22), 82, 74, "warehouse", MIXED, 1978, 2, 4.8, "in_use"),
        ("动力站", shapes.ell(30, 24, 12), 144, 72, "industrial", MIXED, 1961, 2, 5.0, "disused"),
        ("水塔", shapes.drum(5.0), 180, 84, "industrial", RC, 1959, 1, 24.0, "disused"),
        ("机修车间", shapes.rectangle(40, 16), 200, 84, "industrial", MIXED, 1972, 1, 6.4, "in_use"),
        ("办公楼", shapes.court(46, 30, 10, 9, 0), 12, 106, "office", MIXED, 1964, 3, 3.4, "in_use"),
        ("食堂", shapes.rectangle(34, 20), 72, 108, "industrial", MIXED, 1976, 1, 5.2, "disused"),
        ("礼堂", shapes.boxes((0, 0, 24, 30), (3, -5, 21, 2)), 120, 104, "culture_sport", BRICK, 1963, 1,
        9.5, "disused"),
        ("锅炉房", shapes.ell(22, 20, 10), 160, 112, "industrial", MIXED, 1981, 2, 5.5, "disused"),
        ("职工浴室", shapes.rectangle(26, 12), 196, 116, "industrial", MIXED, 1974, 1, 4.6, "ruin"),
        ("厂门传达室", shapes.rectangle(9, 5), 38, 2.5, "industrial", BRICK, 1958, 1, 3.0, "in_use"),
    ]  # fmt: skip
    kept = ("一号车间", "礼堂", "水塔")
    houses = [
        stand(works, x, y, plan, f"棉纺厂{name}", usage, structure, year, storeys, height, status=status,
              heritage="historic_building" if name in kept else "none")
        for name, plan, x, y, usage, structure, year, storeys, height, status in table
    ]  # fmt: skip
    lot(town, works, zone, address, "柳堤棉纺厂", houses, "industrial")
    plan = Estate("棉纺厂宿舍", (1974, 1978), (3, 4), "public_rented", style="plain")
    estate(town, rng, dorms, zone, f"{address}宿舍", plan)


def hospital(town: Town, _rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build the hospital: old and new out-patients, wards, laboratories."""
    wards = shapes.boxes((0, 0, 66, 17), (24, -6, 42, 23), (0, 0, 8, 20), (58, 0, 66, 20))
    clinic = stand(block, 12, 10, shapes.aitch(72, 34, 13), "柳堤医院门诊楼", "medical", RC, 1999, 5, 3.8)
    houses = [
        clinic,
        stand(block, 12, 62, wards, "柳堤医院住院楼", "medical", RC, 2011, 14, 3.9, below=2),
        stand(block, 98, 14, shapes.ell(42, 40, 15), "柳堤医院医技楼", "medical", RC, 2005, 4, 3.9),
        stand(block, 100, 74, shapes.court(38, 30, 9, 8, 9), "柳堤医院老门诊", "medical", MIXED, 1968, 2, 3.4),
        stand(block, 14, 110, shapes.rectangle(26, 12), "柳堤医院锅炉房", "public_service", MIXED, 1991, 1, 4.6),
        stand(block, 120, 118, shapes.rectangle(16, 9), "柳堤医院附属用房", "medical", MIXED, 1982, 1, 3.4),
    ]
    site = lot(town, block, zone, address, "柳堤医院", houses, "public_service")
    site.green("柳堤医院康复花园", "attached")
    town.serve(clinic, "hospital", "柳堤医院", 420)


def nursery_estate(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build an estate that faces due south, with its kindergarten."""
    nursery = House(shapes.court(26.0, 17.0, 7.0, 6.0, 0.0), "education", MIXED, 1988, 2, "光明幼儿园", 3.4)
    plan = Estate("光明新村", (1985, 1990), (5, 6), south=-6.3)
    estate(town, rng, block, zone, address, plan, [nursery])
    town.serve(nursery, "kindergarten", nursery.name, 180)


def temple(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Keep the temple of literature and the old academy; courtyard houses to the north."""
    south, north, lane = split(block, "y", 0.5, 7.0)
    town.lane(lane, 7.0, "书院胡同")
    hall = shapes.boxes((0, 0, 26, 15), (9, -4, 17, 2))
    use = "culture_sport"
    houses = [
        stand(south, 36, 50, hall, "文庙大成殿", use, BRICK, 1955, 1, 8.5, heritage="protected"),
        stand(south, 38, 12, shapes.rectangle(22, 7), "文庙戟门", use, BRICK, 1955, 1, 5.5,
        heritage="protected"),
        stand(south, 22, 22, shapes.rectangle(6, 36), "文庙西庑", use, BRICK, 1957, 1, 4.2,
        heritage="listed"),
        stand(south, 70, 22, shapes.rectangle(6, 36), "文庙东庑", use, BRICK, 1957, 1, 4.2,
        heritage="listed"),
        stand(south, 112, 14, shapes.court(52, 46, 10, 9, 9), "书院旧址", "education", MIXED, 1962, 2, 3.8,
              heritage="listed"),
    ]  # fmt: skip
    site = lot(town, south, zone, address, "文庙", houses, "public_service")
    site.green("文庙古树园", "park", clear=3.0)
    courtyards(town, rng, north, zone, f"{address}北", "书院街")


def old_quarter(town: Town, rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build the streets of courtyard houses south of the temple."""
    courtyards(town, rng, block, zone, address, "文庙街")


def park(town: Town, _rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Lay out the park: lawn around a pond, a tea house."""
    houses = [
        stand(block, 24, 92, shapes.ell(20, 14, 7), "人民公园茶社", "commercial", BRICK, 1994, 1, 3.6),
        stand(block, 104, 10, shapes.rectangle(14, 7), "公园管理处", "public_service", MIXED, 1987, 1, 3.3),
        stand(block, 8, 30, shapes.rectangle(9, 5), "公园公厕", "public_service", MIXED, 2010, 1, 3.3),
    ]
    site = lot(town, block, zone, address, "人民公园", houses, "green")
    lawn = site.plot.shape.buffer(-3)
    pond = shapes.place(shapes.arena(62, 40, 36), site.bounds[0] + 50, site.bounds[1] + 70)
    for taken in (pond, *(house.shape.buffer(2, join_style="mitre") for house in houses)):
        lawn = largest(lawn.difference(taken))
    town.greens.append((lawn, "park", "人民公园"))
    town.serve(houses[2], "public_toilet", houses[2].name, None)
    town.services.append((lawn.representative_point(), "fitness_point", "人民公园健身广场", None, None))


def junior_school(town: Town, _rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build the junior school with its running track."""
    name = "柳堤中学"
    teaching = stand(block, 8, 84, shapes.comb(46, 56, 11, 3, 12), f"{name}教学楼", "education", MIXED, 1991, 4, 3.6)
    houses = [
        teaching,
        stand(block, 66, 118, shapes.rectangle(54, 15), f"{name}实验楼", "education", RC, 2006, 5, 3.7),
        stand(block, 66, 84, shapes.arena(44, 28), f"{name}体育馆", "culture_sport", "steel", 2016, 1, 11.0),
        stand(block, 114, 84, shapes.rectangle(22, 26), f"{name}食堂", "education", MIXED, 1998, 2, 4.2),
    ]
    site = lot(town, block, zone, address, name, houses, "public_service")
    west, south, *_ = site.bounds
    track = shapes.place(shapes.rectangle(124, 66), west + 8, south + 8).buffer(-32).buffer(32, quad_segs=6)
    town.greens.append((track, "attached", f"{name}田径场"))
    town.serve(teaching, "junior_school", name, 1350)
    town.services.append((track.centroid, "large_sports_ground", f"{name}田径场", None, None))


def mall(town: Town, _rng: random.Random, block: Block, zone: int, address: str) -> None:
    """Build the shopping mall and its office tower, and blocks of small flats over shops."""
    south, north, lane = split(block, "y", 0.52, 9.0)
    town.lane(lane, 9.0, "金街")
    centre = shapes.boxes((0, 0, 116, 54), (10, -4, 30, 3), (80, -4, 106, 3), (112, 12, 124, 42))
    houses = [
        stand(south, 10, 10, centre, "柳堤购物中心", "commercial", "steel_concrete", 2012, 4, 5.1, below=1),
        stand(south, 146, 14, shapes.rectangle(34, 34), "柳堤国际大厦", "office", RC, 2012, 22, 3.8, below=3),
    ]
    lot(town, south, zone, address, "柳堤购物中心", houses)
    shop_row = shapes.rectangle(150, 10)
    houses = [
        stand(north, 12 + 58 * n, 18, shapes.plank(44, 16), f"金街公寓{n + 1}号楼", "mixed", RC, 2011 + n,
              18 + 3 * n, 3.0, below=2, stairs=2, flats=5, shops=True)
        for n in range(3)
    ] + [stand(north, 12, 54, shop_row, "金街北侧商铺", "commercial", RC, 2011, 2, 4.0)]  # fmt: skip
    lot(town, north, zone, f"{address}北院", "金街公寓", houses)
