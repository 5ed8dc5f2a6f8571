"""What the parts of an expression mean: operators and functions over whole Arrow columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cim.errors import InvalidData
from ingest.faults import Faults
from ingest.values import Array, distinct, number_of, text_of

Field = Callable[[str], Array]


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a parsed expression: what it is, and its parts."""

    kind: str
    value: Any = None
    parts: tuple[Node, ...] = ()


class Evaluation:
    """One run over a layer: operands become columns or single values (pa.Scalar)."""

    def __init__(self, field: Field, count: int, name: str, faults: Faults) -> None:
        self.field = field
        self.count = count
        self.name = name
        self.faults = faults

    def of(self, node: Node) -> Any:
        """Return what a part gives: a column or a single value."""
        match node.kind:
            case "field":
                return self.field(node.value)
            case "number":
                return pa.scalar(node.value, pa.float64())
            case "text":
                return pa.scalar(node.value, pa.string())
            case "constant":
                return pa.scalar(node.value, pa.string() if node.value is None else pa.bool_())
            case "not":
                return pc.invert(self.truth(node.parts[0]))
            case "logic":
                together = pc.and_kleene if node.value == "and" else pc.or_kleene
                return together(self.truth(node.parts[0]), self.truth(node.parts[1]))
            case "arithmetic":
                return self.arithmetic(node)
            case "compare":
                return self.compare(node)
            case _:
                return FUNCTIONS[node.value].run(self, node.parts)

    def text(self, node: Node) -> Any:
        """Return what a part gives as text."""
        value = self.of(node)
        if isinstance(value, pa.Scalar):
            return value if pa.types.is_string(value.type) else text_of(pa.array([value.as_py()], value.type))[0]
        return text_of(value)

    def number(self, node: Node) -> Any:
        """Return what a part gives as float64; text that holds no number is a fault."""
        value = self.of(node)
        if isinstance(value, pa.Scalar):
            column = number_of(pa.array([value.as_py()], value.type), self.name, self.faults)
            return column[0]
        if pa.types.is_boolean(value.type):
            return value.cast(pa.float64())
        return number_of(value, self.name, self.faults)

    def truth(self, node: Node) -> Any:
        """Return what a condition gives; InvalidData for what is none."""
        value = self.of(node)
        if not pa.types.is_boolean(value.type):
            raise InvalidData(f"{self.name}: a condition is wanted, such as floors > 0, got a {value.type}")
        return value

    def arithmetic(self, node: Node) -> Any:
        """Return a sum, difference, product or quotient."""
        left, right = (self.number(part) for part in node.parts)
        if node.value == "/":
            # Nothing can be said about a share of zero.
            right = pc.if_else(pc.equal(right, 0.0), pa.scalar(None, pa.float64()), right)
        return {"+": pc.add, "-": pc.subtract, "*": pc.multiply, "/": pc.divide}[node.value](left, right)

    def compare(self, node: Node) -> Any:
        """Return a comparison: as numbers if one side is, as dates if one side is, else as text."""
        sides = [self.of(part) for part in node.parts]
        if any(_is_number(side) for side in sides):
            sides = [self.number(part) for part in node.parts]
        elif any(pa.types.is_date(side.type) or pa.types.is_timestamp(side.type) for side in sides):
            sides = [_dates(side) for side in sides]
        elif not all(pa.types.is_boolean(side.type) for side in sides):
            sides = [self.text(part) for part in node.parts]
        return _COMPARE[node.value](*sides)


_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "=": pc.equal,
        "!=": pc.not_equal,
        "<": pc.less,
        "<=": pc.less_equal,
        ">": pc.greater,
        ">=": pc.greater_equal,
    }
)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the set: how it is used, what it does, how many arguments it takes.

    `literal` are the places of arguments that must be written out; `check` judges the arguments when it is parsed.
    """

    usage: str
    meaning: str
    least: int
    most: int
    run: Callable[[Evaluation, tuple[Node, ...]], Any]
    literal: tuple[int, ...] = ()
    check: Callable[..., object] | None = None


def _concat(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    texts = [e.text(part) for part in parts]
    joined = pc.binary_join_element_wise(*texts, "", null_handling="replace", null_replacement="")
    return text_of(column_of(joined, e.count))


def _coalesce(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    return pc.coalesce(*_alike(e, parts))


def _case(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    conditions = [e.truth(part) for part in parts[0 : len(parts) // 2 * 2 : 2]]
    values = _alike(e, [*parts[1::2], *(parts[-1:] if len(parts) % 2 else [Node("constant")])])
    result = values[-1]
    for condition, value in zip(reversed(conditions), reversed(values[:-1]), strict=True):
        result = pc.if_else(pc.fill_null(condition, False), value, result)
    return result


def _lookup(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    pairs = parts[1 : 1 + (len(parts) - 1) // 2 * 2]
    table = {_as_text(pairs[i].value): pairs[i + 1].value for i in range(0, len(pairs), 2)}
    rest = parts[-1].value if len(parts) % 2 == 0 else None
    plain = {key: None if value is None else _as_text(value) for key, value in table.items()}
    otherwise = None if rest is None else _as_text(rest)
    return distinct(column_of(e.text(parts[0]), e.count), lambda text: plain.get(text, otherwise))


def _substring(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    start = int(parts[1].value) - 1
    stop = start + int(parts[2].value) if len(parts) > 2 else None
    return _blank_to_null(pc.utf8_slice_codeunits(e.text(parts[0]), start, stop))


def _check_substring(_text: Any, start: Any, length: Any = 1.0) -> None:
    if not all(isinstance(n, float) and n.is_integer() and n >= 1 for n in (start, length)):
        raise ValueError("places are counted from 1, lengths are at least 1")


def _extract(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    found = pc.extract_regex(e.text(parts[0]), f"(?P<found>{parts[1].value})")
    return _blank_to_null(pc.struct_field(found, "found"))


def _check_extract(_text: Any, pattern: str) -> None:
    # RE2: linear in the text, whatever the pattern.
    pc.extract_regex(pa.array(["x"]), f"(?P<found>{pattern})")


def _split(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    separator, place = parts[1].value, int(parts[2].value) - 1

    def piece(text: str) -> str | None:
        pieces = text.split(separator)
        return pieces[place].strip() or None if place < len(pieces) else None

    return distinct(column_of(e.text(parts[0]), e.count), piece)


def _check_split(_text: Any, separator: Any, place: Any) -> None:
    if not separator or not isinstance(place, float) or not place.is_integer() or place < 1:
        raise ValueError("needs a separator and a place counted from 1")


def _date(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    form = parts[1].value

    def read(text: str) -> date:
        try:
            return datetime.strptime(text, form).date()
        except ValueError as error:
            raise ValueError(f"a date of the form {form}") from error

    return distinct(column_of(e.text(parts[0]), e.count), read, e.name, e.faults, pa.date32())


def _check_date(_text: Any, form: str) -> None:
    day = date(2001, 2, 3)
    if datetime.strptime(day.strftime(form), form).date() != day:
        raise ValueError(f"{form!r} does not say a day; write it like '%Y-%m-%d'")


def _year(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    value = e.of(parts[0])
    if pa.types.is_date(value.type) or pa.types.is_timestamp(value.type):
        return pc.year(value)
    return pc.struct_field(pc.extract_regex(e.text(parts[0]), r"(?P<year>\d{4})"), "year")


def _round(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    digits = int(parts[1].value) if len(parts) > 1 else 0
    return pc.round(e.number(parts[0]), digits, round_mode="half_towards_infinity")


def _numeric(function: Callable[..., Any]) -> Callable[[Evaluation, tuple[Node, ...]], Any]:
    return lambda e, parts: function(*(e.number(part) for part in parts))


def _textual(function: Callable[..., Any]) -> Callable[[Evaluation, tuple[Node, ...]], Any]:
    return lambda e, parts: _blank_to_null(function(e.text(parts[0]), *(part.value for part in parts[1:])))


def _number(e: Evaluation, parts: tuple[Node, ...]) -> Any:
    """Return the number a text holds, none where it holds none."""
    value = e.of(parts[0])
    if not pa.types.is_string(value.type):
        return e.number(parts[0])
    found = pc.struct_field(pc.extract_regex(value, r"(?P<number>[+-]?\d+(?:\.\d+)?)"), "number")
    return found.cast(pa.float64())


_MANY = 100

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "coalesce": Function("coalesce(a, b, …)", "the first that is there", 1, _MANY, _coalesce),
        "concat": Function("concat(a, b, …)", "texts one after another, missing ones left out", 1, _MANY, _concat),
        "case": Function(
            "case(condition, value, …, otherwise)", "the value of the first condition that holds", 2, _MANY, _case
        ),
        "lookup": Function(
            "lookup(a, 'from', 'to', …, otherwise)",
            "a translated word by word",
            3,
            _MANY,
            _lookup,
            tuple(range(1, _MANY)),
        ),
        "substring": Function(
            "substring(a, start, length)",
            "characters from a place, counted from 1",
            2,
            3,
            _substring,
            (1, 2),
            _check_substring,
        ),
        "split": Function("split(a, ';', n)", "the n-th piece between separators", 3, 3, _split, (1, 2), _check_split),
        "extract": Function(
            "extract(a, 'pattern')", "what matches a regular expression (RE2)", 2, 2, _extract, (1,), _check_extract
        ),
        "replace": Function(
            "replace(a, 'from', 'to')", "a with a piece replaced", 3, 3, _textual(pc.replace_substring), (1, 2)
        ),
        "upper": Function("upper(a)", "in capitals", 1, 1, _textual(pc.utf8_upper)),
        "lower": Function("lower(a)", "in small letters", 1, 1, _textual(pc.utf8_lower)),
        "trim": Function("trim(a)", "without outer white space", 1, 1, _textual(pc.utf8_trim_whitespace)),
        "length": Function("length(a)", "number of characters", 1, 1, lambda e, p: pc.utf8_length(e.text(p[0]))),
        "number": Function("number(a)", "the first number in a text such as '12.5 m'", 1, 1, _number),
        "round": Function("round(a, digits)", "rounded, halves up", 1, 2, _round, (1,)),
        "floor": Function("floor(a)", "the whole number below", 1, 1, _numeric(pc.floor)),
        "ceil": Function("ceil(a)", "the whole number above", 1, 1, _numeric(pc.ceil)),
        "abs": Function("abs(a)", "without sign", 1, 1, _numeric(pc.abs)),
        "least": Function("least(a, b, …)", "the smallest that is there", 1, _MANY, _numeric(pc.min_element_wise)),
        "greatest": Function("greatest(a, b, …)", "the largest that is there", 1, _MANY, _numeric(pc.max_element_wise)),
        "date": Function("date(a, '%Y%m%d')", "a day written in a form", 2, 2, _date, (1,), _check_date),
        "year": Function("year(a)", "the year of a date, or four digits of a text", 1, 1, _year),
        "is_null": Function("is_null(a)", "whether it is missing", 1, 1, lambda e, p: pc.is_null(e.of(p[0]))),
    }
)


def _alike(e: Evaluation, parts: Sequence[Node]) -> list[Any]:
    """Return values that can stand in one column: numbers if all are, dates if all are, else text."""
    values = [e.of(part) for part in parts]
    missing = [isinstance(v, pa.Scalar) and not v.is_valid for v in values]
    known = [v for v, none in zip(values, missing, strict=True) if not none]
    for fits, kind in (
        (_is_number, pa.float64()),
        (lambda v: pa.types.is_boolean(v.type), pa.bool_()),
        (lambda v: pa.types.is_date(v.type), pa.date32()),
    ):
        if known and all(fits(v) for v in known):
            return [pa.scalar(None, kind) if none else v.cast(kind) for v, none in zip(values, missing, strict=True)]
    return [e.text(part) for part in parts]


def _is_number(value: Any) -> bool:
    return bool(pa.types.is_integer(value.type) or pa.types.is_floating(value.type))


def _dates(value: Any) -> Any:
    return value.cast(pa.date32())


def _as_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _blank_to_null(text: Any) -> Any:
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def column_of(value: Any, count: int) -> Array:
    """Return a column of `count` values, of a single value too."""
    return pa.repeat(value, count) if isinstance(value, pa.Scalar) else value
