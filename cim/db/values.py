"""Turn what a request says into a bound parameter of a column's type, or say why it cannot be one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal

import sqlalchemy as sa

from cim.dictionary import FeatureType, Kind
from cim.errors import InvalidFilter

Scalar = str | int | float | bool | date | datetime
QueryKind = Literal[Kind, "geometry"]

TYPES: Mapping[str, sa.types.TypeEngine[Any]] = {
    "string": sa.Text(),
    "integer": sa.BigInteger(),
    "number": sa.Double(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "datetime": sa.DateTime(timezone=True),
}
# Up to here every integer has a double of its own; CQL2 numbers arrive as doubles.
_EXACT = 2.0**53
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def queryables(feature_type: FeatureType) -> dict[str, QueryKind]:
    """Return what a filter may name, with its kind: the code, public simple properties, the geometry.

    Private properties are not there: bisecting with a filter would read them.
    """
    kinds: dict[str, QueryKind] = {"code": "string"}
    kinds |= {p.name: p.kind for p in feature_type.public_properties if p.kind != "object"}
    if feature_type.geometry is not None:
        kinds["geom"] = "geometry"
    return kinds


def from_text(name: str, kind: QueryKind, text: str) -> Scalar:
    """Return the value that a query parameter's text means for a property of that kind.

    Raises
    ------
    InvalidFilter : the text is not of that kind.
    """
    try:
        match kind:
            case "integer":
                return _bigint(int(text))
            case "number":
                return _finite(float(text))
            case "boolean":
                return {"true": True, "false": False}[text.lower()]
            case "date" | "datetime":
                return instant(text) if kind == "datetime" else day(text)
            case "string":
                return clean(text)
            case _:
                raise ValueError(kind)
    except (ValueError, KeyError, OverflowError):
        raise InvalidFilter(f"{name} is {_article(kind)}, got {text!r}") from None


def from_literal(name: str, kind: QueryKind, value: object) -> Scalar:
    """Return the value that a CQL2 literal means against something of that kind.

    An integer compared with a number that is not whole stays a number. Dates may come as plain strings: GDAL
    writes them so.

    Raises
    ------
    InvalidFilter : the literal is of another kind.
    """
    try:
        match kind, value:
            case "string", str():
                return clean(value)
            case "boolean", bool():
                return value
            case "integer" | "number", bool():
                pass
            case "integer", float() | int():
                number = _finite(value)
                if abs(number) >= _EXACT:
                    raise ValueError
                return int(number) if number.is_integer() else number
            case "number", float() | int():
                return _finite(value)
            case "date" | "datetime", {"date": str() as text}:
                return day(text)
            case "date" | "datetime", {"timestamp": str() as text}:
                return instant(text)
            case "date" | "datetime", str():
                return day(value) if _DATE.fullmatch(value) else instant(value)
    except (ValueError, OverflowError):
        pass
    raise InvalidFilter(f"{name} is {_article(kind)}, got {_shown(value)}; {_HINTS[kind]}")


def day(text: str) -> date:
    """Return an RFC 3339 full-date; ValueError where it is none."""
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)


def instant(text: str) -> datetime:
    """Return an RFC 3339 date-time, a date alone as its first moment, UTC where no zone is given; else ValueError."""
    if _DATE.fullmatch(text):
        text += "T00:00:00Z"
    parsed = datetime.fromisoformat(text.strip().replace("t", "T").replace("z", "Z"))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)


def clean(text: str) -> str:
    """Return the text; ValueError where PostgreSQL could not hold it (NUL, half a surrogate pair)."""
    if "\0" in text:
        raise ValueError("NUL")
    text.encode("utf-8")
    return text


def bound(value: Scalar) -> sa.ColumnElement[Any]:
    """Return the value as a bound parameter cast to the type it has."""
    match value:
        case bool():
            return sa.literal(value, TYPES["boolean"])
        case int():
            return sa.literal(value, TYPES["integer"])
        case float():
            return sa.literal(value, TYPES["number"])
        case datetime():
            return sa.literal(value, TYPES["datetime"])
        case date():
            return sa.literal(value, TYPES["date"])
        case _:
            return sa.literal(value, TYPES["string"])


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _bigint(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError(value)
    return value


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _shown(value: object) -> str:
    text = repr(int(value)) if isinstance(value, float) and value.is_integer() else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_HINTS: Mapping[str, str] = {
    "string": "write it in single quotes",
    "integer": "write a whole number below 2^53",
    "number": "write a finite number",
    "boolean": "write TRUE or FALSE",
    "date": "write DATE('2026-01-31')",
    "datetime": "write TIMESTAMP('2026-01-31T08:00:00Z')",
    "geometry": "write a geometry such as POINT(117.0 39.0)",
    "object": "it cannot be compared",
}
