"""Why a number is what it is: the objects it adds up, each with its leaf and its share, and what is unknown of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cim.scenarios import _indicator as indicator
from cim.scenarios._indicator import SQUARE_CENTIMETRES, Indicator
from cim.scenarios._rules import Rule

# How many of the counted integers make one of the unit shown, and the decimals that show them exactly.
SCALES = {"m2": (SQUARE_CENTIMETRES, 4), "m": (1000, 3)}


@dataclass(frozen=True, slots=True)
class Term:
    """What one object adds to a sum; `amount` None is unknown, and then lies between 0 and `most`.

    `leaf` is the index of the log entry that it comes from; None where a proposal brings the object.
    """

    type: str
    code: str
    leaf: int | None
    amount: int | None
    most: int = 0


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum over objects, in the unit shown; amounts are its integers (square centimetres, millimetres, counts)."""

    title: str
    unit: str
    terms: tuple[Term, ...]

    @property
    def known(self) -> int:
        """What is known of it."""
        return sum(term.amount for term in self.terms if term.amount is not None)

    @property
    def most(self) -> int:
        """What the unknown could add at most."""
        return sum(term.most for term in self.terms if term.amount is None)

    @property
    def n_known(self) -> int:
        """Of how many objects it is known."""
        return sum(term.amount is not None for term in self.terms)

    def indicator(self) -> Indicator:
        """Return the sum as an indicator."""
        counted = {"n": len(self.terms), "n_known": self.n_known}
        if self.unit == "m2":
            return indicator.area(self.known, self.most, **counted)
        return indicator.count(self.unit, self.known, self.most, **counted)

    def opened(self) -> dict[str, Any]:
        """Return the terms, by code: what each contributes, and null where that is unknown."""
        return {
            "title": self.title,
            "measured_in": self.unit,
            "terms": [
                {"type": t.type, "code": t.code, "leaf": t.leaf, "contribution": shown(t.amount, self.unit)}
                for t in sorted(self.terms, key=lambda t: (t.type, t.code))
            ],
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
                "least": 0,
                "most": shown(t.most, self.unit),
            }
            for t in sorted(self.terms, key=lambda t: (t.type, t.code))
            if t.amount is None
        ]


def shown(amount: int | None, unit: str) -> float | int | None:
    """Return a counted integer in the unit shown."""
    return None if amount is None else indicator.decimal(amount, *SCALES.get(unit, (1, 0)))


def unknowns(*sums: Sum) -> list[dict[str, Any]]:
    """Return what is unknown in some sums, each object and property once."""
    found = {(item["type"], item["code"], item["of"]): item for one in sums for item in one.unknown()}
    return [found[key] for key in sorted(found)]


def opened(sums: Iterable[Sum]) -> list[dict[str, Any]]:
    """Return the sums with their terms."""
    return [one.opened() for one in sums]


def explained(indicator_name: str, formula: str, rules: Iterable[Rule], *sums: Sum) -> dict[str, Any]:
    """Return an indicator opened: formula, the rules it rests on, the objects it adds up, and what is unknown."""
    told = ("id", "clause", "text", "source", "confidence")
    return {
        "indicator": indicator_name,
        "formula": formula,
        "rules": [{key: getattr(rule, key) for key in told} for rule in rules],
        "sums": opened(sums),
        "unknown": unknowns(*sums),
    }


WHY = {
    "type": "array",
    "description": "Indicators opened into formula, rules, objects with their leaf and contribution, and unknowns; "
    "empty unless explain",
    "items": {
        "type": "object",
        "properties": {"indicator": {"type": "string"}, "formula": {"type": "string"}},
        "required": ["indicator", "formula", "rules", "sums", "unknown"],
    },
}
EXPLAIN: tuple[dict[str, Any], str, str] = (
    {"type": "boolean"},
    "逐项说明",
    "Whether to open the sums into the objects they add up.",
)
