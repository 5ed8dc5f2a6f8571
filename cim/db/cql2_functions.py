"""The functions that filters may call beyond those of CQL2 itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from cim.db.spatial import postgis
from cim.db.values import QueryKind

Argument = Literal["geometry", "time", "string"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one property: its name, what it gives, of what kind of property, and its SQL."""

    name: str
    description: str
    argument: Argument
    returns: QueryKind
    build: Callable[[sa.ColumnElement[Any]], sa.ColumnElement[Any]]


def _measure(name: str) -> Callable[[sa.ColumnElement[Any]], sa.ColumnElement[Any]]:
    return lambda geom: postgis(name, geom, type_=sa.Double())


def _year(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.cast(sa.extract("year", value), sa.BigInteger)


FUNCTIONS = {
    one.name: one
    for one in (
        Function("area", "Area in square metres, in the storage CRS.", "geometry", "number", _measure("ST_Area")),
        Function("length", "Length in metres, in the storage CRS.", "geometry", "number", _measure("ST_Length")),
        Function(
            "perimeter", "Perimeter in metres, in the storage CRS.", "geometry", "number", _measure("ST_Perimeter")
        ),
        Function("year", "Year of a date or instant, in UTC.", "time", "integer", _year),
    )
}
