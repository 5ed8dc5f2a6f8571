"""Records of everything that is area or building: codes, areas, heights, tenure.

Column names are those of the dictionary (`schemas/v1`); geometry is in EPSG:4548. A record is a plain dict.
Rules a reader can check, areas in m² to 0.01, heights in m to 0.1:

- footprint_area = area of the geometry;  gross_floor_area = footprint_area x storeys_above;
- height = plinth (0.3 before 1985, else 0.5) + storeys x storey height + roof (1.2 brick_wood, else 0.6);
- dwellings = stairs x flats x residential storeys;  the floor areas of a building's units add up to its
  gross_floor_area;  households = the sum over its units.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import shapely
from shapely import LineString, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import polygonize

from sample_data import _layout
from sample_data._district import BOUNDARY
from sample_data._layout import ORIGIN, world
from sample_data._town import House, Plot, Town

Record = dict[str, Any]

COUNTY = "130638"  # Xiong County. Everything below the county is fiction.
STREET = f"{COUNTY}097"
CADASTRAL_ZONE = "003"
UNIT_SURVEY = "1号普查小组"
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
GIVEN = (
    "秀英",
    "建国",
    "桂兰",
    "志强",
    "淑珍",
    "永福",
    "玉梅",
    "文斌",
    "海燕",
    "德顺",
    "春华",
    "立新",
    "晓东",
    "金凤",
    "庆祥",
)


@dataclass
class Layers:
    """Records by feature type, and the houses by building code."""

    records: dict[str, list[Record]] = field(default_factory=dict)
    houses: dict[str, House] = field(default_factory=dict)
    units: dict[str, list[Record]] = field(default_factory=dict)


def describe(town: Town, seed: int) -> Layers:
    """Give every plot, house, dwelling, green, service and zone its record."""
    rng = random.Random(seed)
    layers = Layers()
    layers.records["division"] = _divisions(town)
    communities = [(r["code"], r["geom"]) for r in layers.records["division"] if r["level"] == "community"]
    layers.records["parcel"], layers.records["building"] = [], []
    numbers: dict[int, count[int]] = {}
    for plot in town.plots:
        sequence = numbers.setdefault(plot.zone, count(1))
        parcel = _parcel(plot, next(sequence), communities)
        layers.records["parcel"].append(parcel)
        for n, house in enumerate(plot.houses):
            building = _building(house, f"{parcel['code']}F{n + 1:04d}0000", parcel, communities, rng)
            layers.records["building"].append(building)
            layers.houses[building["code"]] = house
            layers.units[building["code"]] = _units(house, building, rng)
            homes = [unit for unit in layers.units[building["code"]] if unit["usage"] == "residential"]
            building["dwellings"] = len(homes)
            building["households"] = sum(unit["households"] for unit in homes)
    district = _district()
    layers.records["renewal_district"] = [district]
    layers.records["unit"] = [
        unit
        for building in layers.records["building"]
        if _surveyed(building, district["geom"])
        for unit in layers.units[building["code"]]
    ]
    layers.records["green_space"] = _greens(town)
    layers.records["planning_zone"] = _zones(town)
    layers.records["facility"] = _facilities(town, layers)
    return layers


def area(geometry: BaseGeometry) -> float:
    """Return an area in m², to 0.01."""
    return round(float(geometry.area), 2)


def _divisions(town: Town) -> list[Record]:
    plots = shapely.union_all([plot.shape for plot in town.plots])
    extent = shapely.box(*plots.buffer(30).bounds)
    far = 2000.0
    split = [_layout.corner(2, j) for j in range(_layout.ROWS + 1)]
    across = [_layout.corner(i, 2) for i in range(2, _layout.COLUMNS + 1)]
    spine = LineString([(split[0].x, -far), *((p.x, p.y) for p in split), (split[-1].x, far)])
    branch = LineString([*((p.x, p.y) for p in across), (far, across[-1].y)])
    pieces = list(polygonize(shapely.union_all([extent.boundary, spine, branch])))
    kept = sorted(
        (p for p in pieces if extent.buffer(1).contains(p)), key=lambda p: (p.centroid.x > 400, -p.centroid.y)
    )
    rows = [
        _division(f"{COUNTY}000000", "雄县", "county", None, extent, None),
        _division(f"{STREET}000", "柳堤街道", "town", f"{COUNTY}000000", extent, None),
    ]
    names = (("棉纺社区", 4260), ("文庙社区", 5130), ("柳堤社区", 3845))
    for n, (piece, (name, people)) in enumerate(zip(kept, names, strict=True)):
        rows.append(_division(f"{STREET}{n + 1:03d}", name, "community", f"{STREET}000", piece, people))
    rows[1]["population"] = sum(people for _, people in names)
    return rows


def _division(code: str, name: str, level: str, parent: str | None, shape: Polygon, population: int | None) -> Record:
    return {
        "code": code, "name": name, "level": level, "parent_code": parent, "population": population,
        "valid_from": "2020-11-01", "geom": world(shape),
    }  # fmt: skip


def _within(geometry: BaseGeometry, communities: list[tuple[str, BaseGeometry]]) -> str:
    point = geometry.representative_point()
    return next(code for code, shape in communities if shape.contains(point))


def _parcel(plot: Plot, number: int, communities: list[tuple[str, BaseGeometry]]) -> Record:
    shape = world(plot.shape)
    return {
        "code": f"{COUNTY}{CADASTRAL_ZONE}{plot.zone:03d}{plot.right}{number:05d}",
        "division_code": _within(shape, communities),
        "name": plot.name, "land_use": plot.land_use, "land_right": plot.right[1], "area": area(shape),
        "tenure": "state_owned" if plot.right[0] == "G" else "collective",
        "address": f"雄县柳堤街道{plot.address}", "valid_from": "2016-03-01", "geom": shape,
    }  # fmt: skip


def _building(
    house: House, code: str, parcel: Record, communities: list[tuple[str, BaseGeometry]], rng: random.Random
) -> Record:
    shape = world(house.shape)
    footprint, storeys, year = area(shape), house.storeys, house.year or 1980
    old = year < 1985
    height = (0.3 if old else 0.5) + storeys * house.storey_height + (1.2 if house.structure == "brick_wood" else 0.6)
    grade = _danger(house, rng)
    middle = shape.centroid
    return {
        "code": code, "parcel_code": parcel["code"], "division_code": _within(shape, communities),
        "name": house.name, "address": parcel["address"], "usage": house.usage, "structure": house.structure,
        "status": house.status, "year_built": house.year, "year_renovated": _renovated(house, rng),
        "storeys_above": storeys, "storeys_below": house.below, "height": round(height, 1),
        # The ground falls gently towards the river in the south.
        "ground_elevation": round(9.4 + (middle.y - ORIGIN[1]) * 0.0016 + rng.uniform(-0.15, 0.15), 2),
        "footprint_area": footprint, "gross_floor_area": round(footprint * storeys, 2),
        "gross_floor_area_below": round(footprint * house.below, 2),
        "danger_grade": grade,
        "danger_certificate": f"雄房鉴〔2023〕{rng.randint(1, 400):04d}号" if grade else None,
        "heritage": house.heritage, "has_lift": _lift(house, rng), "has_gas": _gas(house, rng),
        "seismic_intensity": None if year < 1978 else 7 if year < 2002 else 8, "geom": shape,
    }  # fmt: skip


def _danger(house: House, rng: random.Random) -> str | None:
    if house.status == "ruin":
        return "D"
    year = house.year or 1980
    if year >= 1992 or house.storeys > 7:
        return None
    weights = (20, 8, 34, 28, 10) if year < 1980 else (48, 20, 26, 6, 0)
    return rng.choices((None, "A", "B", "C", "D"), weights)[0]


def _renovated(house: House, rng: random.Random) -> int | None:
    year = house.year or 1980
    if house.status == "under_renovation" or year > 2002 or house.storeys < 3:
        return None
    return rng.randint(2008, 2022) if rng.random() < 0.3 else None


def _lift(house: House, rng: random.Random) -> bool | None:
    if house.storeys >= 7:
        return True
    if house.storeys >= 5 and (house.year or 1980) > 1984 and house.usage in ("residential", "mixed"):
        return rng.choices((False, True, None), (78, 14, 8))[0]
    return False


def _gas(house: House, rng: random.Random) -> bool | None:
    if house.usage not in ("residential", "mixed"):
        return None
    year = house.year or 1980
    if house.structure == "brick_wood":
        return rng.choices((False, None), (85, 15))[0]
    return rng.choices((True, False, None), (93, 2, 5) if year >= 1990 else (55, 33, 12))[0]


def _units(house: House, building: Record, rng: random.Random) -> list[Record]:
    doors = [
        (storey, stair, flat)
        for stair in range(1, house.stairs + 1)
        for storey in range(1, house.storeys + 1)
        for flat in range(1, house.flats + 1)
    ]
    weights = [(1.0, 1.18, 0.86, 1.06)[(flat + stair) % 4] for _, stair, flat in doors]
    areas = _shares(round(building["gross_floor_area"] * 100), weights)
    detached = house.stairs == 1 and house.storeys <= 4
    units = []
    for n, ((storey, stair, flat), cents) in enumerate(zip(doors, areas, strict=True)):
        shop = house.shops and storey == 1
        room = f"{flat if house.storeys == 1 else storey * 100 + flat}" if detached else f"{stair}-{storey}{flat:02d}"
        units.append(_unit(house, building, n + 1, storey, room, cents / 100, shop, rng))
    return units


def _unit(
    house: House,
    building: Record,
    number: int,
    storey: int,
    room: str,
    floor_area: float,
    shop: bool,
    rng: random.Random,
) -> Record:
    tenure = house.tenure
    if tenure == "private_owned":
        tenure = rng.choices(("private_owned", "private_rented", "unknown"), (80, 18, 2))[0]
    elif tenure == "public_rented" and house.storeys > 1:
        # Half of the work-unit flats were sold to their tenants in the housing reform.
        tenure = rng.choice(("public_rented", "private_owned"))
    finished = house.status != "under_construction"
    occupied = rng.choices((True, False, None), (86, 11, 3))[0] if finished else False
    private = tenure.startswith("private")
    deed = rng.randint(1, 99_999)
    return {
        "code": f"{building['code'][:24]}{number:04d}", "building_code": building["code"],
        "parcel_code": building["parcel_code"], "name": f"{building['name']}{room}室",
        "storey_number": storey,
        "room_number": room, "usage": "commercial" if shop else "residential", "floor_area": floor_area,
        "tenure": tenure, "households": 0 if shop or occupied is False else 1, "occupied": occupied,
        "owner_name": rng.choice(SURNAMES) + rng.choice(GIVEN) if private else None,
        "owner_id": f"虚构-{rng.randint(0, 999_999):06d}" if private else None,
        "right_certificate": f"冀(2017)雄县不动产权第{deed:07d}号" if private and finished else None,
        "survey_team": UNIT_SURVEY,
    }  # fmt: skip


def _shares(total: int, weights: list[float]) -> list[int]:
    if not weights:
        return []
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(share) for share in exact]
    # Largest remainder: the parts add up to the whole.
    for n in sorted(range(len(exact)), key=lambda k: (shares[k] - exact[k], k))[: total - sum(shares)]:
        shares[n] += 1
    return shares


def _district() -> Record:
    return {
        "id": "UR-2024-03", "name": "文庙—棉纺厂片区更新单元", "renewal_kind": "comprehensive",
        "stage": "实施方案编制",
        "responsible": "柳堤街道城市更新工作专班", "designated_on": "2024-05-20",
        "geom": world(Polygon(BOUNDARY)),
    }  # fmt: skip


def _greens(town: Town) -> list[Record]:
    rows = []
    for n, (shape, kind, name) in enumerate(town.greens):
        ground = world(shape)
        counts = {"attached": False, "square": None}.get(kind, True)
        rows.append(
            {
                "id": f"G{n + 1:03d}",
                "name": name,
                "kind": kind,
                "area": area(ground),
                "counts_as_green": counts,
                "geom": ground,
            }
        )
    return rows


# Main use of a block's plots -> land use of its zone, caps on FAR, density, height (m), floor on green ratio.
LIMITS: dict[str, tuple[str, float, float, float, float]] = {
    "courtyards": ("residential", 1.0, 0.65, 9.0, 0.10),
    "village": ("residential", 1.6, 0.45, 18.0, 0.25),
    "slabs": ("residential", 1.8, 0.30, 24.0, 0.30),
    "towers": ("residential", 2.8, 0.25, 100.0, 0.35),
    "industrial": ("mixed", 1.5, 0.45, 24.0, 0.20),
    "commercial": ("commercial", 3.5, 0.50, 100.0, 0.20),
    "public_service": ("public_service", 1.2, 0.35, 24.0, 0.35),
    "green": ("green", 0.1, 0.05, 9.0, 0.75),
}


def _zones(town: Town) -> list[Record]:
    rows = []
    for n, ((column, row), block) in enumerate(sorted(town.plan.blocks.items())):
        houses = [(h, p) for p in town.plots if block.cell.contains(p.shape.centroid) for h in p.houses]
        land_use, far, density, height, green = LIMITS[_character(houses)]
        rows.append({
            "id": f"XR-{row + 1}{column + 1:02d}", "name": f"柳堤控规{row + 1}-{column + 1:02d}地块",
            "zone_kind": "development_control", "land_use": land_use, "far_cap": far, "density_cap": density,
            "green_ratio_min": green, "height_cap": height, "effective_from": "2022-01-01",
            "source": "柳堤片区控制性详细规划（虚构）", "geom": world(block.cell),
        })  # fmt: skip
        assert n < 100
    old_town = town.plan.blocks[2, 3].plot
    for ident, kind, reach, height in (
        ("XR-H1", "heritage_core", 0.0, 9.0),
        ("XR-H2", "heritage_control", 45.0, 12.0),
    ):
        core = max((p for p in town.plots if p.name == "文庙"), key=lambda p: p.shape.area).shape
        shape = core.buffer(reach, join_style="mitre") if reach else core
        assert shape.intersects(old_town)
        rows.append({
            "id": ident, "name": "文庙保护范围" if not reach else "文庙建设控制地带", "zone_kind": kind,
            "land_use": None,
            "far_cap": None, "density_cap": None, "green_ratio_min": None, "height_cap": height,
            "effective_from": "2018-07-01", "source": "文庙保护规划（虚构）", "geom": world(shape),
        })  # fmt: skip
    return rows


def _character(houses: list[tuple[House, Plot]]) -> str:
    if any(plot.right == "JC" for _, plot in houses):
        return "village"
    uses = {plot.land_use for _, plot in houses}
    for use in ("industrial", "green"):
        if use in uses:
            return use
    floors: dict[str, float] = {}
    for house, plot in houses:
        floors[plot.land_use] = floors.get(plot.land_use, 0.0) + house.shape.area * house.storeys
    main = max(sorted(floors), key=lambda use: floors[use])
    if main not in ("residential", "warehouse"):
        return main
    if max(house.storeys for house, _ in houses) > 7:
        return "towers"
    old = sum(1 for house, _ in houses if house.storeys == 1 and house.stairs)
    return "courtyards" if old > len(houses) / 2 else "slabs"


def _facilities(town: Town, layers: Layers) -> list[Record]:
    codes = {id(house): code for code, house in layers.houses.items()}
    addresses = {r["code"]: r["address"] for r in layers.records["building"]}
    rows = []
    for n, (point, kind, name, capacity, house) in enumerate(town.services):
        code = codes[id(house)] if house is not None else None
        rows.append({
            "id": f"F{n + 1:03d}", "name": name, "kind": kind, "capacity": capacity, "building_code": code,
            "address": addresses.get(code or ""), "geom": world(point),
        })  # fmt: skip
    return rows


def _surveyed(building: Record, district: BaseGeometry) -> bool:
    """Say whether the survey of units reached a building: all of the district, and estates as old nearby."""
    if district.contains(building["geom"].representative_point()):
        return True
    estate = building["storeys_above"] > 1 and building["parcel_code"][13] == "B"
    return estate and bool(building["year_built"] <= 1990)
