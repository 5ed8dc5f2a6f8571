"""Why a number is what it is: the objects it adds up, each with its leaf and its share, and what is unknown of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Any, NamedTuple

from cim.errors import InvalidData
from cim.scenarios import _indicator as indicator
from cim.scenarios._indicator import SQUARE_CENTIMETRES, Indicator
from cim.scenarios._rules import Rule

# How many of the counted integers make one of the unit shown.
SCALES = {"m2": SQUARE_CENTIMETRES, "m": 1000, "CNY": 100}
EVERYTHING = "/"  # the path of all numbers, of which there may be none
DIGITS = 15  # decimals of what no decimal number is exactly


class Term(NamedTuple):
    """What one object adds to a sum; `amount` None is unknown, and then lies between `least` and `most`.

    `leaf` is the index of the log entry that it comes from; None where a proposal brings the object, or a fact that
    is in no record. `codes` are those of several objects that are told of together, `of` is the property that is known
    or not.
    """

    type: str
    code: str
    leaf: int | None
    amount: int | None
    most: int = 0
    codes: tuple[str, ...] = ()
    of: str = ""
    least: int = 0

    def shown(self, scale: int) -> dict[str, Any]:
        """Return it with what it contributes, in the unit shown."""
        told = {"type": self.type, "code": self.code, "leaf": self.leaf, "contribution": scaled(self.amount, scale)}
        return told | ({"codes": list(self.codes)} if self.codes else {})


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum over objects, in the unit shown; amounts are its integers (square centimetres, millimetres, counts).

    `scale` says how many of these make one of the unit, where that is not as `SCALES` has it.
    """

    title: str
    unit: str
    terms: tuple[Term, ...]
    scale: int | None = None

    @classmethod
    def weighted(cls, title: str, unit: str, *parts: tuple[Fraction, Sum]) -> Sum:
        """Return the terms of some sums together, each of their integers times the weight of its sum."""
        scale = lcm(*(weight.denominator for weight, _ in parts))

        def times(amount: int, weight: Fraction) -> int:
            return amount * int(weight * scale)

        terms = (
            t._replace(
                amount=None if t.amount is None else times(t.amount, weight),
                most=times(t.most, weight),
                least=times(t.least, weight),
            )
            for weight, part in parts
            for t in part.terms
        )
        return cls(title, unit, tuple(terms), scale)

    @classmethod
    def fact(cls, name: str, value: Fraction, unit: str) -> Sum:
        """Return what somebody has stated as a sum of itself."""
        return cls.weighted(name, unit, (value, cls(name, unit, (Term("fact", name, None, 1),))))

    @property
    def per_unit(self) -> int:
        """How many of its integers make one of the unit shown."""
        return SCALES.get(self.unit, 1) if self.scale is None else self.scale

    @property
    def known(self) -> int:
        """What is known of it."""
        return sum(term.amount for term in self.terms if term.amount is not None)

    @property
    def most(self) -> int:
        """What the unknown could add at most."""
        return sum(term.most for term in self.terms if term.amount is None)

    @property
    def least(self) -> int:
        """What the unknown adds at least."""
        return sum(term.least for term in self.terms if term.amount is None)

    @property
    def n_known(self) -> int:
        """Of how many objects it is known."""
        return sum(term.amount is not None for term in self.terms)

    def indicator(self) -> Indicator:
        """Return the sum as an indicator."""
        counted = {"n": len(self.terms), "n_known": self.n_known, "least": self.least}
        if self.unit == "m2":
            return indicator.area(self.known, self.most, **counted)
        return indicator.count(self.unit, self.known, self.most, **counted)

    def less(self, other: Sum, title: str) -> Sum:
        """Return it with the terms of another of its unit taken away."""
        return Sum.weighted(title, self.unit, (Fraction(1, self.per_unit), self), (Fraction(-1, other.per_unit), other))

    def opened(self) -> dict[str, Any]:
        """Return the terms, by code: what each contributes, and null where that is unknown."""
        terms = sorted(self.terms, key=lambda t: (t.type, t.code))
        return {
            "title": self.title,
            "measured_in": self.unit,
            "terms": [term.shown(self.per_unit) for term in terms],
        }

    def unknown(self) -> list[dict[str, Any]]:
        """Return what is unknown in it, by code, with its bounds."""
        return [
            {
                "type": t.type,
                "code": t.code,
                "leaf": t.leaf,
                "of": self.title,
                "measured_in": self.unit,
                "least": scaled(abs(t.least), self.per_unit),
                "most": scaled(abs(t.most), self.per_unit),
            }
            for t in sorted((t for t in self.terms if t.amount is None), key=lambda t: (t.type, t.code))
        ]


@dataclass(frozen=True, slots=True)
class Opened:
    """A number opened: value = factor × Σ num ÷ Σ den, or Σ num where there is no den.

    `at` is where it stands in the result (`_indicator.numbers`), `rules` what it rests on.
    """

    at: str
    formula: str
    rules: Sequence[Rule]
    num: Sum
    den: Sum | None = None
    factor: int = 1

    def beneath(self, way: str) -> Opened:
        """Return it standing further down in a result."""
        return replace(self, at=f"{way}{self.at}")

    def shown(self) -> dict[str, Any]:
        """Return it as a result tells it."""
        told = ("id", "clause", "text", "text_zh", "source", "confidence")
        return {
            "at": self.at,
            "formula": self.formula,
            "rules": [{key: getattr(rule, key) for key in told} for rule in self.rules],
            "factor": self.factor,
            "num": self.num.opened(),
            "den": None if self.den is None else self.den.opened(),
            "unknown": unknowns(self.num, *([] if self.den is None else [self.den])),
        }


Why = Callable[[], Iterable[Opened]]


def opened(why: Why, paths: Sequence[str], result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the numbers that stand at these paths of a result, or beneath them, opened, by where they stand.

    Raises
    ------
    InvalidData : at or beneath a path there is no number.
    """
    there = [at for at, _ in indicator.numbers(result)]
    empty = [path for path in paths if path != EVERYTHING and not any(_meets(path, at) for at in there)]
    if empty:
        raise InvalidData(f"explain: no number at {', '.join(empty)}; there are {', '.join(there[:20])}")
    wanted = {at for at in there if any(_meets(path, at) for path in paths)}
    found = {one.at: one for one in why() if one.at in wanted}
    return [found[at].shown() for at in sorted(found)]


def _meets(path: str, at: str) -> bool:
    return at == path or at.startswith(path.rstrip("/") + "/")


def shown(amount: int | None, unit: str) -> float | int | None:
    """Return a counted integer in the unit shown."""
    return scaled(amount, SCALES.get(unit, 1))


def scaled(amount: int | None, scale: int) -> float | int | None:
    """Return amount ÷ scale with all its decimals, half to even after DIGITS where they do not end."""
    if amount is None:
        return None
    digits = next((d for d in range(DIGITS) if 10**d % scale == 0), DIGITS)
    return indicator.decimal(amount, scale, digits)


def unknowns(*sums: Sum) -> list[dict[str, Any]]:
    """Return what is unknown in some sums, each object and property once."""
    found = {(item["type"], item["code"], item["of"]): item for one in sums for item in one.unknown()}
    return [found[key] for key in sorted(found)]


_SUM = {"type": "object", "required": ["title", "measured_in", "terms"]}
WHY = {
    "title": "Numbers opened",
    "x-cim-title-zh": "数值说明",
    "type": "array",
    "description": "The numbers of `explain`: value = factor × Σ num ÷ Σ den, or Σ num where den is null; with the "
    "objects added up, their leaf and contribution, the rules they rest on, and what is unknown; only with explain",
    "items": {
        "type": "object",
        "properties": {
            "at": {"type": "string", "description": "Where the number stands in the result"},
            "formula": {"type": "string"},
            "factor": {"type": "integer"},
            "num": _SUM,
            "den": {**_SUM, "type": ["object", "null"]},
        },
        "required": ["at", "formula", "rules", "factor", "num", "den", "unknown"],
    },
}
