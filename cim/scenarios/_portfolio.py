"""What a portfolio is made of: options in whole numbers, and the limits that a choice is held to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

import sqlalchemy as sa

from cim.scenarios import _indicator as indicator
from cim.scenarios._indicator import SQUARE_CENTIMETRES, decimal, half_even, step
from cim.scenarios._milp import Choice, Limit, total
from cim.scenarios._rules import RulePack
from cim.scenarios._why import Opened, Sum, Term

KEEP = "keep"
DEMOLISHING = ("demolish", "rebuild")
BUDGET, MUST_ACT = "budget", "must_act"
FEN = 100  # in a yuan
PERCENT = 100


@dataclass(frozen=True, slots=True)
class Option:
    """One action on one building in one phase, in whole numbers: square centimetres, fen, households."""

    row: sa.Row[Any]
    action: str
    phase: int
    benefit: int
    cost: int
    demolished: int
    added: int
    displaced: int
    rehoused: int


def limits_of(
    pack: RulePack,
    rows: Sequence[sa.Row[Any]],
    options: Sequence[Option],
    rules: Sequence[str],
    budgets: Sequence[int | None],
) -> dict[str, Limit]:
    """Return what a choice keeps, by name: budgets (yuan) by phase, rules of the pack, grade D acted on."""
    found = {}
    for phase, budget in enumerate(budgets, 1):
        if budget is not None:
            name = budget_of(phase, len(budgets))
            found[name] = Limit(name, [o.cost if o.phase == phase else 0 for o in options], budget * FEN)
    existing = sum(row.gfa or 0 for row in rows)
    if "R1" in rules:
        most = exact(pack.limit("R1")["max"]) / PERCENT * existing
        found["R1"] = Limit("R1", [o.demolished for o in options], floor(most))
    if "R2" in rules:
        ratio = _new_per_demolished(pack)
        added = [0 if o.row.usage in pack.limit("R2")["public_usage"] else o.added for o in options]
        amounts = [a * ratio.denominator - o.demolished * ratio.numerator for a, o in zip(added, options, strict=True)]
        found["R2"] = Limit("R2", amounts, 0)
    if "R3" in rules:
        share = exact(pack.limit("R3")["min"]) / PERCENT
        amounts = [o.displaced * share.numerator - o.rehoused * share.denominator for o in options]
        found["R3"] = Limit("R3", amounts, 0)
    kept = [int(o.action == KEEP and o.row.danger_grade == "D") for o in options]
    if any(kept):
        found[MUST_ACT] = Limit(MUST_ACT, kept, 0)
    return found


def budget_of(phase: int, of: int) -> str:
    """Return the name of the limit that is the budget of a phase; of the only one plainly."""
    return BUDGET if of == 1 else f"{BUDGET} {phase}"


def exact(number: float) -> Fraction:
    """Return the number that was written, not the double next to it."""
    return Fraction(str(number))


def whole(value: Fraction) -> int:
    return half_even(value.numerator, value.denominator)


def _new_per_demolished(pack: RulePack) -> Fraction:
    """Return the new floor area that R2 allows for each unit demolished."""
    rule = pack.limit("R2")
    return exact(rule["max"]) + (1 if rule["formula"] == "net_added_over_demolished" else 0)


def yuan(fen: int, n: int, n_known: int) -> dict[str, Any]:
    value = decimal(fen, FEN, 2)
    return {"value": value, "unit": "CNY", "n": n, "n_known": n_known, "low": value, "high": value}


def judged(pack: RulePack, limit: Limit, chosen: Choice, options: Sequence[Option]) -> dict[str, Any]:
    """Return a limit as a rule of the result: what was chosen against it, its margin, and its price."""
    picked = [options[number] for number in chosen.options]
    used = total(limit.amount, chosen.options)
    torn, known = sum(o.demolished for o in picked), {"n": len(picked), "n_known": len(picked)}
    kind, _, phase = limit.name.partition(" ")
    text = {
        BUDGET: (f"Budget of phase {phase}", f"第{phase}期预算") if phase else ("Budget", "预算"),
        MUST_ACT: ("A building of danger grade D is acted on", "D 级危房必须处置"),
    }
    # How many units of the limit's own amount make one unit of what is shown.
    match kind:
        case "budget":
            value, most, unit = yuan(used, **known), decimal(limit.most, FEN, 2), Fraction(FEN)
        case "R1":
            existing = sum(o.row.gfa or 0 for o in picked)
            value = _ratio("%", torn * PERCENT, existing, len(picked))
            most, unit = pack.limit("R1")["max"], Fraction(existing, PERCENT)
        case "R2":
            ratio = _new_per_demolished(pack)
            new = (used + torn * ratio.numerator) // ratio.denominator  # without what R2 leaves out
            value = _ratio("m2/m2", new, torn, len(picked))
            most, unit = decimal(ratio.numerator, ratio.denominator, 6), Fraction(torn * ratio.denominator)
        case "R3":
            displaced, share = sum(o.displaced for o in picked), exact(pack.limit("R3")["min"]) / PERCENT
            value = _ratio("%", sum(o.rehoused for o in picked) * PERCENT, displaced, len(picked))
            most, unit = pack.limit("R3")["min"], Fraction(displaced * share.denominator, PERCENT)
        case _:
            value, most, unit = indicator.count("{building}", used, 0, **known), 0, Fraction(1)
    rule = pack.rules.get(limit.name)
    told, told_zh = (rule.text, rule.text_zh) if rule else text[kind]
    margin = None
    if value["value"] is not None:
        room = exact(most) - exact(value["value"])
        margin = decimal(*(room if limit.name != "R3" else -room).as_integer_ratio(), 6)
    return {
        "rule": limit.name,
        "clause": rule.clause if rule else "",
        "text": told,
        "text_zh": told_zh,
        "status": "undefined" if margin is None else "pass",
        "value": value,
        "limit": most,
        "margin": margin,
        "price": round(chosen.prices[limit.name] * float(unit) / SQUARE_CENTIMETRES, 6),
    }


def opened_choice(
    pack: RulePack, names: Iterable[str], picked: Sequence[Option], criteria: Sequence[str] | None
) -> Iterator[Opened]:
    """Yield benefit, cost and what was chosen against each limit, opened into the buildings."""

    def over(title: str, unit: str, amount: Callable[[Option], int]) -> Sum:
        return Sum(title, unit, tuple(Term("building", o.row.code, o.row.leaf, amount(o)) for o in picked))

    torn = over("floor area demolished", "m2", lambda o: o.demolished)
    cost = over("cost", "CNY", lambda o: o.cost)
    public = pack.limit("R2")["public_usage"] if "R2" in names else ()
    of: dict[str, tuple[Sum, Sum | None]] = {
        MUST_ACT: (
            over("grade D that is kept", "{building}", lambda o: int(o.action == KEEP and o.row.danger_grade == "D")),
            None,
        ),
        "R1": (torn, over("floor area that stands", "m2", lambda o: o.row.gfa or 0)),
        "R2": (over("new floor area", "m2", lambda o: 0 if o.row.usage in public else o.added), torn),
        "R3": (
            over("households rehoused", "{household}", lambda o: o.rehoused),
            over("households displaced", "{household}", lambda o: o.displaced),
        ),
    }
    known = {
        name.removeprefix("criterion_"): rule for name, rule in pack.rules.items() if name.startswith("criterion_")
    }
    for name in (name for name in names if name.startswith(BUDGET)):
        spent = (term for term, o in zip(cost.terms, picked, strict=True) if name in (BUDGET, budget_of(o.phase, 0)))
        of[name] = Sum(name, "CNY", tuple(spent)), None
    scored = [rule for name, rule in known.items() if rule.enabled and (criteria is None or name in criteria)]
    benefit = over("score × effect × floor area", "m2", lambda o: o.benefit)
    yield Opened("/benefit", "Σ score × effect of the action × floor area", scored, benefit)
    yield Opened("/cost", "Σ cost of the action × floor area", [], cost)
    for name in names:
        rules = [pack.rules[name]] if name in pack.rules else []
        formula = rules[0].formula if rules else f"Σ {of[name][0].title}"
        percent = PERCENT if rules and rules[0].unit == "%" else 1
        yield Opened(f"{step('/rules', name)}/value", formula, rules, *of[name], percent)


def _ratio(unit: str, num: int, den: int, n: int) -> dict[str, Any]:
    return indicator.ratio(unit, (num, den), [(num, den)], n=n, n_known=n)


def intervention(option: Option) -> dict[str, Any]:
    params: dict[str, Any] = {}
    if option.action == "rebuild":
        params["gross_floor_area"] = decimal(option.added, SQUARE_CENTIMETRES, 4)
    if option.action in DEMOLISHING:
        params |= {"displaced_households": option.displaced, "rehoused_households": option.rehoused}
    return {"target": option.row.code, "action": option.action, "phase": option.phase, "params": params}
