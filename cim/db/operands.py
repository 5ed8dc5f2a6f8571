"""What stands on either side of a comparison: properties, arithmetic, functions, folded text, literals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cim.db.cql2_functions import FUNCTIONS
from cim.db.cql2_text import Node
from cim.db.values import QueryKind, bound, from_literal, queryables
from cim.dictionary import FeatureType
from cim.errors import InvalidFilter

# Combining marks that NFD takes apart from their letters (Unicode, block Combining Diacritical Marks).
_MARKS = "[\u0300-\u036f]"


def _without_accents(text: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    apart = sa.func.normalize(text, sa.literal_column("NFD"))
    bare = sa.func.regexp_replace(apart, sa.literal(_MARKS, sa.Text), sa.literal("", sa.Text), sa.literal("g", sa.Text))
    return sa.func.normalize(bare, sa.literal_column("NFC"), type_=sa.Text())


FOLDS: Mapping[str, Callable[[sa.ColumnElement[Any]], sa.ColumnElement[str]]] = {
    "casei": lambda text: sa.func.lower(text, type_=sa.Text()),
    "accenti": _without_accents,
}
# A divisor of zero gives null, as a missing value does: the condition holds of no such object.
ARITHMETIC: Mapping[str, Callable[[Any, Any], sa.ColumnElement[Any]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / sa.func.nullif(b, 0.0),
    "div": lambda a, b: sa.func.trunc(a / sa.func.nullif(b, 0.0)),
    "%": lambda a, b: a - b * sa.func.trunc(a / sa.func.nullif(b, 0.0)),
    "^": lambda a, b: sa.func.power(a, b),
}


@dataclass(frozen=True, slots=True)
class Operand:
    """A side of a comparison: an expression with its kind, and the name to use in messages."""

    name: str
    kind: QueryKind
    expression: sa.ColumnElement[Any]


def column_of(source: sa.FromClause, name: str) -> sa.ColumnElement[Any]:
    """Return the column of a queryable, the code in the collation of its indexes: a function's column has lost it."""
    column = source.c[name]
    return sa.collate(column, "C") if name == "code" else column


class Operands:
    """Turns nodes of a filter into expressions over the rows of `source`."""

    def __init__(self, source: sa.FromClause, feature_type: FeatureType) -> None:
        self._source = source
        self._type = feature_type
        self._kinds = queryables(feature_type)

    def column(self, name: str) -> Operand:
        """Return a queryable; InvalidFilter where there is none of that name."""
        kind = self._kinds.get(name)
        if kind is None:
            raise InvalidFilter(f"{self._type.name} has no queryable {name[:60]!r}; it has {', '.join(self._kinds)}")
        return Operand(name, kind, column_of(self._source, name))

    def operand(self, node: Node) -> Operand | None:
        """Return the node as an expression, or None where it is a literal."""
        match node:
            case {"property": str() as name}:
                return self.column(name)
            case {"op": str() as op, "args": [inner]} if op in FOLDS:
                return None if isinstance(unfolded(inner)[0], str) else self._folded(op, inner)
            case {"op": str() as op, "args": [left, right]} if op in ARITHMETIC:
                return self._computed(op, left, right)
            case {"op": str() as op, "args": [inner]} if op.lower() in FUNCTIONS:
                return self._called(op.lower(), inner)
            case {"op": str() as op}:
                known = ", ".join((*map(str.upper, FOLDS), *FUNCTIONS, *ARITHMETIC))
                raise InvalidFilter(f"function {op[:60]!r} is not known here with those arguments; there are {known}")
        return None

    def required(self, node: Node) -> Operand:
        """Return the node as an expression; InvalidFilter where it is a literal."""
        operand = self.operand(node)
        if operand is None:
            raise InvalidFilter(f"a property is needed where {str(node)[:60]!r} stands")
        return operand

    def _folded(self, op: str, inner: Node) -> Operand:
        folded = self.required(inner)
        if folded.kind != "string":
            raise InvalidFilter(f"{op.upper()} needs a string, {folded.name} is {folded.kind}")
        return Operand(f"{op.upper()}({folded.name})", "string", FOLDS[op](folded.expression))

    def _computed(self, op: str, left: Node, right: Node) -> Operand:
        sides = [self._number(op, side) for side in (left, right)]
        return Operand(
            f"{sides[0].name} {op} {sides[1].name}", "number", ARITHMETIC[op](*(s.expression for s in sides))
        )

    def _number(self, op: str, node: Node) -> Operand:
        found = self.operand(node)
        if found is None:
            return Operand(str(node)[:30], "number", bound(float(from_literal(f"each side of {op}", "number", node))))  # type: ignore[arg-type]
        if found.kind not in ("integer", "number"):
            raise InvalidFilter(f"{op} needs numbers, {found.name} is {found.kind}")
        return Operand(found.name, "number", sa.cast(found.expression, sa.Double))

    def _called(self, name: str, inner: Node) -> Operand:
        function, argument = FUNCTIONS[name], self.required(inner)
        if function.argument not in (argument.kind, family(argument.kind)):
            raise InvalidFilter(f"{name} needs a {function.argument}, {argument.name} is {argument.kind}")
        return Operand(f"{name}({argument.name})", function.returns, function.build(argument.expression))

    def pair(self, left: Node, right: Node) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any], QueryKind]:
        """Give both sides one kind: the one that is not a literal decides."""
        first, second = self.operand(left), self.operand(right)
        if first is None and second is None:
            raise InvalidFilter("a comparison of two constants says nothing about an object; name a property")
        if second is None:
            assert first is not None
            return *against(first, right), first.kind
        if first is None:
            expression, literal = against(second, left)
            return literal, expression, second.kind
        if family(first.kind) != family(second.kind) or first.kind == "geometry":
            raise InvalidFilter(
                f"{first.name} is {first.kind} and {second.name} is {second.kind}; compare like with like"
            )
        return as_instant(first, second.kind), as_instant(second, first.kind), first.kind

    def array(self, op: str, nodes: Sequence[Node]) -> list[tuple[QueryKind, sa.ColumnElement[Any]]]:
        """Return the elements of an array with their kinds: properties, or text, numbers and booleans."""
        found: list[tuple[QueryKind, sa.ColumnElement[Any]]] = []
        for node in nodes:
            operand = self.operand(node)
            kind: QueryKind
            if operand is not None:
                number = family(operand.kind) == "number"
                kind = "number" if number else operand.kind
                found.append((kind, sa.cast(operand.expression, sa.Double) if number else operand.expression))
                continue
            kind = "boolean" if isinstance(node, bool) else "string" if isinstance(node, str) else "number"
            value = from_literal(f"an element of {op}", kind, node)
            found.append((kind, bound(float(value) if kind == "number" else value)))  # type: ignore[arg-type]
        return found


def unfolded(node: Node) -> tuple[Node, list[str]]:
    """Return what stands within CASEI and ACCENTI, and these, the inner first."""
    folds: list[str] = []
    while isinstance(node, dict) and node.get("op") in FOLDS and len(node.get("args", ())) == 1:
        folds.insert(0, node["op"])
        node = node["args"][0]
    return node, folds


def folded(expression: sa.ColumnElement[Any], folds: Sequence[str]) -> sa.ColumnElement[Any]:
    """Return an expression of text folded so."""
    for fold in folds:
        expression = FOLDS[fold](expression)
    return expression


def against(operand: Operand, literal: Node) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """Return the operand and a literal as expressions of one kind."""
    inner, folds = unfolded(literal)
    value = from_literal(operand.name, operand.kind, inner)
    if folds and operand.kind != "string":
        raise InvalidFilter(f"{folds[-1].upper()} needs strings, {operand.name} is {operand.kind}")
    return as_instant(operand, "datetime" if isinstance(value, datetime) else operand.kind), folded(bound(value), folds)


def as_instant(operand: Operand, other: str) -> sa.ColumnElement[Any]:
    """Return the operand as an instant where it is a date and the other side an instant: its first moment in UTC."""
    if operand.kind == "date" and other == "datetime":
        return sa.func.timezone("UTC", sa.cast(operand.expression, sa.DateTime), type_=sa.DateTime(timezone=True))
    return operand.expression


def family(kind: QueryKind) -> str:
    """Return what kinds may be compared with each other."""
    return {"integer": "number", "date": "time", "datetime": "time"}.get(kind, kind)
