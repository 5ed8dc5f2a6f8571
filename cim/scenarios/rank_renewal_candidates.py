"""Candidate ranking 更新对象优选: which buildings need renewal most, by fixed functions, and how sure that order is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar

import orjson
import sqlalchemy as sa

from cim.errors import InvalidData
from cim.scenarios import _indicator as indicator
from cim.scenarios._base import MOST_WHOLE, Example, Outcome, Scenario, parameter, table
from cim.scenarios._indicator import step
from cim.scenarios._order import DISTANCE, MILLION, Nearness, nearness, times_first
from cim.scenarios._rules import Rule, RulePack
from cim.scenarios._state import State
from cim.scenarios._stock import stock_parameters
from cim.scenarios._why import Opened, Sum, Term

CRITERIA = ("age", "structure", "danger", "lift", "gas", "energy", "vacancy", "slack", "service")
WEIGHTED_SUM, TOPSIS = METHODS = ("weighted_sum", "topsis")
EVERYTHING = 2**31
DECIMALS = 6
# The greatest value that a table by an integer goes to; beyond it the function keeps its last value.
LONGEST = {"age": 1300, "lift": 200, "vacancy": 1000, "slack": 1000, "service": 1000}

_NUMBER = {"type": ["number", "null"]}
OUTPUTS = table(
    {
        "method": {"enum": list(METHODS), "description": "topsis: another candidate may turn two scores round"},
        "candidates": {"type": "integer", "minimum": 0, "description": "Existing buildings that count in the scope"},
        "possible": {
            "type": ["integer", "null"],
            "minimum": 0,
            "description": "Of these, those that what is unknown of them could still bring among the first top_k; null "
            "with topsis",
        },
        "criteria": {
            "type": "array",
            "items": table(
                {
                    "criterion": {"enum": list(CRITERIA)},
                    "weight": {"type": "integer", "minimum": 0},
                    "text": {"type": "string"},
                    "text_zh": {"type": "string"},
                    "formula": {"type": "string"},
                    "confidence": {"type": "string"},
                }
            ),
        },
        "ranking": {
            "type": "array",
            "items": table(
                {
                    "rank": {"type": "integer", "minimum": 1},
                    "code": {"type": "string"},
                    "leaf": {"type": ["integer", "null"]},
                    "score": indicator.schema("1", "Score", "得分"),
                    "p_top_k": {**_NUMBER, "description": "Share of the draws of weights that leave it in the top_k"},
                    "contributions": {
                        "type": "array",
                        "description": "What each criterion adds to the score; null where unknown, and with topsis",
                        "items": table({"criterion": {"enum": list(CRITERIA)}, "u": _NUMBER, "contribution": _NUMBER}),
                    },
                    "flags": {"type": "array", "items": {"enum": ["heritage", "must_act"]}},
                    "cluster": {"type": ["string", "null"]},
                }
            ),
        },
        "clusters": {
            "type": "array",
            "items": table({"cluster": {"type": "string"}, "buildings": {"type": "integer", "minimum": 1}}),
        },
    }
)

P1 = "130629001001GB00001"


def _house(number: int, **values: Any) -> dict[str, Any]:
    x = 500_000 + 30 * number
    square = f"POLYGON(({x} 4320005,{x + 10} 4320005,{x + 10} 4320015,{x} 4320015,{x} 4320005))"
    return {"code": f"{P1}F{number:04d}0000", "status": "in_use", "usage": "residential", "geom": square, **values}


EXAMPLE = Example(
    text=(
        "By age (weight 20: nothing to 15 years, all from 50) and danger (30) alone: a house of 1976 graded C scores "
        "(20 · 1 + 30 · 0.7) / 50 = 0.82 in 2026, one of 1991 graded A (20 · 20/35) / 50 = 0.228571, and one of 1976 "
        "that nobody has graded 0.4, or up to 1."
    ),
    objects={
        "parcel": [
            {
                "code": P1,
                "geom": "POLYGON((500000 4320000,500200 4320000,500200 4320100,500000 4320100,500000 4320000))",
            }
        ],
        "building": [
            _house(1, year_built=1991, danger_grade="A"),
            _house(2, year_built=1976, danger_grade="C", heritage="none"),
            _house(3, year_built=1976),
        ],
    },
    inputs={"scope": [P1], "reference_date": "2026-06-30", "criteria": ["age", "danger"], "top_k": 2},
    result={
        "candidates": 3,
        "possible": 2,
        "ranking": [
            {
                "rank": 1,
                "code": f"{P1}F00020000",
                "score": {"value": 0.82, "unit": "1", "low": 0.82, "high": 0.82, "n": 2, "n_known": 2},
                "contributions": [
                    {"criterion": "age", "u": 1, "contribution": 0.4},
                    {"criterion": "danger", "u": 0.7, "contribution": 0.42},
                ],
            },
            {"rank": 2, "code": f"{P1}F00030000", "score": {"value": 0.4, "low": 0.4, "high": 1, "n_known": 1}},
        ],
        "clusters": [],
    },
)


def criteria_input(purpose: str) -> Any:
    """Declare the input `criteria`, for this scenario and those that ask for its ranking."""
    schema = {"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(CRITERIA)}, "uniqueItems": True}
    description = f"{purpose} Default: all that the rule pack has switched on."
    return parameter(schema, "评价指标", description, default=None)


@dataclass(frozen=True, kw_only=True)
class RankRenewalCandidates(Scenario):
    """Rank the buildings of a scope by a weighted mean of fixed functions of what is known of them."""

    name: ClassVar[str] = "rank-renewal-candidates"
    version: ClassVar[str] = "1.3.0"
    title: ClassVar[str] = "Ranking of renewal candidates"
    title_zh: ClassVar[str] = "更新对象优选"
    description: ClassVar[str] = (
        "The buildings most in need of renewal, by age, structure, danger grade, missing lift and gas, energy class, "
        "vacancy, services out of reach and the room the plan leaves: a weighted mean of functions fixed in the rule "
        "pack, so that no other candidate changes a score. Each with what every criterion contributes, the interval "
        "that the unknown leaves, and the share of random weights that keep it among the first: an order that small "
        "changes of weight overturn shows as such. Heritage, and buildings that must be acted on (grade D), are "
        "flagged. Neighbours are clustered."
    )
    description_zh: ClassVar[str] = (
        "按房龄、结构、危险等级、无电梯、无燃气、能效、空置率和容积率余量对更新对象排序。评分函数由规则包固定,不受其他对象影响;"
        "逐项给出贡献、未知造成的区间和权重扰动下保持前列的概率,标注文物与必须处置的危房,并聚类成片。"
    )
    reads: ClassVar[tuple[str, ...]] = ("building", "facility", "parcel", "planning_zone", "unit")
    queries: ClassVar[tuple[str, ...]] = ("rank_renewal_candidates", "candidate_clusters")
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    criteria: Sequence[str] | None = criteria_input("Criteria to rank by.")
    method: str = parameter(
        {"type": "string", "enum": list(METHODS)},
        "方法",
        "weighted_sum: the weighted mean of the functions, in which no other candidate counts. topsis: nearness to the "
        "best of every criterion, after Hwang and Yoon; it depends on who else is ranked, so it has neither interval "
        "nor share of draws, and the unknown counts as nothing.",
        default=WEIGHTED_SUM,
    )
    weights: Mapping[str, int] | None = parameter(
        {
            "type": "object",
            "propertyNames": {"enum": list(CRITERIA)},
            "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 1000},
        },
        "权重",
        "Weights by criterion, in place of the rule pack's.",
        default=None,
    )
    top_k: int = parameter(
        {"type": "integer", "minimum": 1, "maximum": 10_000}, "数量", "How many to return.", default=20
    )
    draws: int = parameter(
        {"type": "integer", "minimum": 0, "maximum": 10_000}, "抽样次数", "Draws of the weights.", default=1000
    )
    seed: int = parameter(
        {"type": "integer", "minimum": 0, "maximum": MOST_WHOLE}, "随机种子", "Seed of the draws.", default=0
    )

    def compute(self, state: State) -> Outcome:
        """Score in the database, draw weights over the best of it, and find who stands together."""
        options = state.pack.limit("ranking")
        by_nearness = self.method == TOPSIS
        pool = EVERYTHING if by_nearness else self.top_k * options["pool_factor"]
        rules, weights, rows = self.scored(state, self.top_k, pool)
        near = nearness(rows, weights) if by_nearness else {}
        if by_nearness:
            rows = sorted(rows, key=lambda row: (-near[row.code].score, row.code))
        best = rows[: self.top_k]
        shares: Sequence[float | int | None] = [None] * len(best)
        if self.draws and not by_nearness:
            hits = times_first(rows, weights, self.top_k, self.draws, self.seed, options["concentration"])
            shares = [indicator.decimal(count, self.draws, DECIMALS) for count in hits]
        clusters = {
            row.code: row.cluster
            for row in state.rows(
                "candidate_clusters",
                codes=[row.code for row in best],
                metres=options["metres"],
                buildings=options["buildings"],
            )
        }
        protected = state.pack.limit("R9")["never_demolished"]
        result = {
            "method": self.method,
            "candidates": rows[0].candidates if rows else 0,
            "possible": None if by_nearness else rows[0].possible if rows else 0,
            "criteria": [
                {"criterion": name, "weight": weights[name]}
                | {key: getattr(rule, key) for key in ("text", "text_zh", "formula", "confidence")}
                for name, rule in rules.items()
            ],
            "ranking": [
                {
                    "rank": rank,
                    "code": row.code,
                    "leaf": row.leaf,
                    "score": _score(row, rules, near.get(row.code)),
                    "p_top_k": shares[rank - 1],
                    "contributions": _contributions(row, weights, additive=not by_nearness),
                    "flags": _flags(row, protected),
                    "cluster": clusters.get(row.code),
                }
                for rank, row in enumerate(best, 1)
            ],
            "clusters": [
                {"cluster": name, "buildings": list(clusters.values()).count(name)}
                for name in sorted(set(clusters.values()))
            ],
        }
        unknown = {name: sum(getattr(row, name) is None for row in best) for name in rules}
        coverage = {"scope": state.described(), "unknown": unknown}
        return Outcome(result, coverage, lambda: (_opened(row, rules, weights, near.get(row.code)) for row in best))

    def reach(self, pack: RulePack) -> Mapping[str, int]:
        """Return how far a service may be from a building that it serves."""
        return reach_of(pack)

    def scored(
        self, state: State, top_k: int, pool: int
    ) -> tuple[dict[str, Rule], dict[str, int], Sequence[sa.Row[Any]]]:
        """Return the rules and weights of the criteria, and the `pool` best buildings, by score and code."""
        rules = self._rules(state.pack)
        weights = {name: (self.weights or {}).get(name, rule.limit["weight"]) for name, rule in rules.items()}
        if sum(weights.values()) == 0:
            raise InvalidData(f"{self.name}: the weights add up to nothing; give one of them a weight")
        rows = state.rows(
            "rank_renewal_candidates",
            **stock_parameters(state.pack),
            **_tables(state.pack, weights),
            membership=self.membership,
            reference_year=state.reference_date.year,
            zone_kinds=state.pack.limit("zone_of_parcel")["zone_kind"],
            service_ring=reach_of(state.pack).get("facility", 0),
            aside=[] if state.made is None else state.made.parcels,
            top_k=top_k,
            pool=pool,
        )
        return rules, weights, rows

    def _rules(self, pack: RulePack) -> dict[str, Rule]:
        """Return the rules of the criteria to rank by, in the order of CRITERIA."""
        known = {name: pack.rules[f"criterion_{name}"] for name in CRITERIA if f"criterion_{name}" in pack.rules}
        chosen = self.criteria or [name for name, rule in known.items() if rule.enabled]
        off = [name for name in chosen if name not in known or not known[name].enabled]
        if off or not chosen:
            raise InvalidData(
                f"rule pack {pack.name} has no criterion {', '.join(off) or 'at all'} that is switched on"
            )
        return {name: known[name] for name in CRITERIA if name in chosen}


def _tables(pack: RulePack, weights: Mapping[str, int]) -> dict[str, Any]:
    """Return the query parameters: a table of millionths and a weight for each criterion, 0 for those left out."""
    limits = {name: pack.rules[f"criterion_{name}"].limit if name in weights else {} for name in CRITERIA}
    by_integer = {
        name: _curve(tuple(map(tuple, limits[name].get("points", [[0, 0]]))), longest)
        for name, longest in LONGEST.items()
    }
    by_word = {
        name: orjson.dumps(
            {word: _millionths(Fraction(str(u))) for word, u in limits[name].get("values", {}).items()}
        ).decode()
        for name in ("structure", "danger", "energy")
    }
    homes = {usage for name in ("lift", "gas", "service") for usage in limits[name].get("usage", ())}
    return {
        **by_integer,
        **by_word,
        **{f"weigh_{name}": weights.get(name, 0) for name in CRITERIA},
        "weights": sum(weights.values()),
        "homes": sorted(homes),
        "lift_storeys": limits["lift"].get("storeys", 0),
        "service_kinds": limits["service"].get("kinds", []),
    }


@lru_cache(maxsize=64)
def _curve(points: tuple[tuple[Any, ...], ...], longest: int) -> str:
    """Return a piecewise linear function at 0 to `longest`, in millionths; it keeps its ends beyond the points.

    As the text of an array: to write one out costs as much as to rank a district.
    """
    curve = [(Fraction(str(at)), Fraction(str(u))) for at, u in points]
    return f"{{{','.join(str(_on_curve(x, curve)) for x in range(longest + 1))}}}"


def _on_curve(x: int, curve: Sequence[tuple[Fraction, Fraction]]) -> int:
    if x <= curve[0][0]:
        return _millionths(curve[0][1])
    for (left, low), (right, high) in pairwise(curve):
        if x <= right:
            return _millionths(low + (high - low) * (x - left) / (right - left))
    return _millionths(curve[-1][1])


def _millionths(u: Fraction) -> int:
    if not 0 <= u <= 1:
        raise InvalidData(f"a criterion's value lies between 0 and 1, got {float(u)}; mend the rule pack")
    return indicator.half_even(u.numerator * MILLION, u.denominator)


def reach_of(pack: RulePack) -> Mapping[str, int]:
    """Return how far a service may be from a building that it serves, in metres; nothing where none is asked for."""
    rule = pack.rules.get("criterion_service")
    return {"facility": int(rule.limit["ring_m"])} if rule is not None and rule.enabled else {}


def _score(row: sa.Row[Any], rules: Mapping[str, Rule], near: Nearness | None) -> dict[str, Any]:
    known = sum(getattr(row, name) is not None for name in rules)
    if near is not None:
        value = indicator.decimal(near.score, MILLION, DECIMALS)
        return {"value": value, "unit": "1", "n": len(rules), "n_known": known, "low": None, "high": None}
    low, high = (indicator.decimal(score, MILLION, DECIMALS) for score in (row.score, row.score_most))
    return {"value": low, "unit": "1", "n": len(rules), "n_known": known, "low": low, "high": high}


def _contributions(row: sa.Row[Any], weights: Mapping[str, int], *, additive: bool) -> list[dict[str, Any]]:
    total = sum(weights.values()) * MILLION
    found = []
    for name, weight in weights.items():
        u = getattr(row, name)
        of: dict[str, Any] = {"u": None, "contribution": None}
        if u is not None:
            of = {
                "u": indicator.decimal(u, MILLION, DECIMALS),
                "contribution": indicator.decimal(u * weight, total, DECIMALS) if additive else None,
            }
        found.append({"criterion": name, **of})
    return found


def _opened(row: sa.Row[Any], rules: Mapping[str, Rule], weights: Mapping[str, int], near: Nearness | None) -> Opened:
    """Return the score of a building opened into its criteria: weight × u of each, over the sum of the weights.

    With TOPSIS it opens into its distances from the worst and from the best.
    """
    at = f"{step('/ranking', row.code)}/score"
    if near is not None:
        worst, best = (
            Term("distance", name, row.leaf, amount)
            for name, amount in (("from the worst", near.worst), ("from the best", near.best))
        )
        num, den = Sum("distance", "1", (worst,), DISTANCE), Sum("distances", "1", (worst, best), DISTANCE)
        return Opened(at, "distance from the worst ÷ both distances", list(rules.values()), num, den)
    terms = []
    for name, weight in weights.items():
        u = getattr(row, name)
        terms.append(Term("criterion", name, row.leaf, None if u is None else u * weight, weight * MILLION))
    weighed = Sum("weights", "1", tuple(Term("criterion", name, None, weight) for name, weight in weights.items()))
    num = Sum("weight × u", "1", tuple(terms), MILLION)
    return Opened(at, "Σ weight × u ÷ Σ weight, half to even in millionths", list(rules.values()), num, weighed)


def _flags(row: sa.Row[Any], protected: Sequence[str]) -> list[str]:
    flags = {"heritage": row.heritage in protected, "must_act": row.danger_grade == "D"}
    return [name for name, raised in flags.items() if raised]


SCENARIO = RankRenewalCandidates
