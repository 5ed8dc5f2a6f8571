"""Roads, pipes and municipal components: what lies in, under and along the streets.

Roads and pipes are graphs: edges that meet share the end point exactly, to the millimetre.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import count
from typing import Any

import shapely
from shapely import LineString, Point
from shapely.geometry.base import BaseGeometry

from sample_data._layout import Plan, Street, world
from sample_data._records import COUNTY
from sample_data._town import Town

Record = dict[str, Any]

# Network -> offset of its nodes from the crossing of the centre lines (m, local), depth, materials by era.
PIPES: dict[str, tuple[tuple[float, float], float, str]] = {
    "water": ((3.2, 2.6), 1.4, "W"),
    "sewage": ((-2.4, -2.0), 2.6, "S"),
    "storm": ((0.6, -0.8), 2.1, "R"),
    "gas": ((-4.4, 3.8), 1.1, "G"),
}


def describe(town: Town, seed: int) -> dict[str, list[Record]]:
    """Return records of type road, pipe and component, and of the facilities along streets (bus stops)."""
    rng = random.Random(seed)
    edges = list(_edges(town.plan))
    pipes = list(_pipes(edges, rng))
    return {
        "road": _roads(edges),
        "pipe": pipes,
        "component": _components(edges, pipes, town, rng),
        "facility": _bus_stops(edges),
    }


def _edges(plan: Plan) -> Iterator[tuple[LineString, Street]]:
    streets = [*plan.streets, *plan.lanes]
    network = shapely.union_all([street.line for street in streets], grid_size=0.001)
    for line in sorted(shapely.get_parts(network), key=lambda part: (part.centroid.y, part.centroid.x)):
        middle = line.interpolate(0.5, normalized=True)
        # A lane may cross a street's line only at its ends, so the nearest street is the edge's own.
        yield line, min(streets, key=lambda street: street.line.distance(middle))


def _road_class(street: Street) -> str:
    if street.lane:
        return "lane" if street.width < 6 else "service"
    return "arterial" if street.width >= 32 else "secondary" if street.width >= 22 else "branch"


def _roads(edges: list[tuple[LineString, Street]]) -> list[Record]:
    lanes = {"arterial": 6, "secondary": 4, "branch": 2, "service": 2, "lane": 1}
    speed = {"arterial": 60.0, "secondary": 50.0, "branch": 40.0, "service": 20.0, "lane": 10.0}
    rows = []
    for n, (line, street) in enumerate(edges):
        rank = _road_class(street)
        rows.append({
            "road_id": f"RD{n + 1:04d}", "name": street.name, "road_class": rank, "width": street.width,
            "lanes": lanes[rank], "speed_limit": speed[rank],
            "surface": "concrete" if street.lane else "asphalt", "status": "in_use", "geom": world(line),
        })  # fmt: skip
    return rows


def _pipes(edges: list[tuple[LineString, Street]], rng: random.Random) -> Iterator[Record]:
    number = count(1)
    for network, ((dx, dy), depth, letter) in PIPES.items():
        nodes: dict[tuple[float, float], str] = {}
        for line, street in edges:
            if street.width < 5 or (network in ("gas", "storm") and street.lane):
                continue
            start, end = (Point(line.coords[n][0] + dx, line.coords[n][1] + dy) for n in (0, -1))
            if network in ("sewage", "storm") and start.y < end.y:
                start, end = end, start  # downhill, to the river
            names = [nodes.setdefault((p.x, p.y), f"{letter}{len(nodes) + 1:03d}") for p in (start, end)]
            year = rng.choice((1974, 1982, 1988, 1996, 2003, 2011, 2019))
            yield {
                "pipe_id": f"PL{next(number):04d}", "network": network, "material": _material(network, year),
                "diameter": _diameter(network, street), "depth_cm": round(100 * depth + rng.randint(-25, 40)),
                "year_laid": year, "capacity": None, "flow_from": names[0], "flow_to": names[1],
                "geom": world(LineString([start, end])),
            }  # fmt: skip


def _material(network: str, year: int) -> str:
    if network in ("sewage", "storm"):
        return "concrete" if year < 2000 else "HDPE"
    if network == "water":
        return "grey iron" if year < 1985 else "ductile iron"
    return "steel" if year < 2000 else "PE"


def _diameter(network: str, street: Street) -> float:
    size = {"water": (100, 200, 300, 500), "sewage": (300, 400, 500, 800), "storm": (300, 600, 800, 1200),
            "gas": (63, 110, 160, 250)}[network]  # fmt: skip
    return float(size[0 if street.lane else 1 if street.width < 20 else 2 if street.width < 30 else 3])


def _components(
    edges: list[tuple[LineString, Street]], pipes: list[Record], town: Town, rng: random.Random
) -> list[Record]:
    found: list[tuple[str, str, BaseGeometry]] = []
    for network, class_code, name in (
        ("water", "0101", "上水井盖"),
        ("sewage", "0102", "污水井盖"),
        ("storm", "0103", "雨水井盖"),
        ("gas", "0111", "燃气井盖"),
    ):
        ends = {coordinate for row in pipes if row["network"] == network for coordinate in row["geom"].coords}
        found += [(class_code, name, Point(end)) for end in sorted(ends)]
    for line, street in edges:
        if not street.lane:
            found += [(class_code, name, world(point)) for class_code, name, point in _furniture(line, street)]
    for shape, kind, _ in town.greens:
        if kind == "park":
            around = shape.buffer(-6).exterior
            for n in range(8):
                found.append(("0407", "街头坐椅", world(around.interpolate(n / 8, normalized=True))))
    found.sort(key=lambda item: item[0])
    return [_component(n, *item, rng) for n, item in _numbered(found)]


def _numbered(
    found: list[tuple[str, str, BaseGeometry]],
) -> Iterator[tuple[int, tuple[str, str, BaseGeometry]]]:
    numbers: dict[str, count[int]] = {}
    for item in found:
        yield next(numbers.setdefault(item[0], count(1))), item


def _furniture(line: LineString, street: Street) -> Iterator[tuple[str, str, Point]]:
    """Yield lamps, trees, bins, signs and hydrants along both kerbs of a street."""
    kerb = street.width / 2 - 3.0
    every: tuple[tuple[str, str, float, float], ...] = (
        ("0118", "路灯", 38.0, kerb),
        ("0305", "垃圾箱", 118.0, kerb + 0.8),
        ("0402", "行道树", 17.0 if street.width > 30 else 26.0, kerb + 1.4),
        ("0104", "雨水箅子", 64.0, kerb - 0.6),
    )
    for class_code, name, step, off in every:
        steps = int((line.length - 24) // step)
        for n in range(steps):
            for side in (-1, 1):
                yield (
                    class_code,
                    name,
                    _beside(line, 14 + n * step + (step / 2 if side > 0 else 0), side * off),
                )
    yield "0213", "路名牌", _beside(line, 9.0, kerb)
    yield "0113", "消防栓", _beside(line, line.length / 2, kerb + 0.4)
    if street.width >= 22:
        yield "0210", "交通信号灯", _beside(line, street.width / 2 + 2, -kerb)
        yield "0136", "监控电子眼", _beside(line, street.width / 2 + 3, kerb)


def _beside(line: LineString, along: float, off: float) -> Point:
    (x0, y0), (x1, y1) = line.coords[0], line.coords[-1]
    length = math.hypot(x1 - x0, y1 - y0)
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    return Point(x0 + along * dx - off * dy, y0 + along * dy + off * dx)


# Class -> departments: supervisor, owner, maintainer.
DEPARTMENTS = {
    "01": ("城市管理局", "供排水公司", "市政养护所"),
    "02": ("公安交通管理大队", "公安交通管理大队", "交通设施养护队"),
    "03": ("城市管理局", "环境卫生管理所", "环境卫生管理所"),
    "04": ("园林绿化局", "园林绿化局", "园林绿化养护队"),
}


def _component(number: int, class_code: str, name: str, point: BaseGeometry, rng: random.Random) -> Record:
    supervisor, owner, maintainer = DEPARTMENTS[class_code[:2]]
    installed = f"{rng.randint(2005, 2022)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    status = rng.choices(("intact", "damaged", "missing", "unknown"), (93, 4, 1, 2))[0]
    return {
        "code": f"{COUNTY}{class_code}{number:06d}", "class_code": class_code,
        "class_scheme": "CJ/T 214-2007",
        "name": name, "status": status, "supervisor": supervisor, "owner_department": owner,
        "maintainer": maintainer,
        "installed_on": installed, "changed_on": "2024-09-30" if status == "damaged" else None, "geom": point,
    }  # fmt: skip


def _bus_stops(edges: list[tuple[LineString, Street]]) -> list[Record]:
    rows: list[Record] = []
    long = [(line, street) for line, street in edges if street.width >= 22 and not street.lane and line.length > 110]
    for line, street in long[::2]:
        for side in (-1, 1):
            point = world(_beside(line, line.length * 0.4, side * (street.width / 2 - 2)))
            name = f"{street.name}{len(rows) // 2 + 1}站{'西' if side < 0 else '东'}"
            rows.append({"id": f"B{len(rows) + 1:03d}", "name": name, "kind": "bus_stop", "capacity": None,
                         "building_code": None, "address": None, "geom": point})  # fmt: skip
    return rows
