"""From the source's values to those of the dictionary: types, translations, codelists and limits, by column.

Whole columns are converted at once. Text is read value by value, but each distinct value only once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cim.db.tables import ARROW_TYPES
from cim.dictionary import Codelist, Dictionary, Kind, Property
from cim.log.entry import MAX_INTEGER
from ingest.columns import Column
from ingest.faults import Faults, mask_of

Array = Any  # pa.Array or pa.ChunkedArray: pyarrow ships no type information

_TRUE = frozenset({"1", "t", "true", "y", "yes", "是", "有"})
_FALSE = frozenset({"0", "f", "false", "n", "no", "否", "无"})
_INTEGER = re.compile(r"[+-]?\d{1,19}(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_DATE = re.compile(r"(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})(?:[T ].*)?")
# Of a value, and of the values of a codelist, so much is shown in a message.
_SHOWN = 60
_VALUES_SHOWN = 20


def is_json(kind: pa.DataType) -> bool:
    """Tell whether values of this Arrow type are nested, as structures or as the text of their JSON."""
    return bool(pa.types.is_nested(kind) or isinstance(kind, pa.JsonType))


def convert(source: Array, prop: Property, column: Column, dictionary: Dictionary, faults: Faults) -> Array:
    """Return the column as the dictionary wants it; a value it cannot take becomes null and a fault."""
    table = column.translation(prop, dictionary)
    if table is not None:
        source = _translate(source, table, None if prop.codelist else column.otherwise)
    factor = column.scale(prop)
    if factor is not None:
        source = pc.multiply(number_of(source, prop.name, faults), factor)
    if prop.codelist is not None:
        converted = _of_codelist(source, prop, dictionary.codelists[prop.codelist], column.otherwise, faults)
    else:
        converted = _CONVERTERS[prop.kind](source, prop, faults)
    _check_limits(converted, prop, faults)
    return converted


def repeat(value: str | float | bool, prop: Property, dictionary: Dictionary, faults: Faults) -> Array:
    """Return a column of one value, converted and checked like any other."""
    return convert(pa.array([str(value)] * faults.count), prop, Column(), dictionary, faults)


def text_of(source: Array) -> Array:
    """Return any column as text without outer white space, empty text as null."""
    kind = source.type
    if isinstance(kind, pa.BaseExtensionType):
        source = pa.chunked_array([chunk.storage for chunk in source.chunks], kind.storage_type)
    elif pa.types.is_floating(kind):
        source = distinct(source, _plain)
    elif pa.types.is_nested(kind) or pa.types.is_binary(kind):
        source = pa.array([_as_json(value) for value in source.to_pylist()], pa.string())
    if not pa.types.is_string(source.type):
        source = source.cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(source)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def attribute_of(source: Array, name: str, faults: Faults) -> Array:
    """Return a field the dictionary does not name as text, int64, float64 or boolean, to become JSON.

    Dates become ISO 8601 text, nested values the text of their JSON, NaN null, and integers that JSON readers would
    round (above 2^53) text, of all the column where it is of integers.
    """
    kind = source.type
    if pa.types.is_boolean(kind):
        return source
    if pa.types.is_integer(kind):
        extremes = pc.min_max(source).as_py()
        small = all(v is None or abs(v) <= MAX_INTEGER for v in extremes.values())
        return source.cast(pa.int64() if small else pa.string())
    if pa.types.is_floating(kind):
        return _finite(source.cast(pa.float64()), name, faults)
    if is_json(kind):
        # Structures are JSON; what calls itself so may be a field whose values are of several kinds.
        return distinct(text_of(source), _sound_json if pa.types.is_nested(kind) else _json_or_text, name, faults)
    return _without_nul(source if pa.types.is_string(kind) else text_of(source), name, faults)


def _translate(source: Array, values: Mapping[str, Any], otherwise: str | None) -> Array:
    """Replace values that the mapping translates; others become `otherwise`, or stay for the type to judge."""
    table = {key.strip(): None if value is None else str(value) for key, value in values.items()}
    return distinct(text_of(source), lambda text: table.get(text, text if otherwise is None else otherwise))


def _of_codelist(source: Array, prop: Property, codelist: Codelist, otherwise: str | None, faults: Faults) -> Array:
    labels = {
        label.casefold(): value.value for value in codelist.values.values() for label in (value.title, value.title_zh)
    }

    def find(text: str) -> str:
        if text in codelist:
            return text
        if text.casefold() in labels:
            return labels[text.casefold()]
        if otherwise is not None:
            return otherwise
        raise ValueError(f"a value of {codelist.name} ({_listed(list(codelist.values))})")

    return distinct(text_of(source), find, prop.name, faults)


def _listed(values: list[str]) -> str:
    if len(values) <= _VALUES_SHOWN:
        return ", ".join(values)
    return f"{len(values)} values, {values[0]} to {values[-1]}"


def _to_string(source: Array, prop: Property, faults: Faults) -> Array:
    return _without_nul(text_of(source), prop.name, faults)


def _to_integer(source: Array, prop: Property, faults: Faults) -> Array:
    kind = source.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        # Doubles hold every integer the log can; what is beyond is refused either way.
        numbers = source.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            whole = (numbers == np.floor(numbers)) & (np.abs(numbers) <= MAX_INTEGER)
        missing = np.isnan(numbers)
        faults.add(~whole & ~missing, lambda row: _refusal(prop.name, source[row].as_py(), "an integer"))
        return pa.array(np.where(whole, numbers, 0).astype(np.int64), mask=~whole)

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text) or abs(value := int(text.split(".")[0])) > MAX_INTEGER:
            raise ValueError("an integer")
        return value

    return distinct(text_of(source), parse, prop.name, faults, pa.int64())


def _to_number(source: Array, prop: Property, faults: Faults) -> Array:
    return number_of(source, prop.name, faults)


def number_of(source: Array, name: str, faults: Faults) -> Array:
    """Return any column as float64; text that is no number, and what is infinite, becomes null and a fault."""
    kind = source.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _finite(source.cast(pa.float64(), safe=False), name, faults)

    def parse(text: str) -> float:
        if not _NUMBER.fullmatch(text) or not math.isfinite(value := float(text)):
            raise ValueError("a number")
        return value

    return distinct(text_of(source), parse, name, faults, pa.float64())


def _to_boolean(source: Array, prop: Property, faults: Faults) -> Array:
    if pa.types.is_boolean(source.type):
        return source

    def parse(text: str) -> bool:
        folded = text.casefold()
        if folded not in _TRUE | _FALSE:
            raise ValueError("true or false")
        return folded in _TRUE

    return distinct(text_of(source), parse, prop.name, faults, pa.bool_())


def _to_date(source: Array, prop: Property, faults: Faults) -> Array:
    if pa.types.is_date(source.type) or pa.types.is_timestamp(source.type):
        return source.cast(pa.date32(), safe=False)

    def parse(text: str) -> date:
        match = _DATE.fullmatch(text)
        try:
            return date(int(match[1]), int(match[3]), int(match[4])) if match else date.fromisoformat(text)
        except ValueError as error:
            raise ValueError("a date such as 1987-06-30") from error

    return distinct(text_of(source), parse, prop.name, faults, pa.date32())


def _to_datetime(source: Array, prop: Property, faults: Faults) -> Array:
    if pa.types.is_timestamp(source.type):
        return source.cast(ARROW_TYPES["datetime"], safe=False)

    def parse(text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise ValueError("a date and time such as 2024-06-30T12:00:00Z") from error
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    return distinct(text_of(source), parse, prop.name, faults, ARROW_TYPES["datetime"])


def _to_object(source: Array, prop: Property, faults: Faults) -> Array:
    return distinct(text_of(source), _sound_json, prop.name, faults)


_CONVERTERS: Mapping[Kind, Callable[[Array, Property, Faults], Array]] = MappingProxyType(
    {
        "string": _to_string,
        "integer": _to_integer,
        "number": _to_number,
        "boolean": _to_boolean,
        "date": _to_date,
        "datetime": _to_datetime,
        "object": _to_object,
    }
)


def _check_limits(values: Array, prop: Property, faults: Faults) -> None:
    for limit, exceeds, word in ((prop.minimum, pc.less, "least"), (prop.maximum, pc.greater, "most")):
        if limit is not None:
            refuse = partial(_refuse_row, prop, values, f"at {word} {limit:g}")
            faults.add(mask_of(exceeds(values, limit)), refuse)
    if prop.max_length is not None:
        longer = mask_of(pc.greater(pc.utf8_length(values), prop.max_length))
        faults.add(longer, partial(_refuse_row, prop, values, f"at most {prop.max_length} characters"))
    if prop.pattern is not None:
        pattern = re.compile(prop.pattern)
        wrong = distinct(values, lambda text: pattern.search(text) is None, kind=pa.bool_())
        faults.add(mask_of(wrong), partial(_refuse_row, prop, values, f"the form {prop.pattern}"))
    if prop.required:
        faults.add(mask_of(pc.is_null(values)), f"{prop.name}: is missing, but every {prop.title} needs one")


def distinct(
    source: Array,
    function: Callable[[Any], Any],
    name: str | None = None,
    faults: Faults | None = None,
    kind: pa.DataType | None = None,
) -> Array:
    """Apply a function to each distinct value; its ValueError says what was expected and faults the rows."""
    encoded = source.combine_chunks() if isinstance(source, pa.ChunkedArray) else source
    encoded = encoded.dictionary_encode()
    results: list[Any] = []
    refused: dict[int, str] = {}
    for position, value in enumerate(encoded.dictionary.to_pylist()):
        try:
            results.append(function(value))
        except ValueError as error:
            results.append(None)
            refused[position] = str(error)
    if refused and name is not None and faults is not None:
        indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        faults.add(
            np.isin(indices, list(refused)),
            lambda row: _refusal(name, encoded.dictionary[int(indices[row])].as_py(), refused[int(indices[row])]),
        )
    return pa.array(results, kind or pa.string()).take(encoded.indices)


def _finite(numbers: Array, name: str, faults: Faults) -> Array:
    values = numbers.to_numpy(zero_copy_only=False)
    infinite = np.isinf(values)
    faults.add(infinite, f"{name}: is infinite, expected a finite number or none")
    # A missing number arrives as NaN from formats without null.
    return pa.array(np.where(infinite, 0.0, values), mask=np.isnan(values) | infinite)


def _without_nul(text: Array, name: str, faults: Faults) -> Array:
    faulty = pc.match_substring(text, "\0")
    if not pc.any(faulty).as_py():
        return text
    faults.add(mask_of(faulty), f"{name}: holds the character U+0000, which no database text can")
    return pc.if_else(pc.fill_null(faulty, False), pa.scalar(None, pa.string()), text)


def _refuse_row(prop: Property, values: Array, wanted: str, row: int) -> str:
    return _refusal(prop.name, values[row].as_py(), wanted)


def _refusal(name: str, value: object, wanted: str) -> str:
    shown = value if not isinstance(value, str) or len(value) <= _SHOWN else value[:_SHOWN] + "…"
    return f"{name}: expected {wanted}, got {shown!r}"


def _plain(number: float) -> str | None:
    """Write a number as people do: whole ones without a fraction."""
    if math.isnan(number):
        return None
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _as_json(value: Any) -> str | None:
    if value is None or isinstance(value, bytes):
        return None if value is None else value.hex()
    return json.dumps(value, ensure_ascii=False, default=str)


def _sound_json(text: str) -> str:
    """Return JSON text that the database and the log can both hold, else raise ValueError."""
    try:
        value = json.loads(text, parse_constant=_refused, parse_float=_finite_number, parse_int=_exact_integer)
        plain = json.dumps(value, ensure_ascii=False)
        plain.encode()
    except (ValueError, RecursionError) as error:
        raise ValueError("JSON with numbers a double can hold") from error
    if "\\u0000" in plain:
        raise ValueError("JSON without U+0000")
    return plain


def _json_or_text(text: str) -> str:
    """Return the JSON of a value that GDAL wrote of a field of several kinds, where text has no quotes."""
    try:
        value = json.loads(text)
    except ValueError:
        return _sound_json(json.dumps(text))
    except RecursionError:
        return _sound_json(text)
    otherwise = isinstance(value, float) and math.isfinite(value) and text not in (repr(value), f"{value:.17g}")
    rounded = isinstance(value, int) and abs(value) > MAX_INTEGER
    return _sound_json(json.dumps(text) if otherwise or rounded else text)


def _refused(name: str) -> float:
    raise ValueError(name)


def _finite_number(text: str) -> float:
    return value if math.isfinite(value := float(text)) else _refused(text)


def _exact_integer(text: str) -> float:
    return value if abs(value := int(text)) <= MAX_INTEGER else _refused(text)
