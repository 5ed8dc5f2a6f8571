"""Comparison of districts 片区对比: the densities of several districts side by side, in one pass and under one seal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from cim.errors import InvalidData
from cim.scenarios._base import Example, Outcome, Scenario, parameter, table
from cim.scenarios._indicator import step
from cim.scenarios._state import RECORDED, Scope, State
from cim.scenarios._why import Opened
from cim.scenarios.density_indicators import (
    DENSITIES,
    GFA_RULES,
    NETWORK_DENSITY,
    TARE,
    check_gfa_rule,
    coverage_of,
    densities,
    gfa_rule_input,
    network_density,
    open_densities,
    read_densities,
    tare,
)

CODE = {"code": {"type": "string"}}
OUTPUTS = table(
    {
        "gfa_rule": {"enum": list(GFA_RULES)},
        "gross": {
            "title": "The whole of each district, streets included",
            "x-cim-title-zh": "各片区毛密度",
            "type": "array",
            "items": table({**CODE, **DENSITIES, "network_density": NETWORK_DENSITY, "tare": TARE}),
        },
        "net": {
            "title": "The parcels of each district only",
            "x-cim-title-zh": "各片区净密度",
            "type": "array",
            "items": table({**CODE, **DENSITIES}),
        },
    }
)

WEST = "POLYGON((500000 4320000,500020 4320000,500020 4320030,500000 4320030,500000 4320000))"
EAST = "POLYGON((500020 4320000,500050 4320000,500050 4320030,500020 4320030,500020 4320000))"
HOUSE = "POLYGON((500015 4320005,500025 4320005,500025 4320017,500015 4320017,500015 4320005))"
EXAMPLE = Example(
    text=(
        "A house of 10 × 12 m with 3 storeys and 360 m² stands half in a district of 20 × 30 m and half in one of 30 × "
        "30 m: 60 m² and 180 m² fall to each, FAR 0.3 in the one and 0.2 in the other, of which no land is in a parcel."
    ),
    objects={
        "renewal_district": [
            {"code": "RD-EAST", "name": "东片区", "geom": EAST},
            {"code": "RD-WEST", "name": "西片区", "geom": WEST},
        ],
        "building": [
            {
                "code": "130629001001GB00001F00010000",
                "status": "in_use",
                "storeys_above": 3,
                "gross_floor_area": 360.0,
                "geom": HOUSE,
            }
        ],
    },
    inputs={"scope": ["RD-EAST", "RD-WEST"]},
    result={
        "gross": [
            {
                "code": "RD-EAST",
                "land": {"value": 900.0},
                "footprint": {"value": 60.0},
                "gfa": {"value": 180.0},
                "far": {"value": 0.2, "num": 1_800_000, "den": 9_000_000},
                "tare": {"value": 1.0},
            },
            {"code": "RD-WEST", "land": {"value": 600.0}, "gfa": {"value": 180.0}, "far": {"value": 0.3}},
        ],
        "net": [{"code": "RD-EAST", "land": {"value": 0.0}}, {"code": "RD-WEST", "land": {"value": 0.0}}],
    },
)


@dataclass(frozen=True, kw_only=True)
class CompareDistricts(Scenario):
    """Densities of several districts, each by itself, as `density-indicators` has them."""

    name: ClassVar[str] = "compare-districts"
    version: ClassVar[str] = "1.0.0"
    title: ClassVar[str] = "Comparison of districts"
    title_zh: ClassVar[str] = "片区对比"
    description: ClassVar[str] = (
        "Floor area ratio, building density, mean storeys, spaciousness, green ratio, network density and tare of "
        "several renewal districts or divisions, each by itself and as density-indicators gives them, in one pass and "
        "under one seal. Where districts overlap, what lies in both counts in each."
    )
    description_zh: ClassVar[str] = (
        "多个更新片区或行政区划的容积率、建筑密度、平均层数、开敞空间率、绿地率、路网密度和非宗地用地比例,"
        "一次计算、一个封签。片区重叠处在各片区分别计入。"
    )
    reads: ClassVar[tuple[str, ...]] = ("building", "green_space", "parcel", "road")
    queries: ClassVar[tuple[str, ...]] = ("density_indicators", "building_stock")
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    scope: Sequence[str] = parameter(
        {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
        "片区",
        "The renewal districts to compare, or the divisions, by their codes.",
    )
    gfa_rule: str = gfa_rule_input()

    def compute(self, state: State) -> Outcome:
        """Sum all districts in one query, then divide."""
        check_gfa_rule(state.pack, self.gfa_rule)
        if state.scope.type not in RECORDED:
            raise InvalidData(f"{self.name}: {', '.join(state.scope.codes[:10])} are no districts but parcels")
        scopes = state.scope.parts or (state.scope,)
        rows = read_densities(
            state, membership=self.membership, gfa_rule=self.gfa_rule, level="district", scopes=scopes
        )
        of = {(row.number, row.extent): row for row in rows}
        each = [
            (scope.codes[0], of[number, "gross"], of[number, "net"]) for number, scope in enumerate(scopes, start=1)
        ]
        result = {
            "gfa_rule": self.gfa_rule,
            "gross": [
                {
                    "code": code,
                    **densities(gross),
                    "network_density": network_density(gross),
                    "tare": tare(gross, net),
                }
                for code, gross, net in each
            ],
            "net": [{"code": code, **densities(net)} for code, _, net in each],
        }
        districts = [{"code": code, **coverage_of(gross, net)} for code, gross, net in each]
        coverage = {"scope": state.described(), "districts": districts}
        return Outcome(result, coverage, lambda: self._open(state, scopes))

    def _open(self, state: State, scopes: Sequence[Scope]) -> Iterator[Opened]:
        """Yield every number of every district opened."""
        for scope in scopes:
            for one in open_densities(replace(state, scope=scope), self.membership, self.gfa_rule):
                # density-indicators has the tare by itself, and here it stands among what is of the whole district.
                _, extent, *name = f"/gross{one.at}".split("/") if one.at == "/tare" else one.at.split("/")
                yield replace(one, at="/".join([step(f"/{extent}", scope.codes[0]), *name]))


SCENARIO = CompareDistricts
