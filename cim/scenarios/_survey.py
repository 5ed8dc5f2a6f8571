"""What is open in a rule: the unknowns that, once a survey has told them, decide it.

value = factor × Σ num ÷ Σ den keeps a limit where factor × Σ num - limit × Σ den is on the right side of nothing. That
is linear in what is unknown, even of what stands above and below the line at once. Where an unknown bounds another
(who comes back was there before), the rule is checked again with it known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from cim.scenarios._constraints import Case, Check
from cim.scenarios._stock import Stock
from cim.scenarios._why import Opened, Sum

# Unknown of these is only which of two it is.
EITHER_OR = ("counts_as_green", "heritage")


# What a rule measures, by unit: the column of the stock, and the property of the dictionary that a survey fills in.
COLUMNS = MappingProxyType({"m2": ("gfa", "gross_floor_area"), "{household}": ("households", "households")})


@dataclass(frozen=True, slots=True)
class Unknown:
    """A property that nobody recorded: a whole number between `least` and `most`, `scale` of which make a unit."""

    type: str
    code: str
    property: str
    leaf: int | None
    least: int
    most: int
    scale: int


@dataclass(frozen=True, slots=True)
class Open:
    """A number held to a limit: it keeps it where `known` + Σ weight × share is at most 0.

    `weights` are what the whole range of an unknown adds, by that unknown at its least; `below` the same of the
    denominator, which must stay above nothing.
    """

    known: float
    weights: Mapping[Unknown, float]
    below_known: float
    below: Mapping[Unknown, float]


def opened_against(one: Opened, limit: Fraction, *, at_most: bool) -> Open:
    """Return an opened number as a linear form against its limit."""
    sign = 1 if at_most else -1
    above = Fraction(sign * one.factor, one.num.per_unit)
    beneath = Fraction(0) if one.den is None else -sign * limit / one.den.per_unit
    known = above * one.num.known - (sign * limit if one.den is None else 0)
    weights: defaultdict[Unknown, Fraction] = defaultdict(Fraction)
    below: defaultdict[Unknown, Fraction] = defaultdict(Fraction)
    ends: dict[tuple[str, str, str], Unknown] = {}
    below_known = Fraction(1)
    for total, unit in ((one.num, above), (one.den, beneath)):
        if total is None:
            continue
        if total is one.den:
            known += unit * total.known
            below_known = Fraction(total.known)
        for key, unknown, least, most in _unknowns(total):
            of = ends.setdefault(key, unknown)
            known += unit * least
            weights[of] += unit * (most - least)
            if total is one.den:
                below_known += least
                below[of] += most - least
    return Open(
        float(known),
        {of: float(weight) for of, weight in weights.items()},
        float(below_known),
        {of: float(weight) for of, weight in below.items()},
    )


def _unknowns(total: Sum) -> list[tuple[tuple[str, str, str], Unknown, int, int]]:
    found = []
    for term in total.terms:
        if term.amount is None:
            of = term.of or total.title
            either = of in EITHER_OR
            least, most, scale = (0, 1, 1) if either else (term.least, term.most, total.per_unit)
            unknown = Unknown(term.type, term.code, of, term.leaf, least, most, scale)
            found.append(((term.type, term.code, of), unknown, term.least, term.most))
    return found


class Question:
    """Numbers that together decide a rule: it fails where one fails, and holds where all hold.

    `hopeless` says that something else is open which no survey tells, so that it can fail but never hold.
    """

    def __init__(self, numbers: Sequence[Open], *, hopeless: bool) -> None:
        self.numbers, self.hopeless = numbers, hopeless
        shares: defaultdict[Unknown, float] = defaultdict(float)
        for number in numbers:
            width = sum(map(abs, number.weights.values()))
            for of, weight in number.weights.items():
                shares[of] += abs(weight) / width / len(numbers) if width else 0.0
        self.swings = dict(shares)
        self.unknowns = sorted(shares, key=lambda of: (-shares[of], of.type, of.code, of.property))
        place = {of: number for number, of in enumerate(self.unknowns)}
        self._weights = self._matrix([number.weights for number in numbers], place)
        self._below = self._matrix([number.below for number in numbers], place)
        self._known = np.array([number.known for number in numbers])
        self._below_known = np.array([number.below_known for number in numbers])

    def _matrix(self, rows: Sequence[Mapping[Unknown, float]], place: Mapping[Unknown, int]) -> npt.NDArray[np.float64]:
        found = np.zeros((len(rows), len(place)))
        for row, weights in enumerate(rows):
            for of, weight in weights.items():
                found[row, place[of]] = weight
        return found

    def decides(self, count: int, drawn: npt.NDArray[np.int64]) -> bool:
        """Tell whether the rule is decided once the first `count` unknowns are known to be what was drawn."""
        least, most = (np.array([getattr(of, end) for of in self.unknowns[:count]], dtype=np.float64) for end in ENDS)
        share = (drawn[:count] - least) / np.maximum(most - least, 1.0)
        told = self._known + self._weights[:, :count] @ share
        rest = self._weights[:, count:]
        low, high = told + np.minimum(rest, 0).sum(axis=1), told + np.maximum(rest, 0).sum(axis=1)
        sound = self._below_known + self._below[:, :count] @ share > 0
        if bool((sound & (low > EPSILON)).any()):
            return True
        return not self.hopeless and bool((sound & (high <= EPSILON)).all())


ENDS = ("least", "most")
EPSILON = 1e-9  # of the unit of the limit times that of the denominator: far below what a square centimetre makes


@dataclass(frozen=True, slots=True)
class Lacking:
    """A property that nobody recorded: a whole number between `least` and `most`."""

    code: str
    column: str
    property: str
    unit: str
    leaf: int | None
    least: int
    most: int


def lacking(case: Case, check: Check) -> list[Lacking]:
    """Return what a check lacks of the buildings that stand, each property once."""
    found: dict[tuple[str, str], Lacking] = {}
    on = {} if case.made is None else case.made.on
    # Where so many come back, so many lived there.
    back = {code: max(one.params.get("rehoused_households", 0) for one in ones) for code, ones in on.items()}
    for one in check.sums:
        column, prop = COLUMNS.get(one.unit, ("", ""))
        for term in one.terms:
            row = case.before.get(term.code)
            # Else it is the proposal that is silent, such as on who comes back; no survey tells that.
            if column and term.amount is None and row is not None and getattr(row, column) is None:
                least = back.get(term.code, 0) if column == "households" else 0
                most = max(int(getattr(row, f"{column}_most")), least)
                found[term.code, column] = Lacking(term.code, column, prop, one.unit, term.leaf, least, most)
    return [found[key] for key in sorted(found)]


def told(case: Case, known: Mapping[Lacking, int]) -> Case:
    """Return the case as it is once some unknowns are known."""
    columns: dict[str, dict[str, int]] = {}
    for one, value in known.items():
        columns.setdefault(one.code, {}).update({one.column: value, f"{one.column}_most": 0})

    def known_of(stock: Stock) -> Stock:
        surveyed = {
            code: cast("sa.Row[Any]", SimpleNamespace(**{**stock[code]._mapping, **values}))
            for code, values in columns.items()
            if code in stock
        }
        return {**stock, **surveyed}

    return replace(case, before=known_of(case.before), after=known_of(case.after))


def swings(unknowns: Sequence[Lacking], width: Callable[[Mapping[Lacking, int]], float]) -> dict[Lacking, float]:
    """Return by how much each unknown alone narrows the interval, as a share of it; by bounds where it has no end."""
    whole = width({})
    left = {one: (width({one: one.least}) + width({one: one.most})) / 2 for one in unknowns}
    if whole > 0 and all(map(isfinite, (whole, *left.values()))):
        return {one: 1 - left[one] / whole for one in unknowns}
    total = sum(one.most - one.least for one in unknowns) or 1
    return {one: (one.most - one.least) / total for one in unknowns}
