"""Value of information 信息价值: which buildings to survey so that a rule, or the first of a ranking, is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cim.scenarios._base import MOST_WHOLE, Example, Outcome, Scenario, parameter, table
from cim.scenarios._constraints import NOT_ASSESSED, STATUSES, Case, Check, Checker, exact
from cim.scenarios._indicator import DECIMALS, decimal, step
from cim.scenarios._rules import Rule, RulePack
from cim.scenarios._state import State
from cim.scenarios._survey import COLUMNS, Lacking, Question, lacking, opened_against, swings, told
from cim.scenarios._why import Opened, Sum, Term, scaled, shown
from cim.scenarios.check_constraints import RULES as ALL_RULES
from cim.scenarios.check_constraints import CheckConstraints, case_of
from cim.scenarios.check_constraints import reach_of as reach_of_rules
from cim.scenarios.rank_renewal_candidates import EVERYTHING, RankRenewalCandidates, criteria_input, reach_of

# Rules in which what is unknown of a building bounds something else of it: checked again with it known.
CHECKED_AGAIN = ("R1", "R2", "R3")
# Rules on many objects, or linear in what is unknown, and whether their limit is a greatest value. No survey tells what
# rents are (R4) or how owners vote (R15).
AT_MOST = MappingProxyType(
    {"R5": True, "R6": True, "R7": True, "R8": False, "R9": True, "R12": False, "R13": False, "R14": False}
)
OF_THE_WHOLE = ("R12", "R13")  # of these, that measure one number
RULES: Mapping[str, Checker] = MappingProxyType({rule: ALL_RULES[rule] for rule in (*CHECKED_AGAIN, *AT_MOST)})
MILLION = 1_000_000

_SURVEY = table(
    {
        "type": {"type": "string"},
        "code": {"type": "string"},
        "leaf": {"type": ["integer", "null"]},
        "property": {"type": "string", "description": "What to find out; several, with commas"},
        "least": {"type": "number"},
        "most": {"type": "number"},
        "swing": {"type": "number", "description": "How much of the open interval it takes away, 0 to 1"},
    }
)
_DECIDED = {
    "chance": {
        "type": ["number", "null"],
        "description": "Share of draws in which the survey decides it; null where it is decided already",
    },
    "survey": {
        "title": "To survey",
        "x-cim-title-zh": "待核查对象",
        "type": "array",
        "description": "The fewest of the order that decide it in the share of draws demanded, most telling first",
        "items": _SURVEY,
    },
}
OUTPUTS = table(
    {
        "rules": {
            "title": "Rules",
            "x-cim-title-zh": "规则",
            "type": "array",
            "items": table(
                {
                    "rule": {"type": "string"},
                    "status": {"enum": list(STATUSES)},
                    "value": {"type": ["object", "null"]},
                    "limit": {"type": ["number", "null"]},
                    "margin": {"type": ["number", "null"]},
                    "unknowns": {"type": "integer", "minimum": 0, "description": "Properties that nobody recorded"},
                    **_DECIDED,
                }
            ),
        },
        "top_k": {
            **table(
                {
                    "k": {"type": "integer", "minimum": 1},
                    "sure": {"type": "integer", "minimum": 0, "description": "Buildings surely among the first"},
                    "undecided": {"type": "integer", "minimum": 0, "description": "May be among the first, or not"},
                    **_DECIDED,
                }
            ),
            "type": ["object", "null"],
        },
    }
)

P1 = "130629001001GB00001"
LOT = "POLYGON((500000 4320000,500100 4320000,500100 4320100,500000 4320100,500000 4320000))"


def _house(number: int, **values: Any) -> dict[str, Any]:
    west = 500000 + 20 * number
    ring = f"{west} 4320010,{west + 10} 4320010,{west + 10} 4320020,{west} 4320020,{west} 4320010"
    return {
        "code": f"{P1}F{number:04d}0000",
        "parcel_code": P1,
        "status": "in_use",
        "households": 2,
        "geom": f"POLYGON(({ring}))",
        **values,
    }


EXAMPLE = Example(
    text=(
        "Of 800 and 220 m² of floor area the 220 are demolished. A third house of 100 m² footprint and 4 storeys has "
        "between 0 and 400 m²: the share demolished is 21.6 % at most and 15.5 % at least, the limit 20 %. To survey "
        "that one house decides it, whatever is found."
    ),
    objects={
        "parcel": [{"code": P1, "geom": LOT}],
        "building": [
            _house(1, gross_floor_area=800.0, storeys_above=8),
            _house(2, gross_floor_area=220.0, storeys_above=3),
            _house(3, storeys_above=4),
        ],
    },
    inputs={
        "scope": [P1],
        "reference_date": "2026-06-30",
        "rules": ["R1"],
        "proposal": {"interventions": [{"target": f"{P1}F00020000", "action": "demolish"}]},
    },
    result={
        "rules": [
            {
                "rule": "R1",
                "status": "not_assessed",
                "value": {"value": 21.568627, "unit": "%", "low": 15.492958, "high": 21.568627},
                "unknowns": 1,
                "chance": 1,
                "survey": [
                    {
                        "type": "building",
                        "code": f"{P1}F00030000",
                        "property": "gross_floor_area",
                        "least": 0,
                        "most": 400.0,
                        "swing": 1,
                    }
                ],
            }
        ],
        "top_k": None,
    },
)


@dataclass(frozen=True, kw_only=True)
class ValueOfInformation(Scenario):
    """What to find out first."""

    name: ClassVar[str] = "value-of-information"
    version: ClassVar[str] = "1.3.0"
    title: ClassVar[str] = "Value of information"
    title_zh: ClassVar[str] = "信息价值"
    description: ClassVar[str] = (
        "What to survey so that a rule that cannot be judged is decided (demolition R1, 拆建比 R2, rehousing R3, caps "
        "of planning zones R5-R8, heritage R9, parking R12, facilities R13, access R14), or who is among the first of "
        "the ranking. Unknowns are put in order of how much of the open interval each takes away; then all are drawn "
        "from their bounds, each value as likely as any other, and the fewest of that order are named that decide it "
        "in the share of draws demanded. What a survey really finds may be otherwise."
    )
    description_zh: ClassVar[str] = (
        "指出为判定某条规则(拆除比例、拆建比、安置率、规划控制指标、历史保护、停车、设施、道路)或确定优选名单,"
        "最应先核查哪些对象的哪些属性:按对未定区间的影响排序,在取值范围内随机抽样,给出以要求的概率能作出判定的最少对象。"
    )
    reads: ClassVar[tuple[str, ...]] = tuple(sorted({*RankRenewalCandidates.reads, *CheckConstraints.reads}))
    queries: ClassVar[tuple[str, ...]] = ("rank_renewal_candidates", *CheckConstraints.queries)
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    rules: Sequence[str] = parameter(
        {"type": "array", "items": {"type": "string", "enum": list(RULES)}, "uniqueItems": True},
        "规则",
        "Rules to decide.",
        default=tuple(RULES),
    )
    top_k: int | None = parameter(
        {"type": "integer", "minimum": 1, "maximum": 10_000},
        "优选数量",
        "How many of the ranking are to be known. Default: the ranking is not asked about.",
        default=None,
    )
    criteria: Sequence[str] | None = criteria_input("Criteria of the ranking.")
    confidence: float = parameter(
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "判定概率",
        "Share of draws in which the survey must decide.",
        default=0.95,
    )
    draws: int = parameter(
        {"type": "integer", "minimum": 1, "maximum": 10_000}, "抽样次数", "Draws of what is unknown.", default=100
    )
    seed: int = parameter(
        {"type": "integer", "minimum": 0, "maximum": MOST_WHOLE}, "随机种子", "Seed of the draws.", default=0
    )

    def reach(self, pack: RulePack) -> Mapping[str, int]:
        """Return what the ranking and the rules read beyond the scope."""
        return {**reach_of_rules(pack), **reach_of(pack)}

    def compute(self, state: State) -> Outcome:
        """Ask each rule, and the ranking, what would decide it."""
        case = case_of(state, self.membership, {})
        rules = [self._rule(case, rule_id) for rule_id in RULES if rule_id in self.rules]
        top = None if self.top_k is None else self._top(state, self.top_k)
        coverage = {
            "scope": state.described(),
            "building": {
                "members": len(case.before),
                "unknown": {
                    prop: sum(getattr(row, column) is None for row in case.before.values())
                    for column, prop in COLUMNS.values()
                },
            },
        }
        return Outcome({"rules": rules, "top_k": top}, coverage, lambda: self._why(case))

    def _why(self, case: Case) -> Iterator[Opened]:
        """Open what each rule measures."""
        for rule_id in self.rules:
            rule = case.state.pack.rules.get(rule_id)
            if rule is not None and rule.enabled:
                checked = RULES[rule_id](rule, replace(case, explain=True))
                yield from (one.beneath(step("/rules", rule_id)) for one in checked.why)

    def _rule(self, case: Case, rule_id: str) -> dict[str, Any]:
        rule = case.state.pack.rules.get(rule_id)
        if rule is None or not rule.enabled:
            check = Check(NOT_ASSESSED, reason="no such rule is switched on")
            return _entry(rule_id, check, [], [], None)
        if rule_id in AT_MOST:
            return self._by_forms(case, rule_id, rule)
        check = RULES[rule_id](rule, case)
        unknowns = lacking(case, check)
        if check.status != NOT_ASSESSED or not unknowns:
            return _entry(rule_id, check, unknowns, [], None)

        def width(known: Mapping[Lacking, int]) -> float:
            value = RULES[rule_id](rule, told(case, known)).value
            if value is None or value["low"] is None or value["high"] is None:
                return float("inf")
            return float(value["high"] - value["low"])

        narrowed = swings(unknowns, width)
        ordered = sorted(unknowns, key=lambda one: (-narrowed[one], one.code, one.column))

        def decides(count: int, drawn: npt.NDArray[np.int64]) -> bool:
            known = {one: int(drawn[place]) for place, one in enumerate(ordered[:count])}
            return RULES[rule_id](rule, told(case, known)).status != NOT_ASSESSED

        count, chance = self._fewest([one.least for one in ordered], [one.most for one in ordered], decides)
        survey = [
            {
                "type": "building",
                "code": one.code,
                "leaf": one.leaf,
                "property": one.property,
                "least": shown(one.least, one.unit),
                "most": shown(one.most, one.unit),
                "swing": round(narrowed[one], DECIMALS),
            }
            for one in ordered[: count if chance else 0]
        ]
        return _entry(rule_id, check, unknowns, survey, chance)

    def _by_forms(self, case: Case, rule_id: str, rule: Rule) -> dict[str, Any]:
        """Return what to survey for a rule whose numbers are linear in what is unknown."""
        check = RULES[rule_id](rule, replace(case, explain=True))
        question = _question(check, rule, at_most=AT_MOST[rule_id])
        if check.status != NOT_ASSESSED or not question.unknowns:
            return _entry(rule_id, check, question.unknowns, [], None)
        ends = [one.least for one in question.unknowns], [one.most for one in question.unknowns]
        count, chance = self._fewest(*ends, question.decides)
        survey = [
            {
                "type": one.type,
                "code": one.code,
                "leaf": one.leaf,
                "property": one.property,
                "least": scaled(one.least, one.scale),
                "most": scaled(one.most, one.scale),
                "swing": round(question.swings[one], DECIMALS),
            }
            for one in question.unknowns[: count if chance else 0]
        ]
        return _entry(rule_id, check, question.unknowns, survey, chance)

    def _fewest(
        self, least: Sequence[int], most: Sequence[int], decides: Callable[[int, npt.NDArray[np.int64]], bool]
    ) -> tuple[int, float | int]:
        """Return how many of an order to survey, and the share of draws that they decide.

        To know more never leaves more open, so in each draw the fewest are found by halving.
        """
        generator = np.random.Generator(np.random.PCG64(self.seed))
        ends = np.array(least, dtype=np.int64), np.array(most, dtype=np.int64) + 1
        drawn = generator.integers(*ends, size=(self.draws, len(most)))
        needed = []
        for draw in drawn:
            low, high = 0, len(most) + 1  # one more than all: not even they decide it
            while low < high:
                middle = (low + high) // 2
                if middle > len(most) or decides(middle, draw):
                    high = middle
                else:
                    low = middle + 1
            needed.append(low)
        wanted = sorted(needed)[ceil(self.confidence * self.draws) - 1]
        count = min(wanted, len(most))
        return count, decimal(sum(each <= count for each in needed), self.draws, DECIMALS)

    def _top(self, state: State, k: int) -> dict[str, Any]:
        """Return what to survey so that the first k of the ranking are known; the proposal's city is ranked."""
        ranking = RankRenewalCandidates(scope=self.scope, membership=self.membership, criteria=self.criteria)
        rules, _, rows = ranking.scored(state, k, EVERYTHING)
        rows = sorted(rows, key=lambda row: str(row.code))
        low = np.array([row.score for row in rows], dtype=np.int64)
        high = np.array([row.score_most for row in rows], dtype=np.int64)
        sure, possible = _membership(low, high, k)
        undecided = np.flatnonzero(possible & ~sure)
        # Where the last of the first k may lie; what an interval has outside that band is nobody's concern.
        band = _kth(low, k), _kth(high, k)
        overlap = np.minimum(high, band[1]) - np.maximum(low, band[0])
        open_ = [int(i) for i in undecided if high[i] > low[i]]
        ordered = sorted(open_, key=lambda i: (-int(overlap[i]), i))

        def decides(count: int, drawn: npt.NDArray[np.int64]) -> bool:
            known_low, known_high = low.copy(), high.copy()
            chosen = ordered[:count]
            known_low[chosen] = known_high[chosen] = drawn[:count]
            sure, possible = _membership(known_low, known_high, k)
            return bool((sure == possible).all())

        count, chance = 0, None
        if len(undecided):
            count, chance = self._fewest([int(low[i]) for i in ordered], [int(high[i]) for i in ordered], decides)
        widest = max(int(band[1] - band[0]), 1)
        survey = [
            {
                "type": "building",
                "code": rows[i].code,
                "leaf": rows[i].leaf,
                "property": ",".join(name for name in rules if getattr(rows[i], name) is None),
                "least": decimal(int(low[i]), MILLION, DECIMALS),
                "most": decimal(int(high[i]), MILLION, DECIMALS),
                "swing": decimal(int(overlap[i]), widest, DECIMALS),
            }
            for i in ordered[:count]
        ]
        return {
            "k": k,
            "sure": int(sure.sum()),
            "undecided": len(undecided),
            "chance": chance,
            "survey": survey,
        }


def _question(check: Check, rule: Rule, *, at_most: bool) -> Question:
    """Return what of a check is open: each number that cannot be judged, against its limit."""
    opened = {one.at: one for one in check.why}
    found, hopeless = [], False
    lines = [line for line in check.offenders if line["status"] == NOT_ASSESSED]
    for line in lines:
        one, limit = opened.get(f"{step('/offenders', line['code'])}/value"), line.get("limit")
        if "intervention" in line:  # a building of which nobody has said whether it is protected
            term = Term(line["type"], line["code"], line["leaf"], None, 1, of="heritage")
            found.append(opened_against(Opened("", "", [], Sum("offences", "1", (term,))), Fraction(0), at_most=True))
        elif one is None or limit is None:
            hopeless = True
        else:
            found.append(opened_against(one, exact(limit), at_most=at_most))
    if rule.id in OF_THE_WHOLE:
        found.append(opened_against(opened["/value"], exact(rule.limit["min"]), at_most=at_most))
    return Question(found, hopeless=hopeless)


def _entry(
    rule_id: str, check: Check, unknowns: Sequence[Any], survey: list[dict[str, Any]], chance: float | int | None
) -> dict[str, Any]:
    return {
        "rule": rule_id,
        "status": check.status,
        "value": check.value,
        "limit": check.limit,
        "margin": check.margin,
        "unknowns": len(unknowns),
        "chance": chance,
        "survey": survey,
    }


def _membership(
    low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], k: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return who is surely, and who is possibly, among the first k; ties go by place."""
    count = len(low)
    earlier = count - 1 - np.arange(count)
    worst, best = low * count + earlier, high * count + earlier
    surely_above = count - np.searchsorted(np.sort(worst), best, side="right")
    perhaps_above = count - np.searchsorted(np.sort(best), worst, side="right") - (best > worst)  # but itself
    return perhaps_above < k, surely_above < k


def _kth(values: npt.NDArray[np.int64], k: int) -> int:
    """Return the k-th greatest, or the least where there are fewer."""
    return int(np.sort(values)[-min(k, len(values))]) if len(values) else 0


SCENARIO = ValueOfInformation
