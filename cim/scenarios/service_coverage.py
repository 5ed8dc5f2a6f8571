"""Service coverage 公共服务设施覆盖: households within reach of a service, straight or on foot through the streets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from cim.errors import InvalidData
from cim.scenarios import _indicator as indicator
from cim.scenarios._base import Example, Outcome, Scenario, parameter, table
from cim.scenarios._indicator import decimal, step
from cim.scenarios._network import FAR, MILLIMETRES, Millimetres, OnFoot, Straight, geometries, points_of
from cim.scenarios._parks import PARKS, kinds_of_parks, opened_parks, read_parks
from cim.scenarios._parks import coverage as coverage_by_parks
from cim.scenarios._parks import reach_of as reach_of_parks
from cim.scenarios._rules import RulePack
from cim.scenarios._state import State
from cim.scenarios._stock import COUNTED, Stock, households, read_stock, rules_of
from cim.scenarios._why import Opened, Sum, Term

PERCENT = 100
METRES_PER_MINUTE_OF_KMH = (1000, 60)
REACHED = {
    "households": indicator.schema("{household}", "Households reached", "覆盖户数"),
    "share": indicator.schema("%", "Share of households", "覆盖率", fraction=True),
    "buildings": indicator.schema("{building}", "Buildings reached", "覆盖建筑"),
}
OUTPUTS = table(
    {
        "mode": {"enum": ["network", "buffer"]},
        "households": indicator.schema("{household}", "Households", "户数"),
        "kinds": {
            "title": "Coverage",
            "x-cim-title-zh": "设施覆盖",
            "type": "array",
            "description": "By kind and ring: within ring metres of the nearest facility of the kind",
            "items": table(
                {
                    "kind": {"type": "string"},
                    "ring": {"type": "integer", "description": "metres, inclusive"},
                    "minutes": {"type": "number", "description": "to walk the ring at the speed given"},
                    "facilities": {"type": "integer", "description": "of the kind, within reach of the scope"},
                    **REACHED,
                }
            ),
        },
        "parks": PARKS,
        "gaps": {
            "title": "Out of reach",
            "x-cim-title-zh": "覆盖盲区",
            "type": "array",
            "description": "Inhabited buildings beyond the largest ring of a kind; empty unless list_objects",
            "items": table({"code": {"type": "string"}, "kinds": {"type": "array", "items": {"type": "string"}}}),
        },
        "objects": {
            "title": "Distances",
            "x-cim-title-zh": "距离",
            "type": "array",
            "description": "Metres from each building to the nearest facility of each kind, null beyond the largest "
            "ring, with the leaf it comes from; empty unless list_objects",
            "items": table(
                {
                    "code": {"type": "string"},
                    "leaf": {"type": ["integer", "null"]},
                    "households": {"type": ["integer", "null"]},
                    "distances": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
                }
            ),
        },
    }
)


def _square(x: int, y: int) -> str:
    west, south, east, north = 500_000 + x, 4_320_000 + y, 500_010 + x, 4_320_010 + y
    return f"POLYGON(({west} {south},{east} {south},{east} {north},{west} {north},{west} {south}))"


PARCEL = "130629001001GB00001"
EXAMPLE = Example(
    text=(
        "Along a street of 1 km a kindergarten stands 10 m off its beginning. The middles of two houses of 6 and 4 "
        "households are 10 m off it at 280 and 320 m: on foot 10 + 280 + 10 = 300 m, just within the ring of 300 m, "
        "and 340 m, beyond. 6 of 10 households are reached, 60 %."
    ),
    objects={
        "parcel": [
            {
                "code": PARCEL,
                "geom": "POLYGON((500250 4320000,500350 4320000,500350 4320030,500250 4320030,500250 4320000))",
            }
        ],
        "building": [
            {
                "code": f"{PARCEL}F00010000",
                "parcel_code": PARCEL,
                "status": "in_use",
                "households": 6,
                "geom": _square(275, 5),
            },
            {
                "code": f"{PARCEL}F00020000",
                "parcel_code": PARCEL,
                "status": "in_use",
                "households": 4,
                "geom": _square(315, 5),
            },
        ],
        "road": [{"code": "RO-1", "geom": "LINESTRING(500000 4320000,501000 4320000)"}],
        "facility": [{"code": "FA-1", "kind": "kindergarten", "geom": "POINT(500000 4320010)"}],
    },
    inputs={"scope": [PARCEL], "kinds": ["kindergarten"], "rings": [300, 500], "reference_date": "2026-06-30"},
    result={
        "mode": "network",
        "households": {"value": 10, "unit": "{household}"},
        "kinds": [
            {
                "kind": "kindergarten",
                "ring": 300,
                "minutes": 3.75,
                "facilities": 1,
                "households": {"value": 6, "low": 6, "high": 6},
                "share": {"value": 60.0, "unit": "%", "num": 600, "den": 10},
                "buildings": {"value": 1, "unit": "{building}"},
            },
            {"kind": "kindergarten", "ring": 500, "minutes": 6.25, "share": {"value": 100.0}},
        ],
    },
)


@dataclass(frozen=True, kw_only=True)
class ServiceCoverage(Scenario):
    """Who has a service within reach, by kind and ring."""

    name: ClassVar[str] = "service-coverage"
    version: ClassVar[str] = "1.2.0"
    title: ClassVar[str] = "Service coverage"
    title_zh: ClassVar[str] = "公共服务设施覆盖"
    description: ClassVar[str] = (
        "Households within reach of the nearest facility of each kind, by ring of the life circles. On foot through "
        "the streets: from the facility to the nearest point of the network, along it, and from there to the point on "
        "surface of the building, straight; or, as a buffer, straight to the footprint, which overstates. A building "
        "too far from every street, or without geometry, is unknown, not out of reach. Facilities beyond the scope "
        "serve it too. A proposal's new facilities and roads count. Parks reach by their size, straight, and are told "
        "as the share of residential land within their reach, cut at the edge of the scope; where `kinds` are given, "
        "of those among them that are parks."
    )
    description_zh: ClassVar[str] = (
        "按生活圈半径统计各类设施覆盖的户数与比例。网络法沿道路步行计距,缓冲法为直线距离(偏大);离路过远或无几何的建筑为未知。"
        "范围外的设施同样计入,方案新增设施与道路参与计算。公园按规模确定服务半径,给出居住用地覆盖率;指定类别时,仅计其中的公园类别。"
    )
    reads: ClassVar[tuple[str, ...]] = ("building", "facility", "green_space", "parcel", "road")
    queries: ClassVar[tuple[str, ...]] = ("service_coverage", "building_stock", "park_coverage")
    libraries: ClassVar[tuple[str, ...]] = ("scipy", "shapely")
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    kinds: Sequence[str] | None = parameter(
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "uniqueItems": True},
        "设施类别",
        "Kinds of facility, and of parks. Default: those of the rule pack.",
        default=None,
    )
    rings: Sequence[int] | None = parameter(
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": 20_000, "x-ogc-unit": "m"},
            "minItems": 1,
            "uniqueItems": True,
        },
        "半径",
        "Distances in metres, inclusive. Default: the life circles of the rule pack.",
        default=None,
    )
    mode: str = parameter(
        {"type": "string", "enum": ["network", "buffer"]},
        "方法",
        "network: on foot through the streets. buffer: straight.",
        default="network",
    )
    speed: float = parameter(
        {"type": "number", "minimum": 0.1, "maximum": 30, "x-ogc-unit": "km/h"},
        "步行速度",
        "Speed that minutes are given at.",
        default=4.8,
    )
    list_objects: bool = parameter(
        {"type": "boolean"}, "列出建筑", "Whether to list every building with its distances.", default=False
    )

    def types_read(self, pack: RulePack) -> Sequence[str]:
        """Return what is read: streets where people walk, green spaces where parks are asked for."""
        left_out = {"road": self.mode == "buffer", "green_space": not self._parks(pack)}
        return [name for name in self.reads if not left_out.get(name)]

    def reach(self, pack: RulePack) -> Mapping[str, int]:
        """Return how far away a facility still serves the scope, and a street still leads to one."""
        longest = max(self._rings(pack))
        walked = longest + pack.limit("walking_network")["max_snap_m"]
        return {"facility": longest, "road": walked, "green_space": reach_of_parks(pack)}

    def compute(self, state: State) -> Outcome:
        """Find every building's distance to the nearest facility of each kind, then count."""
        rings = self._rings(state.pack)
        kinds = self._facilities(state.pack)
        self._check_kinds(state)
        stock = read_stock(state, self.membership, leaves=self.list_objects or bool(self.explain))
        places = self._places(state, kinds)
        counted = {code: row for code, row in stock.items() if row.counted}
        distances = self._distances(state, places, list(counted), kinds, max(rings))
        parks = self._parks(state.pack)
        green = read_parks(state, parks) if parks else None
        entries = [
            {
                "kind": kind,
                "ring": ring,
                "minutes": self._minutes(ring),
                "facilities": sum(row.kind == kind for row in places.facilities),
                **_reached(counted, *(near <= ring * MILLIMETRES for near in distances[kind])),
            }
            for kind in kinds
            for ring in rings
        ]
        result = {
            "mode": self.mode,
            "households": _households(counted),
            "kinds": entries,
            "parks": None if green is None else coverage_by_parks(green),
            "gaps": self._gaps(counted, distances, max(rings)) if self.list_objects else [],
            "objects": self._objects(counted, distances) if self.list_objects else [],
        }
        coverage = self._coverage(state, counted, places, distances)

        def why() -> Iterator[Opened]:
            if parks:
                yield from opened_parks(state.pack, read_parks(state, parks, explain=True))
            yield from _why(state.pack, counted, distances, rings)

        return Outcome(result, coverage, why)

    def _check_kinds(self, state: State) -> None:
        known = [*state.database.dictionary.codelists["facility_kind"].values, *kinds_of_parks(state.pack)]
        for kind in self.kinds or ():
            if kind not in known:
                raise InvalidData(f"input kinds: {kind!r} is none; there are {', '.join(known)}")

    def _parks(self, pack: RulePack) -> list[str]:
        return [kind for kind in kinds_of_parks(pack) if self.kinds is None or kind in self.kinds]

    def _facilities(self, pack: RulePack) -> list[str]:
        return sorted(set(self.kinds or pack.limit("life_circles")["kinds"]) - set(kinds_of_parks(pack)))

    def _rings(self, pack: RulePack) -> list[int]:
        return sorted(self.rings or pack.limit("life_circles")["rings_m"])

    def _minutes(self, ring: int) -> float | int:
        # Speed has at most six decimals that matter; whole numbers keep the quotient exact.
        metres, minutes = METRES_PER_MINUTE_OF_KMH
        return decimal(ring * minutes * 10**6, round(self.speed * 10**6) * metres, 2)

    def _places(self, state: State, kinds: Sequence[str]) -> _Places:
        reach, roads = self.reach(state.pack), state.pack.limit("existing_road")
        walked = self.mode == "network"
        rows = state.rows(
            "service_coverage",
            kinds=list(kinds),
            walked=walked,
            facility_reach=reach["facility"],
            road_reach=reach["road"],
            road_status=roads["status"],
            road_missing=roads["missing"],
            not_walked=state.pack.limit("walking_network")["not_walked"],
        )
        found: dict[str, list[sa.Row[Any]]] = {"building": [], "facility": [], "road": []}
        for row in sorted(rows, key=itemgetter(0, 1)):
            found[row[0]].append(row)
        buildings = found["building"]
        return _Places(
            codes=[row.code for row in buildings],
            buildings=points_of(buildings) if walked else geometries(buildings),
            facilities=found["facility"],
            roads=geometries(found["road"]),
        )

    def _distances(
        self, state: State, places: _Places, codes: Sequence[str], kinds: Sequence[str], longest: int
    ) -> dict[str, tuple[Millimetres, Millimetres]]:
        """Return, by kind, each building's distance to the nearest facility: known, and as near as it may be.

        `codes` are those of the buildings, in order.
        A facility of unknown kind may be of any; a building of unknown place may be anywhere.
        """
        numbers = _numbers(places.codes, codes)
        rows, placed = numbers[numbers >= 0], places.buildings[numbers >= 0]
        walking = state.pack.limit("walking_network")
        measure = Straight(placed) if self.mode == "buffer" else OnFoot(placed, places.roads, walking)
        found = {}
        for kind in kinds:
            certain = [row for row in places.facilities if row.kind == kind]
            possible = [row for row in places.facilities if row.kind is None]
            known = measure.to(certain, longest * MILLIMETRES)
            least = np.minimum(known, measure.to(possible, longest * MILLIMETRES)) if possible else known.copy()
            least[measure.unknown] = 0
            near, near_at_least = np.full(len(codes), FAR, np.int64), np.zeros(len(codes), np.int64)
            near[rows], near_at_least[rows] = known, least
            found[kind] = near, near_at_least
        return found

    def _gaps(self, counted: Stock, distances: Mapping[str, Any], longest: int) -> list[dict[str, Any]]:
        found = []
        for number, (code, row) in enumerate(counted.items()):
            missing = [kind for kind, (_, least) in distances.items() if least[number] > longest * MILLIMETRES]
            if missing and row.households != 0:
                found.append({"code": code, "kinds": missing})
        return found

    def _objects(self, counted: Stock, distances: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "code": code,
                "leaf": row.leaf,
                "households": row.households,
                "distances": {
                    kind: None if near[number] == FAR else decimal(int(near[number]), MILLIMETRES, 3)
                    for kind, (near, _) in distances.items()
                },
            }
            for number, (code, row) in enumerate(counted.items())
        ]

    def _coverage(self, state: State, counted: Stock, places: _Places, distances: Mapping[str, Any]) -> dict[str, Any]:
        nowhere = [least == 0 for _, least in distances.values()]
        return {
            "scope": state.described(),
            "building": {
                "members": len(counted),
                "unknown": {
                    "households": sum(row.households is None for row in counted.values()),
                    "place": int(np.logical_and.reduce(nowhere).sum()) if counted and nowhere else 0,
                },
            },
            "facility": {
                "members": len(places.facilities),
                "unknown": {"kind": sum(row.kind is None for row in places.facilities)},
            },
            "road": {"members": len(places.roads)},
        }


@dataclass(frozen=True, slots=True)
class _Places:
    """What was read: codes and points (millimetres) or footprints of buildings, facilities, centre lines of streets."""

    codes: list[str]
    buildings: npt.NDArray[Any]
    facilities: Sequence[sa.Row[Any]]
    roads: npt.NDArray[np.object_]


def _numbers(codes: Sequence[str], among: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return where each of some codes stands among others, -1 where it does not; both in order.

    Side by side: of a large city a look-up by code takes several times as long, and longer than all distances.
    """
    found = []
    others = iter(enumerate(among))
    number, other = next(others, (-1, None))
    for code in codes:
        while other is not None and other < code:
            number, other = next(others, (-1, None))
        found.append(number if other == code else -1)
    return np.array(found, dtype=np.int64)


def _households(counted: Stock) -> dict[str, Any]:
    rows = counted.values()
    known = [row.households for row in rows if row.households is not None]
    most = sum(row.households_most for row in rows if row.households is None)
    return indicator.count("{household}", sum(known), most, n=len(counted), n_known=len(known))


def _reached(counted: Stock, near: npt.NDArray[np.bool_], perhaps: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return what is reached: surely (`near`) and at most (`perhaps`); unknown households move num and den together."""
    known = np.array([-1 if row.households is None else row.households for row in counted.values()], dtype=np.int64)
    most = np.array([row.households_most for row in counted.values()], dtype=np.int64)
    counts, open_ = known >= 0, known < 0

    def total(values: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_]) -> int:
        return int(values[chosen].sum())

    sure, possible, everyone = total(known, counts & near), total(known, counts & perhaps), total(known, counts)
    extra = total(most, open_ & perhaps)
    decided = int((counts & (near == perhaps)).sum())
    reached = {"n": len(known), "n_known": decided}
    bounds = [(sure, everyone + total(most, open_ & ~near)), (possible + extra, everyone + extra)]
    share = [(num * PERCENT, den) for num, den in bounds]
    return {
        "households": indicator.count("{household}", sure, possible - sure + extra, **reached),
        "share": indicator.ratio("%", (sure * PERCENT, everyone), share, **reached),
        "buildings": indicator.count(
            "{building}",
            int(near.sum()),
            int(perhaps.sum() - near.sum()),
            n=len(known),
            n_known=int((near == perhaps).sum()),
        ),
    }


def _why(
    pack: RulePack,
    counted: Stock,
    distances: Mapping[str, tuple[Millimetres, Millimetres]],
    rings: Sequence[int],
) -> Iterator[Opened]:
    """Open what is reached into the buildings that are, or may be."""
    rules = rules_of(pack, "life_circles", "walking_network", "existing_building", "unknown_dwellings")
    everyone = households("households", counted.values())
    yield Opened("/households", COUNTED["clip"], rules, everyone)
    for kind, both in distances.items():
        for ring in rings:
            people, homes = [], []
            for row, *reached in zip(counted.values(), *(near <= ring * MILLIMETRES for near in both), strict=True):
                sure, perhaps = reached
                if not perhaps:
                    continue
                most = row.households_most if row.households is None else row.households
                people.append(Term("building", row.code, row.leaf, row.households if sure else None, most))
                homes.append(Term("building", row.code, row.leaf, 1 if sure else None, 1))
            at = step("/kinds", f"{kind} {ring}")
            within = f"Σ of the buildings within {ring} m of the nearest {kind}"
            num = Sum("households reached", "{household}", tuple(people))
            yield Opened(f"{at}/households", within, rules, num)
            yield Opened(f"{at}/share", f"100 × {within} ÷ Σ households", rules, num, everyone, PERCENT)
            yield Opened(f"{at}/buildings", within, rules, Sum("buildings reached", "{building}", tuple(homes)))


SCENARIO = ServiceCoverage
