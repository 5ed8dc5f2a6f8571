"""Density indicators 开发强度指标: floor area ratio, coverage and what follows from them, net and gross."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa

from cim.errors import InvalidData
from cim.scenarios import _indicator as indicator
from cim.scenarios._base import Example, Outcome, Scenario, parameter, table
from cim.scenarios._indicator import Indicator, Ratio, step
from cim.scenarios._rules import RulePack
from cim.scenarios._state import RECORDED, Scope, State
from cim.scenarios._stock import BOUNDS, formula, read_stock, rules_of, stock_parameters, summed
from cim.scenarios._why import Opened, Sum, Term

GFA_RULES = ("above_ground", "with_basement", "footprint_storeys")
# num is in millimetres and den in square centimetres: 1 mm/cm² = 10 m/m².
MILLIMETRES_PER_SQUARE_CENTIMETRE = 10
PERCENT = 100

DENSITIES = {
    "land": indicator.schema("m2", "Land A", "用地面积"),
    "n": indicator.schema("{building}", "Buildings", "建筑数量"),
    "footprint": indicator.schema("m2", "Footprint F", "占地面积"),
    "gfa": indicator.schema("m2", "Counted floor area G", "计容建筑面积"),
    "far": indicator.schema("m2/m2", "Floor area ratio FAR, FSI = G / A", "容积率", fraction=True),
    "gsi": indicator.schema("m2/m2", "Building density GSI = F / A", "建筑密度", fraction=True),
    "storeys": indicator.schema("{storey}", "Mean storeys L = G / F", "平均层数", fraction=True),
    "osr": indicator.schema("m2/m2", "Spaciousness OSR = (A - F) / G", "开敞空间率", fraction=True),
    "green_ratio": indicator.schema("%", "Green ratio", "绿地率", fraction=True),
}
NETWORK_DENSITY = indicator.schema("m/m2", "Network density ND", "路网密度", fraction=True)
TARE = indicator.schema("m2/m2", "Tare T, the share of land in no parcel", "非宗地用地比例", fraction=True)
OUTPUTS = table(
    {
        "gfa_rule": {"enum": list(GFA_RULES)},
        "gross": table(
            {**DENSITIES, "network_density": NETWORK_DENSITY},
            title="The whole scope, streets included",
            **{"x-cim-title-zh": "毛密度"},
        ),
        "net": table(DENSITIES, title="Its parcels only", **{"x-cim-title-zh": "净密度"}),
        "tare": TARE,
        "parcels": {
            "title": "Parcels",
            "x-cim-title-zh": "宗地",
            "type": "array",
            "description": "Each parcel's share in the scope, by code; empty at level district",
            "items": table({"code": {"type": "string"}, **DENSITIES}),
        },
    }
)

LOT = "POLYGON((500000 4320000,500020 4320000,500020 4320030,500000 4320030,500000 4320000))"
HOUSE = "POLYGON((500005 4320005,500015 4320005,500015 4320017,500005 4320017,500005 4320005))"
EXAMPLE = Example(
    text=("On a lot of 20 × 30 m stands a house of 10 × 12 m with 3 storeys: FAR 0.6, GSI 0.2, OSR 1.333, 3 storeys."),
    objects={
        "parcel": [{"code": "130629001001GB00001", "geom": LOT}],
        "building": [
            {
                "code": "130629001001GB00001F00010000",
                "parcel_code": "130629001001GB00001",
                "status": "in_use",
                "storeys_above": 3,
                "gross_floor_area": 360.0,
                "geom": HOUSE,
            }
        ],
    },
    inputs={"scope": ["130629001001GB00001"], "level": "parcel"},
    result={
        "net": {
            "land": {"value": 600.0, "unit": "m2"},
            "footprint": {"value": 120.0, "unit": "m2"},
            "gfa": {"value": 360.0, "unit": "m2"},
            "far": {"value": 0.6, "unit": "m2/m2", "num": 3_600_000, "den": 6_000_000, "decimals": 6},
            "gsi": {"value": 0.2, "num": 1_200_000, "den": 6_000_000},
            "storeys": {"value": 3.0},
            "osr": {"value": 1.333333, "num": 4_800_000, "den": 3_600_000, "low": 1.333333, "high": 1.333333},
        },
        "tare": {"value": 0.0},
    },
)


def gfa_rule_input() -> Any:
    """Declare the input `gfa_rule`, for this scenario and the one that compares districts."""
    return parameter(
        {"type": "string", "enum": list(GFA_RULES)},
        "计容规则",
        "What counts as floor area: recorded above ground, recorded with basements, or footprint times storeys.",
        default="above_ground",
    )


@dataclass(frozen=True, kw_only=True)
class DensityIndicators(Scenario):
    """Densities as ratios of sums over a scope, and over each of its parcels."""

    name: ClassVar[str] = "density-indicators"
    version: ClassVar[str] = "1.3.0"
    title: ClassVar[str] = "Density indicators"
    title_zh: ClassVar[str] = "开发强度指标"
    description: ClassVar[str] = (
        "Floor area ratio FAR (FSI), building density GSI, mean storeys L, spaciousness OSR and green ratio of a "
        "district, gross over the whole scope and net over its parcels, with network density ND and tare T; and of "
        "each parcel at level parcel. Ratios are ratios of sums, never means of ratios. Land and footprint are areas "
        "of geometry. A building belongs to the parcel it names, or else to the one under its point on surface."
    )
    description_zh: ClassVar[str] = (
        "片区容积率、建筑密度、平均层数、开敞空间率、绿地率(毛密度与净密度)、路网密度和非宗地用地比例,可逐宗地给出。"
        "比值均为总量之比。绿地率不同于绿化覆盖率。"
    )
    reads: ClassVar[tuple[str, ...]] = ("building", "green_space", "parcel", "road")
    queries: ClassVar[tuple[str, ...]] = ("density_indicators", "building_stock")
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    level: str = parameter(
        {"type": "string", "enum": ["district", "parcel"]},
        "统计层级",
        "district: the scope as a whole. parcel: each of its parcels as well.",
        default="district",
    )
    gfa_rule: str = gfa_rule_input()

    def compute(self, state: State) -> Outcome:
        """Sum in one query, then divide."""
        check_gfa_rule(state.pack, self.gfa_rule)
        rows = read_densities(state, membership=self.membership, gfa_rule=self.gfa_rule, level=self.level)
        extents = {row.extent: row for row in rows if row.extent != "parcel"}
        gross, net = extents["gross"], extents["net"]
        result = {
            "gfa_rule": self.gfa_rule,
            "gross": densities(gross) | {"network_density": network_density(gross)},
            "net": densities(net),
            "tare": tare(gross, net),
            "parcels": [{"code": row.code, **densities(row)} for row in rows if row.extent == "parcel"],
        }
        coverage = {"scope": state.described(), **coverage_of(gross, net)}
        return Outcome(result, coverage, lambda: open_densities(state, self.membership, self.gfa_rule))


def check_gfa_rule(pack: RulePack, gfa_rule: str) -> None:
    """Refuse a rule of floor area that a rule pack does not permit.

    Raises
    ------
    InvalidData : it does not.
    """
    if gfa_rule not in pack.limit("gfa_rule"):
        raise InvalidData(f"rule pack {pack.name} does not permit gfa_rule {gfa_rule!r}")


def network_density(gross: sa.Row[Any]) -> Indicator:
    """Return the network density of a scope."""
    return _exact("m/m2", (gross.length * MILLIMETRES_PER_SQUARE_CENTIMETRE, gross.land), gross.roads)


def tare(gross: sa.Row[Any], net: sa.Row[Any]) -> Indicator:
    """Return the share of a scope's land that lies in none of its parcels."""
    return _exact("m2/m2", (gross.land - net.land, gross.land), net.pieces)


def _exact(unit: str, value: Ratio, n: int) -> Indicator:
    """Return a ratio in which nothing is unknown."""
    return indicator.ratio(unit, value, [value], n=n, n_known=n)


def read_densities(
    state: State,
    *,
    membership: str,
    gfa_rule: str,
    level: str,
    explain: bool = False,
    scopes: Sequence[Scope] = (),
) -> Sequence[sa.Row[Any]]:
    """Return the sums of the scope as a whole (`extent` gross), of its parcels (net) and, if asked for, of each.

    With `explain` also the green spaces and streets that are summed. Given some `scopes`, those of each, by its
    `number` from 1 on, instead of the state's.
    """
    roads = state.pack.limit("existing_road")
    return state.rows(
        "density_indicators",
        **stock_parameters(state.pack),
        membership=membership,
        gfa_rule=gfa_rule,
        level=level,
        explain=explain,
        road_status=roads["status"],
        road_missing=roads["missing"],
        aside=[] if state.made is None else state.made.parcels,
        scopes=[scope.ewkb(state.database.settings.srid) for scope in scopes or [state.scope]],
    )


def densities(row: sa.Row[Any]) -> dict[str, Indicator]:
    """Return the densities of such sums, as `DENSITIES` describes them."""
    members = row.members
    # An unknown footprint alone, an unknown floor area alone, and both unknown of one building, which move together.
    footprints = row.footprint, row.footprint + row.footprint_most
    floors = row.gfa, row.gfa + row.gfa_most
    together = ((0, 0), (row.both_footprint_most, row.both_gfa_most))
    joint = {(f + a, g + b) for a, b in together for f in footprints for g in floors}
    return {
        "land": indicator.area(row.land, 0, n=row.pieces, n_known=row.pieces),
        "n": indicator.count("{building}", row.n, 0, n=row.n, n_known=row.n),
        "footprint": indicator.area(
            row.footprint, row.footprint_most + row.both_footprint_most, n=members, n_known=row.footprint_known
        ),
        "gfa": indicator.area(row.gfa, row.gfa_most + row.both_gfa_most, n=members, n_known=row.gfa_known),
        "far": indicator.ratio(
            "m2/m2", (row.gfa, row.land), [(g, row.land) for _, g in joint], n=members, n_known=row.gfa_known
        ),
        "gsi": indicator.ratio(
            "m2/m2",
            (row.footprint, row.land),
            [(f, row.land) for f, _ in joint],
            n=members,
            n_known=row.footprint_known,
        ),
        "storeys": indicator.ratio(
            "{storey}",
            (row.gfa, row.footprint),
            [(g, f) for f, g in joint],
            n=members,
            n_known=row.both_known,
        ),
        "osr": indicator.ratio(
            "m2/m2",
            (row.land - row.footprint, row.gfa),
            [(row.land - f, g) for f, g in joint],
            n=members,
            n_known=row.both_known,
        ),
        "green_ratio": indicator.ratio(
            "%",
            (row.green * PERCENT, row.land),
            [(green * PERCENT, row.land) for green in (row.green, row.green + row.green_most)],
            n=row.green_n,
            n_known=row.green_known,
        ),
    }


def coverage_of(gross: sa.Row[Any], net: sa.Row[Any]) -> dict[str, Any]:
    """Count the buildings by what is unknown of them, and the other objects read."""
    return {
        "building": {
            "members": gross.members,
            "counted": gross.n,
            "on_no_parcel": gross.members - net.members,
            "without_geometry": gross.without_geometry,
            "without_status": gross.without_status,
            "unknown": {
                "footprint": gross.members - gross.footprint_known,
                "gross_floor_area": gross.members - gross.gfa_known,
            },
        },
        "parcel": {"members": net.pieces},
        "road": {"members": gross.roads},
        "green_space": {
            "members": gross.green_n,
            "unknown": {"counts_as_green": gross.green_n - gross.green_known},
        },
    }


def open_densities(state: State, membership: str, gfa_rule: str) -> Iterator[Opened]:
    """Yield every number of the densities opened, of each parcel too."""
    rows = read_densities(state, membership=membership, gfa_rule=gfa_rule, level="parcel", explain=True)
    gross, net = (next(row for row in rows if row.extent == extent) for extent in ("gross", "net"))
    parcels = [row for row in rows if row.extent == "parcel"]
    stock = read_stock(state, membership)
    codes = {row.code for row in parcels}
    on: defaultdict[str, list[sa.Row[Any]]] = defaultdict(list)
    for building in stock.values():
        if building.parcel_code in codes:
            on[building.parcel_code].append(building)
    whole = Sum("land of the scope", "m2", (_scope_term(state, gross.land),))
    lots = Sum("land of the parcels", "m2", tuple(Term("parcel", p.code, p.leaf, p.land) for p in parcels))
    yield from _open("/gross", state, membership, gfa_rule, whole, stock.values(), gross.greens)
    inside = [building for code in sorted(on) for building in on[code]]
    yield from _open("/net", state, membership, gfa_rule, lots, inside, net.greens)
    for parcel in parcels:
        lot = Sum("land of the parcel", "m2", (Term("parcel", parcel.code, parcel.leaf, parcel.land),))
        yield from _open(
            step("/parcels", parcel.code), state, membership, gfa_rule, lot, on[parcel.code], parcel.greens
        )
    streets = Sum("length", "m", tuple(Term("road", *street) for street in gross.streets or ()))
    rules = rules_of(state.pack, "existing_road")
    half = "Σ length of the roads inside, half of it along the edge ÷ land"
    yield Opened("/gross/network_density", half, rules, streets, whole)
    bare = whole.less(lots, "land in no parcel")
    yield Opened("/tare", "(land of the scope - Σ land of its parcels) ÷ land of the scope", [], bare, whole)


def _scope_term(state: State, land: int) -> Term:
    """Return the land of the scope as a term: by its record, else by the digest of its geometry."""
    scope, leaf = state.scope, None
    if scope.type in RECORDED and len(scope.codes) == 1:
        leaf = state.rows("land_name", codes=list(scope.codes))[0].leaf
    return Term(scope.type, scope.codes[0] if len(scope.codes) == 1 else scope.sha256, leaf, land)


def _open(
    at: str,
    state: State,
    membership: str,
    gfa_rule: str,
    land: Sum,
    buildings: Iterable[sa.Row[Any]],
    greens: Sequence[Sequence[Any]] | None,
) -> Iterator[Opened]:
    """Yield the densities of some land opened."""
    rows, rules = list(buildings), rules_of(state.pack, "gfa_rule", *BOUNDS)
    footprint = summed("footprint", rows)
    gfa = Sum(
        f"gross_floor_area, {gfa_rule}",
        "m2",
        tuple(Term("building", row.code, row.leaf, *_counted(gfa_rule, row)) for row in rows),
    )
    green = Sum(
        "green space that counts",
        "m2",
        tuple(
            Term("green_space", code, leaf, area if counts else 0 if counts is False else None, area)
            for code, leaf, counts, area in greens or ()
        ),
    )
    yield Opened(f"{at}/land", "Σ land", [], land)
    yield Opened(f"{at}/n", formula("n", membership), rules, summed("n", rows))
    yield Opened(f"{at}/footprint", formula("footprint", membership), rules, footprint)
    yield Opened(f"{at}/gfa", formula("gfa", membership), rules, gfa)
    yield Opened(f"{at}/far", "gfa ÷ land", rules, gfa, land)
    yield Opened(f"{at}/gsi", "footprint ÷ land", rules, footprint, land)
    yield Opened(f"{at}/storeys", "gfa ÷ footprint", rules, gfa, footprint)
    yield Opened(f"{at}/osr", "(land - footprint) ÷ gfa", rules, land.less(footprint, "open land"), gfa)
    unknown_green = rules_of(state.pack, "unknown_green")
    yield Opened(f"{at}/green_ratio", "100 × Σ green that counts ÷ land", unknown_green, green, land, PERCENT)


def _counted(gfa_rule: str, row: sa.Row[Any]) -> tuple[int | None, int]:
    """Return the counted floor area of a building, and what it may be at most."""
    match gfa_rule:
        case "with_basement":
            parts = row.gfa, row.gfa_below
            mosts = (p if p is not None else m for p, m in zip(parts, (row.gfa_most, row.gfa_below_most), strict=True))
            return None if None in parts else sum(parts), sum(mosts)
        case "footprint_storeys":
            known = row.footprint is not None and row.storeys_above is not None
            return row.footprint * row.storeys_above if known else None, row.floors_most
        case _:
            return row.gfa, row.gfa_most


SCENARIO = DensityIndicators
