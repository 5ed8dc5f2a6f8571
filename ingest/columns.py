"""Where a column's values come from, and how they become ours: translated, converted, or one constant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import schemas
from cim.dictionary import Dictionary, Property
from cim.errors import InvalidData

if TYPE_CHECKING:
    from ingest.expressions import Expression

_UNITS = schemas.V1 / "units.json"


@dataclass(frozen=True, slots=True)
class Column:
    """Where a column's values come from: a field, an expression over fields, or one constant.

    Attributes
    ----------
    values : value of the source, as text, to value of ours; None for none.
    vocabulary : name of a vocabulary of the column's codelist, whose own table translates after `values`.
    otherwise : what a value becomes that neither translates nor the codelist has; None makes it a reject.
    factor : ours = source × factor. unit : unit of the source, converted to the column's own.
    """

    field: str | None = None
    expression: Expression | None = None
    values: Mapping[str, Any] | None = None
    vocabulary: str | None = None
    otherwise: str | None = None
    factor: float | None = None
    unit: str | None = None
    constant: str | float | bool | None = None

    @property
    def fields(self) -> frozenset[str]:
        """The fields it reads."""
        if self.expression is not None:
            return self.expression.fields
        return frozenset() if self.field is None else frozenset({self.field})

    def translation(self, prop: Property, dictionary: Dictionary) -> Mapping[str, Any] | None:
        """Return source value to our value, None where nothing is translated.

        Where a vocabulary has one word for several of ours, the first in the codelist's order is taken.
        """
        if self.vocabulary is None:
            return {} if self.values is None and self.otherwise is not None else self.values
        assert prop.codelist is not None  # checked when the mapping was read
        codelist = dictionary.codelists[prop.codelist]
        table = {
            value.mappings[self.vocabulary]: value.value
            for value in reversed(list(codelist.values.values()))
            if self.vocabulary in value.mappings
        }
        return table | dict(self.values or {})

    def scale(self, prop: Property) -> float | None:
        """Return what a number of the source is multiplied by to be in the column's unit, None for as it is."""
        if self.unit is None:
            return self.factor
        return conversion(self.unit, prop.unit) * (self.factor or 1.0)


def conversion(source: str, target: str | None) -> float:
    """Return how many `target` one `source` is; units by UCUM code or by a name in `schemas/v1/units.json`.

    Raises
    ------
    InvalidData : an unknown unit, or two that do not measure the same.
    """
    table = units()
    if target is None:
        raise InvalidData(f"unit {source!r}: the column has no unit to convert to")
    for name in (source, target):
        if name not in table:
            raise InvalidData(f"unknown unit {name!r}; known are {', '.join(sorted(table))}")
    (kind, given), (wanted_kind, wanted) = table[source], table[target]
    if kind != wanted_kind:
        raise InvalidData(f"unit {source!r} measures {kind}, but {target!r} measures {wanted_kind}")
    return given / wanted


@cache
def units() -> Mapping[str, tuple[str, float]]:
    """Return by unit or name of a unit what it measures and its size in the base unit."""
    document = json.loads(_UNITS.read_text(encoding="utf-8"))
    found: dict[str, tuple[str, float]] = {}
    for unit in document["units"]:
        numerator, _, denominator = str(unit["size"]).partition("/")
        size = float(numerator) / float(denominator or 1)
        for name in (unit["unit"], *unit.get("names", ())):
            found[name] = (unit["measures"], size)
    return MappingProxyType(found)
