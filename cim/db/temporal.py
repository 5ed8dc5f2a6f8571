"""Temporal relations of CQL2 (OGC 21-065r2, section 7.3): each side an instant or an interval.

A date counts as its first moment in UTC, as it does in comparisons. An end written as `..` is open; one that is the
missing value of a property is unknown, and so is what is asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from cim.db.cql2_text import Node
from cim.db.operands import Operands, as_instant, family
from cim.db.values import bound, from_literal
from cim.errors import InvalidFilter

_INSTANT = sa.DateTime(timezone=True)


class Side(NamedTuple):
    """First and last instant of a side; the same where it is one."""

    first: sa.ColumnElement[Any]
    last: sa.ColumnElement[Any]


RELATIONS: Mapping[str, Callable[[Side, Side], sa.ColumnElement[bool]]] = {
    "t_after": lambda s, t: s.first > t.last,
    "t_before": lambda s, t: s.last < t.first,
    "t_contains": lambda s, t: sa.and_(s.first < t.first, s.last > t.last),
    "t_disjoint": lambda s, t: sa.or_(s.last < t.first, s.first > t.last),
    "t_during": lambda s, t: sa.and_(s.first > t.first, s.last < t.last),
    "t_equals": lambda s, t: sa.and_(s.first == t.first, s.last == t.last),
    "t_finishedby": lambda s, t: sa.and_(s.first < t.first, s.last == t.last),
    "t_finishes": lambda s, t: sa.and_(s.first > t.first, s.last == t.last),
    "t_intersects": lambda s, t: sa.and_(s.first <= t.last, s.last >= t.first),
    "t_meets": lambda s, t: s.last == t.first,
    "t_metby": lambda s, t: s.first == t.last,
    "t_overlappedby": lambda s, t: sa.and_(s.first > t.first, s.first < t.last, s.last > t.last),
    "t_overlaps": lambda s, t: sa.and_(s.first < t.first, s.last > t.first, s.last < t.last),
    "t_startedby": lambda s, t: sa.and_(s.first == t.first, s.last > t.last),
    "t_starts": lambda s, t: sa.and_(s.first == t.first, s.last < t.last),
}


def compare(operands: Operands, op: str, left: Node, right: Node) -> sa.ColumnElement[bool]:
    """Return the condition that a temporal relation states.

    Raises
    ------
    InvalidFilter : a side is no instant and no interval of two ends.
    """
    return RELATIONS[op](_side(operands, op, left), _side(operands, op, right))


def _side(operands: Operands, op: str, node: Node) -> Side:
    match node:
        case {"interval": [first, last]}:
            return Side(_end(operands, op, first, "-infinity"), _end(operands, op, last, "infinity"))
        case {"interval": _}:
            raise InvalidFilter(f"an interval of {op} needs two ends, for example INTERVAL('2020-01-01', '..')")
    instant = _end(operands, op, node, None)
    return Side(instant, instant)


def _end(operands: Operands, op: str, node: Node, open_end: str | None) -> sa.ColumnElement[Any]:
    if node == ".." and open_end is not None:
        return sa.literal_column(f"'{open_end}'::timestamptz", _INSTANT)
    operand = operands.operand(node)
    if operand is None:
        # A plain text stands for a date or an instant within an interval.
        return bound(_instant(op, node))
    if family(operand.kind) != "time":
        raise InvalidFilter(f"{op} needs dates or instants, {operand.name} is {operand.kind}")
    return as_instant(operand, "datetime")


def _instant(op: str, node: Node) -> Any:
    match node:
        case {"date": str() as text} | {"timestamp": str() as text}:
            return from_literal(f"each side of {op}", "datetime", {"timestamp": text})
    return from_literal(f"each side of {op}", "datetime", node)
