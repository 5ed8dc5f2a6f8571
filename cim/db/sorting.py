"""Order the objects of a selection by its properties, and go on where a page ended, without counting from the front.

Missing values come last, whatever the direction; equal ones are in the order of their codes, so that every object has
one place. Text is in code-point order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from cim.db.values import QueryKind, bound, from_text, queryables
from cim.dictionary import FeatureType
from cim.errors import InvalidFilter


class Key(NamedTuple):
    """A property to order by."""

    name: str
    descending: bool = False


def sortables(feature_type: FeatureType) -> dict[str, QueryKind]:
    """Return what objects can be ordered by, with its kind."""
    return {name: kind for name, kind in queryables(feature_type).items() if kind != "geometry"}


def check(feature_type: FeatureType, keys: Sequence[Key]) -> None:
    """Refuse what objects cannot be ordered by.

    Raises
    ------
    InvalidFilter : no such property, or one named twice.
    """
    known = sortables(feature_type)
    for key in keys:
        if key.name not in known:
            raise InvalidFilter(
                f"{feature_type.name} cannot be sorted by {key.name[:60]!r}; it can by {', '.join(known)}"
            )
    if len({key.name for key in keys}) < len(keys):
        raise InvalidFilter("sortby names a property twice")


def ordering(source: sa.FromClause, feature_type: FeatureType, keys: Sequence[Key]) -> list[sa.ColumnElement[Any]]:
    """Return what to order by, the code last."""
    columns = [(_column(source, feature_type, key.name), key.descending) for key in keys]
    ordered = [(column.desc() if descending else column.asc()).nulls_last() for column, descending in columns]
    return [*ordered, sa.collate(source.c.code, "C").asc()]


def place_of(rows: sa.FromClause, keys: Sequence[Key]) -> sa.ColumnElement[str]:
    """Return where a row stands, as text for `beyond`."""
    return sa.cast(sa.func.json_build_array(*(rows.c[key.name] for key in keys), rows.c.code), sa.Text)


def beyond(source: sa.FromClause, feature_type: FeatureType, keys: Sequence[Key], place: str) -> sa.ColumnElement[bool]:
    """Return the condition that a row comes after a place.

    Raises
    ------
    InvalidFilter : the place is none of this order.
    """
    try:
        values = orjson.loads(place)
    except orjson.JSONDecodeError:
        values = None
    if not isinstance(values, list) or len(values) != len(keys) + 1 or not isinstance(values[-1], str):
        raise InvalidFilter("next is no token of this order; begin at the first page")
    found: sa.ColumnElement[bool] = sa.collate(source.c.code, "C") > sa.literal(values[-1], sa.Text)
    for key, value in reversed(list(zip(keys, values[:-1], strict=True))):
        column = _column(source, feature_type, key.name)
        if value is None:
            found = sa.and_(column.is_(None), found)
            continue
        kind = sortables(feature_type)[key.name]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        known = bound(from_text(key.name, kind, text))
        further = column < known if key.descending else column > known
        found = sa.or_(further, column.is_(None), sa.and_(column == known, found))
    return found


def _column(source: sa.FromClause, feature_type: FeatureType, name: str) -> sa.ColumnElement[Any]:
    column = source.c[name]
    return sa.collate(column, "C") if sortables(feature_type)[name] == "string" else column
