"""Portfolio 更新方案优化: what to do to which building, for the most need removed within budget and rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any, ClassVar

import sqlalchemy as sa

from cim.errors import InvalidData
from cim.scenarios import _indicator as indicator
from cim.scenarios._base import Example, Outcome, Scenario, parameter, table
from cim.scenarios._indicator import SQUARE_CENTIMETRES, decimal
from cim.scenarios._milp import Choice, Limit, Problem, choose, to_relax
from cim.scenarios._portfolio import (
    DEMOLISHING,
    FEN,
    KEEP,
    Option,
    exact,
    intervention,
    judged,
    limits_of,
    opened_choice,
    whole,
    yuan,
)
from cim.scenarios._rules import RulePack
from cim.scenarios._state import State
from cim.scenarios._stock import read_stock
from cim.scenarios.rank_renewal_candidates import EVERYTHING, RankRenewalCandidates, criteria_input, reach_of

ACTIONS = ("add_gas", "add_lift", "demolish", "rebuild", "repair", "retrofit")
RULES = ("R1", "R2", "R3")
MILLION = 1_000_000

_TERMS = table(
    {
        "cost": {
            "type": "number",
            "minimum": 0,
            "maximum": 1_000_000,
            "description": "yuan for a square metre of the building",
        },
        "effect": {"type": "number", "minimum": 0, "maximum": 1, "description": "share of the need it removes"},
        "floor_ratio": {"type": "number", "minimum": 0, "maximum": 50, "description": "rebuild: new ÷ old floor area"},
        "rehoused": {"type": "number", "minimum": 0, "maximum": 1, "description": "share of households that come back"},
    }
) | {"required": ["cost", "effect"]}
_YUAN = {"type": "integer", "minimum": 0, "maximum": 10**13, "x-ogc-unit": "CNY"}
OUTPUTS = table(
    {
        "status": {
            "enum": ["optimal", "infeasible"],
            "description": "optimal: within `gap` of the bound. infeasible: no choice keeps all that is demanded",
        },
        "benefit": indicator.schema("m2", "Need removed, as floor area × score × effect", "消除的更新需求"),
        "bound": {"type": ["number", "null"], "description": "m2 that no choice can exceed"},
        "gap": {"type": ["number", "null"], "description": "(bound - benefit) ÷ bound"},
        "cost": indicator.schema("CNY", "Cost", "费用"),
        "rules": {
            "title": "Limits",
            "x-cim-title-zh": "约束",
            "type": "array",
            "description": "Each limit, added up again in whole numbers. price: benefit in m2 that one unit more of "
            "the limit would bring, were buildings divisible",
            "items": {"type": "object", "required": ["rule", "status", "value", "limit", "margin", "price"]},
        },
        "relax": {
            "type": "array",
            "description": "If infeasible, the fewest limits that must give way",
            "items": {"type": "string"},
        },
        "actions": {
            "type": "object",
            "additionalProperties": {"type": "integer"},
            "description": "Buildings by action",
        },
        "proposal": {"type": ["object", "null"], "description": "The choice, as every scenario takes a proposal"},
        "objects": {
            "title": "Choice",
            "x-cim-title-zh": "逐栋方案",
            "type": "array",
            "items": table(
                {
                    "code": {"type": "string"},
                    "leaf": {"type": ["integer", "null"]},
                    "action": {"enum": [KEEP, *ACTIONS]},
                    "phase": {"type": ["integer", "null"], "description": "null: kept"},
                    "score": {"type": "number"},
                    "benefit": {"type": "number", "x-ogc-unit": "m2"},
                    "cost": {"type": "number", "x-ogc-unit": "CNY"},
                }
            ),
        },
    }
)

P1 = "130629001001GB00001"
LOT = "POLYGON((500000 4320000,500100 4320000,500100 4320100,500000 4320100,500000 4320000))"


def _house(number: int, floor_area: float, year: int) -> dict[str, Any]:
    west = 500000 + 20 * number
    ring = f"{west} 4320010,{west + 10} 4320010,{west + 10} 4320020,{west} 4320020,{west} 4320010"
    return {
        "code": f"{P1}F{number:04d}0000",
        "parcel_code": P1,
        "status": "in_use",
        "gross_floor_area": floor_area,
        "households": 2,
        "year_built": year,
        "heritage": "none",
        "geom": f"POLYGON(({ring}))",
    }


EXAMPLE = Example(
    text=(
        "Three houses of 100, 200 and 500 m² of 1970, 1993 and 2020 have, by age alone, scores of 1, 0.514286 and 0. "
        "Repair costs 1,000 yuan/m² and removes half the need. 300,000 yuan repair just the first two: "
        "0.5 × 100 + 0.5 × 0.514286 × 200 = 101.4286 m²; to rebuild the first alone costs 400,000."
    ),
    objects={
        "parcel": [{"code": P1, "geom": LOT}],
        "building": [_house(1, 100.0, 1970), _house(2, 200.0, 1993), _house(3, 500.0, 2020)],
    },
    inputs={
        "scope": [P1],
        "reference_date": "2026-06-30",
        "criteria": ["age"],
        "actions": {
            "repair": {"cost": 1000, "effect": 0.5},
            "rebuild": {"cost": 4000, "effect": 1, "floor_ratio": 1.5, "rehoused": 1},
        },
        "budget": 300_000,
    },
    result={
        "status": "optimal",
        "benefit": {"value": 101.4286, "unit": "m2", "n": 3, "n_known": 3},
        "cost": {"value": 300_000, "unit": "CNY"},
        "actions": {"keep": 1, "repair": 2},
        "relax": [],
        "proposal": {
            "interventions": [
                {"target": f"{P1}F00010000", "action": "repair", "phase": 1, "params": {}},
                {"target": f"{P1}F00020000", "action": "repair", "phase": 1, "params": {}},
            ]
        },
    },
)


@dataclass(frozen=True, kw_only=True)
class OptimisePortfolio(Scenario):
    """One action for each building, chosen by a mixed-integer programme."""

    name: ClassVar[str] = "optimise-portfolio"
    version: ClassVar[str] = "1.3.0"
    title: ClassVar[str] = "Portfolio"
    title_zh: ClassVar[str] = "更新方案优化"
    description: ClassVar[str] = (
        "One action for each building so that the need removed (score of the ranking × floor area × effect of the "
        "action) is greatest within the budget, or that of each phase, and the rules on demolition (R1), "
        "new floor area for what is demolished (R2) and rehousing (R3). "
        "Heritage is never demolished; a building of danger grade D is acted on. Costs and effects are the planner's "
        "own table. What is chosen is added up again in whole numbers. Each limit says what one unit more would bring; "
        "if nothing keeps them all, the fewest that must give way are named. A building of unknown floor area is kept. "
        "Buildings are acted on as wholes: membership clip counts them by their point on surface."
    )
    description_zh: ClassVar[str] = (
        "在预算和拆除比例、拆建比、安置率约束下,为每栋建筑选择一种措施,使消除的更新需求(评分×建筑面积×效果)最大。"
        "文物不拆,D 级危房必须处置;单价与效果由规划师给定;结果以整数复核,给出各约束的余量与影子价格,"
        "无解时指出最少需放宽的约束。"
    )
    reads: ClassVar[tuple[str, ...]] = RankRenewalCandidates.reads
    queries: ClassVar[tuple[str, ...]] = ("rank_renewal_candidates", "building_stock")
    libraries: ClassVar[tuple[str, ...]] = ("scipy",)
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    actions: Mapping[str, Mapping[str, Any]] = parameter(
        {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"enum": list(ACTIONS)},
            "additionalProperties": _TERMS,
        },
        "措施",
        "What may be done besides keeping: cost, effect, and for rebuilding the floor ratio and who comes back.",
    )
    budget: int | Sequence[int] | None = parameter(
        {"oneOf": [_YUAN, {"type": "array", "items": _YUAN, "minItems": 1, "maxItems": 10}]},
        "预算",
        "What all may cost together, in yuan; or what each phase may cost, in their order: every action then takes "
        "place in one of them. What a phase leaves is not the next one's. Default: one phase without a limit.",
        default=None,
    )
    rules: Sequence[str] = parameter(
        {"type": "array", "items": {"type": "string", "enum": list(RULES)}, "uniqueItems": True},
        "规则",
        "Rules that the choice keeps, with the limits of the rule pack.",
        default=RULES,
    )
    criteria: Sequence[str] | None = criteria_input("Criteria of the score.")
    together: Sequence[Sequence[str]] = parameter(
        {"type": "array", "items": {"type": "array", "minItems": 2, "items": {"type": "string"}, "uniqueItems": True}},
        "同步更新",
        "Groups of buildings, by code, that get the same action in the same phase.",
        default=(),
    )
    gap: float = parameter(
        {"type": "number", "minimum": 0, "maximum": 1},
        "最优间隙",
        "How far below the bound the benefit may stay, as a share of it.",
        default=0.001,
    )
    nodes: int = parameter(
        {"type": "integer", "minimum": 1, "maximum": 100_000_000},
        "分支上限",
        "Branches that are tried at most: unlike a limit in seconds the same on every machine.",
        default=1_000_000,
    )

    def reach(self, pack: RulePack) -> Mapping[str, int]:
        """Return what the ranking reads beyond the scope."""
        return reach_of(pack)

    def compute(self, state: State) -> Outcome:
        """Score, set up the programme, choose, and add up again."""
        rows, scores = self._buildings(state)
        protected = state.pack.limit("R9")["never_demolished"]
        options = self._shared([option for row in rows for option in self._options(row, scores[row.code], protected)])
        limits = limits_of(state.pack, rows, options, self.rules, self._budgets())
        place = {row.code: number for number, row in enumerate(rows)}
        problem = Problem(
            [place[option.row.code] for option in options],
            [option.benefit for option in options],
            list(limits.values()),
            self._same(options, place),
        )
        chosen = choose(problem, self.gap, self.nodes)
        result = self._result(state.pack, problem, options, limits, chosen, scores)
        coverage = {
            "scope": state.described(),
            "building": {
                "members": len(rows),
                "unknown": {
                    "gross_floor_area": sum(row.gfa is None for row in rows),
                    "households": sum(row.households is None for row in rows),
                },
            },
        }
        picked = [] if chosen is None else [options[number] for number in chosen.options]
        return Outcome(result, coverage, lambda: opened_choice(state.pack, limits, picked, self.criteria))

    def _budgets(self) -> Sequence[int | None]:
        """Return the budget of each phase; None has no limit."""
        return list(self.budget) if isinstance(self.budget, Sequence) else [self.budget]

    def _buildings(self, state: State) -> tuple[list[sa.Row[Any]], dict[str, int]]:
        whole = "point_on_surface" if self.membership == "clip" else self.membership
        rows = [row for row in read_stock(state, whole).values() if row.counted]
        ranking = RankRenewalCandidates(scope=self.scope, membership=self.membership, criteria=self.criteria, draws=0)
        _, _, scored = ranking.scored(state, EVERYTHING, EVERYTHING)
        scores = {row.code: row.score for row in scored}
        return [row for row in rows if row.code in scores], scores

    def _options(self, row: sa.Row[Any], score: int, protected: Sequence[str]) -> list[Option]:
        """Return what may be done to a building; where its floor area is unknown, nothing can be costed."""
        found = [Option(row, KEEP, 0, 0, 0, 0, 0, 0, 0)]
        for action, terms in sorted(self.actions.items()) if row.gfa is not None else ():
            if action in DEMOLISHING and row.heritage in protected:
                continue
            tears = action in DEMOLISHING
            rehoused = exact(terms.get("rehoused", 0)) * (row.households or 0)
            found += [
                Option(
                    row,
                    action,
                    phase,
                    benefit=whole(exact(terms["effect"]) * score * row.gfa / MILLION),
                    cost=whole(exact(terms["cost"]) * FEN * row.gfa / SQUARE_CENTIMETRES),
                    demolished=row.gfa if tears else 0,
                    added=whole(exact(terms.get("floor_ratio", 1)) * row.gfa) if action == "rebuild" else 0,
                    # Nobody counted them: as many as there may be are displaced, and none is known to come back.
                    displaced=(row.households if row.households is not None else row.households_most) if tears else 0,
                    rehoused=floor(rehoused) if tears else 0,
                )
                for phase in range(1, len(self._budgets()) + 1)
            ]
        return found

    def _shared(self, options: Sequence[Option]) -> list[Option]:
        """Return the options without those of a group that not every building of it has."""
        of = {name: {o.row.code for o in options if o.action == name} for name in (KEEP, *self.actions)}
        barred = {
            (code, action)
            for group in self.together
            for action, codes in of.items()
            if not codes.issuperset(group)
            for code in group
        }
        return [option for option in options if (option.row.code, option.action) not in barred]

    def _same(self, options: Sequence[Option], place: Mapping[str, int]) -> list[tuple[int, int]]:
        """Return the pairs of options that a group chooses together."""
        at = {(option.row.code, option.action, option.phase): number for number, option in enumerate(options)}
        pairs = []
        for group in self.together:
            missing = sorted(set(group) - place.keys())
            if missing:
                raise InvalidData(f"together: no building {', '.join(missing[:10])} counts in the scope")
            first, *others = sorted(group)
            chances = [(action, phase) for code, action, phase in at if code == first]
            pairs += [(at[first, *chance], at[other, *chance]) for chance in chances for other in others]
        return pairs

    def _result(
        self,
        pack: RulePack,
        problem: Problem,
        options: Sequence[Option],
        limits: Mapping[str, Limit],
        chosen: Choice | None,
        scores: Mapping[str, int],
    ) -> dict[str, Any]:
        n = max(problem.of, default=-1) + 1
        known = sum(option.row.gfa is not None for option in options if option.action == KEEP)
        picked = [] if chosen is None else [options[number] for number in chosen.options]
        benefit, cost = sum(o.benefit for o in picked), sum(o.cost for o in picked)
        bound = None if chosen is None else max(benefit, round(chosen.bound))
        return {
            "status": "infeasible" if chosen is None else "optimal",
            "benefit": indicator.area(benefit, 0, n=n, n_known=known),
            "bound": None if bound is None else decimal(bound, SQUARE_CENTIMETRES, 4),
            "gap": None if bound is None else (decimal(bound - benefit, bound, 6) if bound else 0),
            "cost": yuan(cost, n, known),
            "rules": [] if chosen is None else [judged(pack, limits[name], chosen, options) for name in limits],
            "relax": to_relax(problem, list(limits)) if chosen is None else [],
            "actions": dict(sorted(Counter(option.action for option in picked).items())),
            "proposal": None
            if chosen is None
            else {"interventions": [intervention(o) for o in picked if o.action != KEEP]},
            "objects": [
                {
                    "code": o.row.code,
                    "leaf": o.row.leaf,
                    "action": o.action,
                    "phase": o.phase or None,
                    "score": decimal(scores[o.row.code], MILLION, 6),
                    "benefit": decimal(o.benefit, SQUARE_CENTIMETRES, 4),
                    "cost": decimal(o.cost, FEN, 2),
                }
                for o in picked
            ],
        }


SCENARIO = OptimisePortfolio
