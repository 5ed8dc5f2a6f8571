"""Displacement 居民搬迁与安置: how many households have to move, for how long, and how many come back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import sqlalchemy as sa

from cim.scenarios import _constraints as constraints
from cim.scenarios import _indicator as indicator
from cim.scenarios._base import Example, Outcome, Scenario, parameter, table
from cim.scenarios._constraints import NOT_ASSESSED, STATUSES, Case, Check
from cim.scenarios._indicator import Indicator
from cim.scenarios._proposal import Intervention
from cim.scenarios._state import State
from cim.scenarios._stock import rules_of
from cim.scenarios._why import Opened, Sum, Term
from cim.scenarios.check_constraints import FACTS, case_of, outside

KINDS = ("permanent", "temporary", "open")
TENURES = ("owner", "tenant", "unknown")
HOUSEHOLDS = "{household}"


def _cell(title: str, title_zh: str) -> dict[str, Any]:
    """Return the schema of a number of households, which may be withheld."""
    cell = indicator.schema(HOUSEHOLDS, title, title_zh)
    suppressed = {"const": True, "description": "Too few to be told"}
    return {**cell, "properties": {**cell["properties"], "suppressed": suppressed}}


def _outcome(title: str, title_zh: str) -> dict[str, Any]:
    """Return the schema of a rule's outcome."""
    return table(
        {
            "status": {"enum": list(STATUSES)},
            "value": {"type": ["object", "null"], "title": title, "x-cim-title-zh": title_zh},
            "limit": {"type": ["number", "null"]},
            "margin": {"type": ["number", "null"]},
            "reason": {"type": ["string", "null"]},
        },
        title=title,
        **{"x-cim-title-zh": title_zh},
    )


DISPLACED, REHOUSED = _cell("Displaced", "搬迁户数"), _cell("Rehoused", "安置户数")
OUTPUTS = table(
    {
        "households": table(
            {
                "displaced": DISPLACED,
                "permanent": _cell("For good", "永久搬迁"),
                "temporary": _cell("For a time", "临时搬迁"),
                "open": {**_cell("Open", "待定"), "description": "Whether they have to move depends on the works"},
                "rehoused": {**REHOUSED, "description": "On the site or nearby"},
            },
            title="Households",
            **{"x-cim-title-zh": "户数"},
        ),
        "by_phase": {
            "type": "array",
            "items": table({"phase": {"type": "integer"}, "displaced": DISPLACED, "rehoused": REHOUSED}),
        },
        "by_tenure": {
            "type": "array",
            "description": "Households of the buildings whose households have to move, by the tenure of their units",
            "items": table({"class": {"enum": list(TENURES)}, "households": _cell("Households", "户数")}),
        },
        "rehousing": {**_outcome("Rehoused on the site or nearby", "就地就近安置率"), "description": "Rule R3"},
        "consent": {**_outcome("Owners' consent", "业主表决"), "description": "Rule R15"},
        "suppressed_below": {"type": "integer", "minimum": 0},
    }
)

P1 = "130629001001GB00001"
LOT = "POLYGON((500000 4320000,500100 4320000,500100 4320100,500000 4320100,500000 4320000))"


def _house(number: int, households: int) -> dict[str, Any]:
    x = 500_000 + 30 * number - 20
    return {
        "code": f"{P1}F{number:04d}0000",
        "parcel_code": P1,
        "status": "in_use",
        "gross_floor_area": 1000.0,
        "dwellings": households,
        "households": households,
        "geom": f"POLYGON(({x} 4320005,{x + 10} 4320005,{x + 10} 4320015,{x} 4320015,{x} 4320005))",
    }


EXAMPLE = Example(
    text=(
        "A house with 60 households is demolished, and 20 of them are rehoused nearby; one with 40 is rebuilt in the "
        "second phase, and all come back: 100 have to move, 60 for good, and 60 of 100 are rehoused, 60 %."
    ),
    objects={"parcel": [{"code": P1, "geom": LOT}], "building": [_house(1, 60), _house(2, 40), _house(3, 25)]},
    inputs={
        "scope": [P1],
        "reference_date": "2026-06-30",
        "proposal": {
            "interventions": [
                {"target": f"{P1}F00010000", "action": "demolish", "params": {"rehoused_households": 20}},
                {
                    "target": f"{P1}F00020000",
                    "action": "rebuild",
                    "phase": 2,
                    "params": {"gross_floor_area": 1500.0, "rehoused_households": 40},
                },
            ]
        },
    },
    result={
        "households": {
            "displaced": {"value": 100, "unit": HOUSEHOLDS},
            "permanent": {"value": 60},
            "temporary": {"value": 40},
            "open": {"value": 0},
            "rehoused": {"value": 60},
        },
        "by_phase": [
            {"phase": 1, "displaced": {"value": 60}, "rehoused": {"value": 20}},
            {"phase": 2, "displaced": {"value": 40}, "rehoused": {"value": 40}},
        ],
        "rehousing": {"status": "pass", "value": {"value": 60.0, "unit": "%"}, "limit": 50, "margin": 10},
        "consent": {"status": "not_assessed"},
    },
)


@dataclass(frozen=True, kw_only=True)
class Displacement(Scenario):
    """Count the households that a proposal moves, by phase and tenure."""

    name: ClassVar[str] = "displacement"
    version: ClassVar[str] = "1.2.0"
    title: ClassVar[str] = "Displacement and rehousing"
    title_zh: ClassVar[str] = "居民搬迁与安置"
    description: ClassVar[str] = (
        "How many households a proposal moves, for good or for a time, how many are rehoused on the site or nearby, by "
        "phase and by tenure, with the rules on rehousing (R3) and on owners' consent (R15). A building without a "
        "number of households leaves an interval. Counts below `k` are withheld in every table, so that nobody can be "
        "found out."
    )
    description_zh: ClassVar[str] = (
        "方案涉及的永久搬迁、临时搬迁和就地就近安置户数,按分期和权属(自有、租赁)统计,并检查安置率(R3)与业主表决(R15)。"
        "少于 k 户的数字不予公布。"
    )
    reads: ClassVar[tuple[str, ...]] = ("building", "parcel", "unit")
    queries: ClassVar[tuple[str, ...]] = ("displacement", "building_stock")
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    facts: Mapping[str, Any] | None = parameter(
        FACTS, "补充事实", "What no city data holds: the owners' vote.", default=None
    )
    k: int | None = parameter(
        {"type": "integer", "minimum": 0, "maximum": 1000},
        "最小公布户数",
        "Counts of households below it are withheld. Default: the rule pack's.",
        default=None,
    )

    def compute(self, state: State) -> Outcome:
        """Take what is known of the households of each building acted on, then count and withhold."""
        case = case_of(state, self.membership, self.facts or {})
        k = state.pack.limit("suppression") if self.k is None else self.k
        groups = _cells(case)
        told = {way: cell for sums in groups for way, cell in withheld(sums, k).items()}
        phases = sorted({int(way.split("/")[2]) for way in told if way.startswith("/by_phase/")})
        result = {
            "households": {name: told[f"/households/{name}"] for name in ("displaced", *KINDS, "rehoused")},
            "by_phase": [
                {"phase": phase} | {name: told[f"/by_phase/{phase}/{name}"] for name in ("displaced", "rehoused")}
                for phase in phases
            ],
            "by_tenure": [{"class": name, "households": told[f"/by_tenure/{name}/households"]} for name in TENURES],
            "rehousing": _shown(_rule(case, "R3"), k),
            "consent": _shown(_rule(case, "R15"), 0),
            "suppressed_below": k,
        }
        coverage = {"scope": state.described(), **outside(case)}
        return Outcome(result, coverage, lambda: _why(case, groups, told, k))


def _cells(case: Case) -> list[dict[str, Sum]]:
    """Return what every cell counts, by where it stands; one mapping for those that add up to a total."""
    kinds = case.state.pack.limit("displacement")
    moves = [(kind, row, one) for kind in KINDS for row, one in case.acted(kinds[kind]) if row.counted]
    every = [(row, one) for _, row, one in moves]
    of = {phase: [(row, one) for row, one in every if one.phase == phase] for phase in {one.phase for _, one in every}}
    return [
        {"/households/displaced": _displaced(every)},
        {f"/households/{kind}": _displaced((row, one) for of, row, one in moves if of == kind) for kind in KINDS},
        {"/households/rehoused": _rehoused(every)},
        {f"/by_phase/{phase}/displaced": _displaced(ones) for phase, ones in of.items()},
        {f"/by_phase/{phase}/rehoused": _rehoused(ones) for phase, ones in of.items()},
        {
            f"/by_tenure/{name}/households": cell
            for name, cell in _by_tenure(case.state, [row for row, _ in every]).items()
        },
    ]


def _why(case: Case, groups: Iterable[Mapping[str, Sum]], told: Mapping[str, Indicator], k: int) -> Iterator[Opened]:
    """Open what is told into buildings; of few households, and of cells withheld, none by itself."""
    pack = case.state.pack
    moved, back = "Σ households that have to move", "Σ households rehoused on the site or nearby"
    for sums in groups:
        for way, cell in sums.items():
            formula = back if way.endswith("/rehoused") else moved
            rules = rules_of(pack, "displacement", "suppression", *(["tenure_classes"] if "tenure" in way else []))
            open_cell = replace(cell, terms=()) if told[way].get("suppressed") else together(cell, k)
            yield Opened(way, formula, rules, open_cell)
    for way, rule_id, few in (("/rehousing", "R3", k), ("/consent", "R15", 0)):
        for one in _rule(case, rule_id).why:
            den = None if one.den is None else together(one.den, few)
            yield replace(one, at=f"{way}{one.at}", num=together(one.num, few), den=den)


def together(cell: Sum, k: int) -> Sum:
    """Return a sum with one term for all that is known, where a building in it has fewer than k households.

    What other sums tell then tells no more of that building than their totals do.
    """
    known = [term for term in cell.terms if term.amount is not None]
    if not any(0 < cast("int", term.amount) < k for term in known):
        return cell
    codes = tuple(sorted({term.code for term in known}))
    one = Term("building", f"{len(codes)} buildings", None, cell.known, codes=codes)
    return replace(cell, terms=(one, *(term for term in cell.terms if term.amount is None)))


def _displaced(moves: Iterable[tuple[sa.Row[Any], Intervention]]) -> Sum:
    """Return the households that have to move: as the proposal says, else those recorded."""
    terms = []
    for row, one in moves:
        amount, most = one.params.get("displaced_households", row.households), row.households_most
        if one.action not in ("demolish", "rebuild") and "displaced_households" not in one.params:
            amount, most = (0, 0) if row.households == 0 else (None, row.households or most)
        terms.append(Term("building", row.code, row.leaf, amount, most))
    return Sum("displaced", HOUSEHOLDS, tuple(terms))


def _rehoused(moves: Iterable[tuple[sa.Row[Any], Intervention]]) -> Sum:
    terms = []
    for row, one in moves:
        displaced = one.params.get("displaced_households", row.households)
        amount = one.params.get("rehoused_households", 0 if displaced == 0 else None)
        most = row.households_most if displaced is None else displaced
        terms.append(Term("building", row.code, row.leaf, amount, most))
    return Sum("rehoused", HOUSEHOLDS, tuple(terms))


def _by_tenure(state: State, rows: Sequence[sa.Row[Any]]) -> dict[str, Sum]:
    """Return the households of some buildings by whether they own or rent; those without a unit are unknown."""
    classes = state.pack.limit("tenure_classes")
    of = {tenure: name for name, tenures in classes.items() for tenure in tenures}
    terms: defaultdict[str, list[Term]] = defaultdict(list)
    told: defaultdict[str, int] = defaultdict(int)
    by_code = {row.code: row for row in rows}
    for unit in state.through(None).rows("displacement", codes=sorted(by_code)):
        row = by_code[unit.building_code]
        told[row.code] += unit.households
        terms[of.get(unit.tenure, "unknown")].append(Term("building", row.code, row.leaf, unit.households))
    for row in by_code.values():
        left = None if row.households is None else max(row.households - told[row.code], 0)
        if left != 0:
            terms["unknown"].append(Term("building", row.code, row.leaf, left, row.households_most))
    return {name: Sum(name, HOUSEHOLDS, tuple(terms[name])) for name in TENURES}


def _rule(case: Case, rule_id: str) -> Check:
    """Return the outcome of a rule."""
    rule = case.state.pack.rules.get(rule_id)
    checkers = {"R3": constraints.rehousing, "R15": constraints.consent}
    if rule is None or not rule.enabled:
        return Check(NOT_ASSESSED, reason="the rule pack has it switched off, or has none")
    return checkers[rule_id](rule, case)


def _shown(check: Check, k: int) -> dict[str, Any]:
    """Return an outcome; its figures are withheld where they would tell of fewer than k households."""
    few = any(0 < part.known < k for part in check.sums)
    return {
        "status": check.status,
        "value": None if few else check.value,
        "limit": check.limit,
        "margin": None if few else check.margin,
        "reason": "too few households to be told" if few else check.reason,
    }


def withheld(sums: Mapping[str, Sum], k: int) -> dict[str, Indicator]:
    """Return counts as indicators, without those of 1 to k - 1 households.

    Where just one of several is withheld, their total would tell it, so that the next smallest goes with it.
    """
    shy = {name for name, part in sums.items() if 0 < part.known < k}
    others = sorted((part.known, name) for name, part in sums.items() if part.known > 0 and name not in shy)
    if len(shy) == 1 and len(sums) > 1 and others:
        shy.add(others[0][1])
    cells = {name: part.indicator() for name, part in sums.items()}
    for name in shy:
        cells[name] |= {"value": None, "low": None, "high": None, "suppressed": True}
    return cells


SCENARIO = Displacement
