"""Constraint check 约束检查: whether a proposal respects the rules, with value, limit, margin and who offends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

from cim.scenarios import _constraints as constraints
from cim.scenarios import _constraints_land as land
from cim.scenarios._base import Example, Outcome, Scenario, parameter, table
from cim.scenarios._branch import Made
from cim.scenarios._constraints import NOT_ASSESSED, STATUSES, Case, Check, Checker
from cim.scenarios._indicator import schema, step
from cim.scenarios._rules import Rule, RulePack
from cim.scenarios._state import State
from cim.scenarios._stock import read_stock
from cim.scenarios._why import Opened

RULES: Mapping[str, Checker] = MappingProxyType(
    {
        "R1": constraints.demolition,
        "R2": constraints.rebuilding,
        "R3": constraints.rehousing,
        "R4": constraints.rent,
        "R5": land.floor_area_ratio,
        "R6": land.height,
        "R7": land.density,
        "R8": land.green,
        "R9": land.heritage,
        "R12": constraints.parking,
        "R13": constraints.facilities,
        "R14": land.access,
        "R15": constraints.consent,
    }
)

WIDEST_ROAD = 300  # metres, the most that the dictionary lets a road be wide
_NUMBER = {"type": ["number", "null"]}
_VOTES = table(
    {
        "owners": {"type": "integer", "minimum": 0, "maximum": 10**9},
        "area": {"type": "number", "minimum": 0, "maximum": 10**11},
    }
)
FACTS = {
    "type": "object",
    "properties": {
        "rent": {
            **table({"previous": {"type": "number", "minimum": 0}, "current": {"type": "number", "minimum": 0}}),
            "description": "Rent of dwellings in the city a year before and now, in one unit",
        },
        "consent": {
            **table({"all": _VOTES, "participating": _VOTES, "in_favour": _VOTES}),
            "description": "Owners and their floor area (m2): all, those who took part in the vote, those in favour",
        },
    },
    "additionalProperties": False,
}
OUTPUTS = table(
    {
        "status": {"enum": list(STATUSES), "description": "fail where a rule fails, pass where all pass"},
        "counts": table({status: {"type": "integer", "minimum": 0} for status in STATUSES}),
        "interventions": {"type": "integer", "minimum": 0},
        "rules": {
            "type": "array",
            "description": "Each rule with its value, in its unit, against its limit",
            "items": {
                "type": "object",
                "properties": {
                    "rule": {"type": "string"},
                    "clause": {"type": "string"},
                    "text": {"type": "string"},
                    "text_zh": {"type": "string"},
                    "source": {"type": "string"},
                    "confidence": {"type": "string"},
                    "force": {"type": "string"},
                    "formula": {"type": "string"},
                    "enabled": {"type": "boolean"},
                    "status": {"enum": list(STATUSES)},
                    "value": {"type": ["object", "null"], "description": "Indicator; of the tightest object if many"},
                    "limit": _NUMBER,
                    "margin": {**_NUMBER, "description": "Room to the limit; negative beyond it"},
                    "reason": {"type": ["string", "null"]},
                    "offenders": {"type": "array", "items": {"type": "object"}},
                    "capacity_left": {
                        **schema("m2", "Floor area left", "剩余可建面积"),
                        "description": "R5: Σ max(0, far_cap × land - floor area) over the parcels that a zone limits",
                    },
                    "unknown": {
                        "type": "array",
                        "description": "What nobody recorded, with the bounds it is given",
                        "items": {"type": "object"},
                    },
                },
                "required": ["rule", "status", "value", "limit", "margin", "offenders", "unknown"],
            },
        },
        "comparison": {
            "type": ["object", "null"],
            "description": "The same by the rule pack of compare_with, and the rules that come out otherwise",
        },
    }
)

P1 = "130629001001GB00001"
LOT = "POLYGON((500000 4320000,500100 4320000,500100 4320100,500000 4320100,500000 4320000))"


def _square(x: int, y: int, side: int) -> str:
    west, south, east, north = 500000 + x, 4320000 + y, 500000 + x + side, 4320000 + y + side
    return f"POLYGON(({west} {south},{east} {south},{east} {north},{west} {north},{west} {south}))"


def _house(number: int, x: int, floor_area: float, households: int, **values: Any) -> dict[str, Any]:
    return {
        "code": f"{P1}F{number:04d}0000",
        "parcel_code": P1,
        "status": "in_use",
        "usage": "residential",
        "storeys_above": 4,
        "height": 12.0,
        "gross_floor_area": floor_area,
        "dwellings": households,
        "households": households,
        "heritage": "none",
        "geom": _square(x, 10, 15),
        **values,
    }


EXAMPLE = Example(
    text=(
        "On a lot of 10,000 m² stand four houses of 1,000, 800, 120 and 80 m². The one of 120 m² with 8 households "
        "is rebuilt with 240 m², and 5 come back. R1: 120 / 2000 = 6 %, limit 20 %. R2: 240 / 120 = 2, just within. "
        "R3: 5 / 8 = 62.5 %, at least 50 %. R5: (2000 - 120 + 240) / 10,000 = 0.212, limit 0.212; "
        "no floor area is left."
    ),
    objects={
        "parcel": [{"code": P1, "geom": LOT}],
        "planning_zone": [
            {
                "code": "PZ-1",
                "zone_kind": "development_control",
                "far_cap": 0.212,
                "density_cap": 0.3,
                "height_cap": 12.0,
                "geom": LOT,
            }
        ],
        "building": [
            _house(1, 5, 1000.0, 20),
            _house(2, 25, 800.0, 16),
            _house(3, 45, 120.0, 8),
            _house(4, 65, 80.0, 2),
        ],
    },
    inputs={
        "scope": [P1],
        "reference_date": "2026-06-30",
        "proposal": {
            "interventions": [
                {
                    "target": f"{P1}F00030000",
                    "action": "rebuild",
                    "params": {
                        "gross_floor_area": 240.0,
                        "storeys_above": 4,
                        "height": 12.0,
                        "dwellings": 8,
                        "households": 8,
                        "rehoused_households": 5,
                    },
                }
            ]
        },
        "facts": {"rent": {"previous": 50, "current": 52}},
        "rules": ["R1", "R2", "R3", "R4", "R5", "R6"],
    },
    result={
        "status": "pass",
        "counts": {"pass": 6, "fail": 0},
        "interventions": 1,
        "rules": [
            {"rule": "R1", "status": "pass", "value": {"value": 6.0, "unit": "%"}, "limit": 20, "margin": 14},
            {"rule": "R2", "status": "pass", "value": {"value": 2.0}, "limit": 2, "margin": 0},
            {"rule": "R3", "status": "pass", "value": {"value": 62.5, "unit": "%"}, "limit": 50, "margin": 12.5},
            {"rule": "R4", "status": "pass", "value": {"value": 4.0}, "limit": 5},
            {
                "rule": "R5",
                "status": "pass",
                "value": {"value": 0.212},
                "limit": 0.212,
                "margin": 0,
                "capacity_left": {"value": 0.0, "unit": "m2", "n": 1, "n_known": 1},
            },
            {"rule": "R6", "status": "pass", "value": {"value": 12.0, "unit": "m"}, "limit": 12, "margin": 0},
        ],
    },
)


@dataclass(frozen=True, kw_only=True)
class CheckConstraints(Scenario):
    """Hold a proposal, or the city as it is, to the rules of a pack."""

    name: ClassVar[str] = "check-constraints"
    version: ClassVar[str] = "1.3.0"
    title: ClassVar[str] = "Constraint check"
    title_zh: ClassVar[str] = "约束检查"
    description: ClassVar[str] = (
        "Whether a proposal respects the rules: demolition (R1), new floor area for what is demolished (R2), rehousing "
        "(R3), rent (R4), floor area ratio, height, density and green of planning zones (R5-R8), heritage (R9), "
        "parking, facilities and access (R12-R14), owners' consent (R15). Each with its value, limit, margin, clause, "
        "and the objects that offend. "
        "pass or fail only where all that is unknown cannot change it; else not_assessed, with what is unknown. A rule "
        "the pack has switched off is not assessed. With a proposal, R5-R9 and R14 judge what it touches."
    )
    description_zh: ClassVar[str] = (
        "检查方案是否符合规则:拆除比例、拆建比、就地就近安置率、租金涨幅、容积率、限高、建筑密度、绿地率、历史保护、"
        "停车、公共服务设施、道路通达和业主表决。逐条给出数值、限值、余量、条款和不符合的对象;未知不等于不符合。"
    )
    reads: ClassVar[tuple[str, ...]] = ("building", "facility", "green_space", "parcel", "planning_zone", "road")
    queries: ClassVar[tuple[str, ...]] = (
        "check_constraints",
        "building_stock",
        "building_zones",
        "parcel_access",
        "parking",
    )
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    rules: Sequence[str] = parameter(
        {"type": "array", "items": {"type": "string", "enum": list(RULES)}, "uniqueItems": True, "minItems": 1},
        "规则",
        "Rules to check.",
        default=tuple(RULES),
    )
    facts: Mapping[str, Any] | None = parameter(
        FACTS, "补充事实", "What no city data holds: rent and the owners' vote.", default=None
    )
    compare_with: str | None = parameter(
        {"type": "string", "minLength": 1},
        "对比规则包",
        "Name of another rule pack to judge by as well, beside `rule_pack`.",
        default=None,
    )

    def compute(self, state: State) -> Outcome:
        """Read the stock as it is and as it will be, then judge rule by rule."""
        case = case_of(state, self.membership, self.facts or {})
        checked = [self._entry(case, rule_id) for rule_id in RULES if rule_id in self.rules]
        counts = {status: sum(entry["status"] == status for entry in checked) for status in STATUSES}
        result = {
            "status": overall(counts),
            "counts": counts,
            "interventions": 0 if case.made is None else len(case.made.proposal.interventions),
            "rules": checked,
            "comparison": None if state.compared is None else self._comparison(state, state.compared, checked),
        }
        return Outcome(result, {"scope": state.described(), **outside(case)}, lambda: self._why(state))

    def _why(self, state: State) -> Iterator[Opened]:
        """Open what every rule measured, by the other pack too."""
        sides = [("/rules", state.pack)]
        if state.compared is not None:
            sides.append(("/comparison/rules", state.compared))
        for way, pack in sides:
            case = case_of(replace(state, pack=pack), self.membership, self.facts or {}, explain=True)
            for rule_id in self.rules:
                rule = pack.rules.get(rule_id)
                if rule is not None and rule.enabled:
                    yield from (one.beneath(step(way, rule_id)) for one in RULES[rule_id](rule, case).why)

    def _comparison(self, state: State, pack: RulePack, checked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the same rules as another pack has them, and which of them come out otherwise."""
        case = case_of(replace(state, pack=pack), self.membership, self.facts or {})
        told = ("rule", "enabled", "status", "value", "limit", "margin")
        entries = [self._entry(case, entry["rule"]) for entry in checked]
        return {
            "rule_pack": pack.named(),
            "rules": [{key: entry.get(key) for key in told} for entry in entries],
            "differ": [
                entry["rule"]
                for entry, ours in zip(entries, checked, strict=True)
                if any(entry.get(key) != ours.get(key) for key in told)
            ],
        }

    def compared(self) -> str | None:
        """Return the name of the other rule pack."""
        return self.compare_with

    def reach(self, pack: RulePack) -> Mapping[str, int]:
        """Return how far beyond the scope the rules read."""
        return reach_of(pack)

    def _entry(self, case: Case, rule_id: str) -> dict[str, Any]:
        rule = case.state.pack.rules.get(rule_id)
        if rule is None:
            reason = f"rule pack {case.state.pack.name} has no rule {rule_id}"
            return {"rule": rule_id, **_outcome(Check(NOT_ASSESSED, reason=reason))}
        check = RULES[rule_id](rule, case) if rule.enabled else Check(NOT_ASSESSED, reason=_switched_off(rule))
        told = ("clause", "text", "text_zh", "source", "confidence", "force", "formula", "enabled")
        return {"rule": rule_id, **{name: getattr(rule, name) for name in told}, **_outcome(check)}


def reach_of(pack: RulePack) -> Mapping[str, int]:
    """Parcels are judged whole, so what lies on their ragged edge is read too; and roads by their edges."""
    beyond = pack.limit("zone_of_parcel")["reach_m"]
    reach = dict.fromkeys(("building", "green_space", "planning_zone"), beyond)
    access = pack.rules.get("R14")
    if access is not None and access.enabled:
        reach["road"] = math.ceil(beyond + WIDEST_ROAD / 2 + access.limit["tolerance_m"])
    return reach


def case_of(state: State, membership: str, facts: Mapping[str, Any], *, explain: bool = False) -> Case:
    """Return what the rules are checked on: the stock without and with the proposal that lies on a state."""
    base = state.through(None)
    before = read_stock(base, membership)
    made: Made | None = state.made
    after = before if made is None else read_stock(state, membership)
    return Case(base, made, before, after, facts, explain)


def overall(counts: Mapping[str, int]) -> str:
    """Return one status for many rules: the worst of them; what is undefined holds nobody back."""
    ranked = ("fail", "not_assessed", "exempt", "pass")
    return next((status for status in ranked if counts[status]), "undefined")


def outside(case: Case) -> dict[str, Any]:
    """Tell which targets are no existing buildings of the scope: what is done to them is not counted."""
    on = {} if case.made is None else case.made.on
    return {
        "building": {"members": len(case.before), "members_after": len(case.after)},
        "targets_outside": sorted(code for code in on if code not in case.before),
    }


def _switched_off(rule: Rule) -> str:
    return f"switched off in the rule pack ({rule.confidence}); a city switches it on in a pack of its own"


def _outcome(check: Check) -> dict[str, Any]:
    return {
        "status": check.status,
        "value": check.value,
        "limit": check.limit,
        "margin": check.margin,
        "reason": check.reason,
        **check.extra,
        "offenders": list(check.offenders),
        "unknown": check.unknowns(),
    }


SCENARIO = CheckConstraints
