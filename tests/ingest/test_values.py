from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from cim.dictionary import Kind, Property, load_dictionary
from ingest.faults import Faults
from ingest.mapping import Column
from ingest.values import attribute_of, convert, repeat

DICTIONARY = load_dictionary()


def prop(kind: Kind = "string", **changes: Any) -> Property:
    return replace(Property("column", kind, "Column", "", ""), **changes)


def converted(source: pa.Array, wanted: Property, column: Column = Column()) -> tuple[list[Any], dict[int, str]]:  # noqa: B008
    faults = Faults(len(source))
    result = convert(pa.chunked_array([source]), wanted, column, DICTIONARY, faults)
    return result.to_pylist(), dict(faults)


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        ("string", pa.array(["  a b ", "", None, "住宅"]), ["a b", None, None, "住宅"]),
        ("string", pa.array([1, None]), ["1", None]),
        ("string", pa.array([3.0, 2.5, math.nan]), ["3", "2.5", None]),
        ("integer", pa.array(["7", " +8 ", "9.0", "-1", None, ""]), [7, 8, 9, -1, None, None]),
        ("integer", pa.array([7.0, math.nan, None]), [7, None, None]),
        ("integer", pa.array([7, None], pa.int16()), [7, None]),
        ("integer", pa.array([2**53 - 1, 1 - 2**53], pa.int64()), [2**53 - 1, 1 - 2**53]),
        ("number", pa.array(["1", "2.5", ".5", "1e3", None]), [1.0, 2.5, 0.5, 1000.0, None]),
        ("number", pa.array([1.5, math.nan, None]), [1.5, None, None]),
        ("number", pa.array([2], pa.int32()), [2.0]),
        ("number", pa.array([2**60], pa.int64()), [2.0**60]),
        ("boolean", pa.array(["是", "no", "T", "0", None]), [True, False, True, False, None]),
        ("boolean", pa.array([1, 0, None]), [True, False, None]),
        ("boolean", pa.array([True, None]), [True, None]),
        (
            "date",
            pa.array(["1987-06-30", "1987/6/3", "19870603", "1987.06.03", "1987-06-30T10:00:00"]),
            [dt.date(1987, 6, 30), *[dt.date(1987, 6, 3)] * 3, dt.date(1987, 6, 30)],
        ),
        ("date", pa.array([dt.datetime(1987, 6, 30, 23, 59)]), [dt.date(1987, 6, 30)]),
        ("datetime", pa.array(["2024-06-30T12:00:00+08:00"]), [dt.datetime(2024, 6, 30, 4, tzinfo=dt.UTC)]),
        ("object", pa.array(['{"a": [1, null]}', None]), ['{"a": [1, null]}', None]),
    ],
)
def test_what_sources_hold_becomes_what_the_dictionary_wants(kind: Kind, source: pa.Array, expected: list[Any]) -> None:
    assert converted(source, prop(kind)) == (expected, {})


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("integer", "12 floors", "an integer"),
        ("integer", "1.5", "an integer"),
        ("integer", str(2**53), "an integer"),
        ("number", "1,5", "a number"),
        ("number", "nan", "a number"),
        ("number", "1e999", "a number"),
        ("boolean", "2", "true or false"),
        ("date", "1987-02-30", "a date"),
        ("date", "1987", "a date"),
        ("datetime", "noon", "a date and time"),
        ("object", "{", "JSON"),
        ("object", '{"a": NaN}', "JSON"),
        ("object", '{"a": "\\u0000"}', "JSON"),
        ("object", '{"a": 9007199254740993}', "JSON"),
    ],
)
def test_what_cannot_be_taken_says_column_expectation_and_value(kind: Kind, value: str, wanted: str) -> None:
    values, faults = converted(pa.array(["x", None]).take(pa.array([1, 1])), prop(kind))
    assert (values, faults) == ([None, None], {})
    values, faults = converted(pa.array([None, value]), prop(kind))
    assert values == [None, None]
    assert list(faults) == [1]
    assert faults[1].startswith(f"column: expected {wanted}")
    assert faults[1].endswith(f"got {value!r}")


@pytest.mark.parametrize(
    ("kind", "source"),
    [("integer", pa.array([1.5])), ("integer", pa.array([2.0**53])), ("number", pa.array([math.inf]))],
)
def test_numbers_the_log_cannot_hold_are_faults(kind: Kind, source: pa.Array) -> None:
    values, faults = converted(source, prop(kind))
    assert values == [None]
    assert list(faults) == [0]


def test_limits_are_inclusive_and_name_the_value() -> None:
    wanted = prop("number", minimum=0.0, maximum=10.0)
    values, faults = converted(pa.array([0.0, 10.0, -0.5, 11.0, None]), wanted)
    assert values[:2] == [0.0, 10.0]
    assert faults == {2: "column: expected at least 0, got -0.5", 3: "column: expected at most 10, got 11.0"}


def test_length_pattern_and_requirement() -> None:
    wanted = prop(max_length=3, pattern="^[a-z]+$", required=True)
    _, faults = converted(pa.array(["abc", "abcd", "A", None]), wanted)
    assert faults == {
        1: "column: expected at most 3 characters, got 'abcd'",
        2: "column: expected the form ^[a-z]+$, got 'A'",
        3: "column: is missing, but every Column needs one",
    }


def test_a_codelist_takes_its_values_and_their_labels_and_says_what_it_has() -> None:
    wanted = DICTIONARY.type("building").property("danger_grade")
    values, faults = converted(pa.array(["A", "D", "E", None]), wanted)
    assert values == ["A", "D", None, None]
    assert faults == {2: "danger_grade: expected a value of danger_grade (A, B, C, D), got 'E'"}
    usage = DICTIONARY.type("building").property("usage")
    label = DICTIONARY.codelists["building_usage"].values["residential"]
    assert converted(pa.array([label.title.upper(), label.title_zh]), usage) == (["residential"] * 2, {})


def test_a_mapping_translates_multiplies_and_repeats() -> None:
    usage = DICTIONARY.type("building").property("usage")
    column = Column("用途", values={"住宅楼": "residential", "1": "office", "不明": None})
    values, _ = converted(pa.array(["住宅楼", " 1", "不明", "other"]), usage, column)
    assert values == ["residential", "office", None, "other"]
    assert converted(pa.array(["1.5", None]), prop("number"), Column("f", factor=1000.0))[0] == [1500.0, None]
    assert converted(pa.array([3]), prop("integer"), Column("f", factor=2.0))[0] == [6]
    assert repeat("office", usage, DICTIONARY, Faults(2)).to_pylist() == ["office", "office"]


def test_a_slice_of_a_layer_keeps_its_rows() -> None:
    source = pa.array(["x", "y", "bad", "4"]).slice(2)
    values, faults = converted(source, prop("integer"))
    assert values == [None, 4]
    assert list(faults) == [0]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (pa.array(["a", " ", None]), ["a", " ", None]),
        (pa.array([1, None], pa.uint8()), [1, None]),
        (pa.array([2**53], pa.int64()), ["9007199254740992"]),
        (pa.array([1.5, math.nan]), [1.5, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array([dt.date(2020, 1, 2)]), ["2020-01-02"]),
        (pa.array([["a", "b"], None]), ['["a", "b"]', None]),
        (pa.array([b"\x00\xff"]), ["00ff"]),
    ],
)
def test_what_the_dictionary_does_not_name_is_kept_as_json_can(source: pa.Array, expected: list[Any]) -> None:
    faults = Faults(len(source))
    assert attribute_of(pa.chunked_array([source]), "field", faults).to_pylist() == expected
    assert dict(faults) == {}


@pytest.mark.parametrize("source", [pa.array(["a\0b"]), pa.array([math.inf])])
def test_what_the_database_cannot_hold_is_a_fault(source: pa.Array) -> None:
    faults = Faults(1)
    assert attribute_of(pa.chunked_array([source]), "field", faults).to_pylist() == [None]
    assert list(dict(faults)) == [0]


def test_a_field_of_several_kinds_keeps_what_is_no_json_as_text() -> None:
    # As GDAL writes the values "x", "1.50", "007", 1.5, 0.1, 3, true, {"a": 1} and a number that doubles round.
    texts = ["x", "1.50", "007", "1.5", "0.10000000000000001", "3", "true", '{"a": 1}', "9007199254740993", "{a", None]
    expected = ['"x"', '"1.50"', '"007"', "1.5", "0.1", "3", "true", '{"a": 1}', '"9007199254740993"', '"{a"', None]
    faults = Faults(len(texts))
    column = pa.chunked_array([pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts))])
    assert attribute_of(column, "tags", faults).to_pylist() == expected
    assert dict(faults) == {}
    for text in ("NaN", "[1e999]", "[9007199254740993]", '"\\u0000"'):
        faults = Faults(1)
        one = pa.chunked_array([pa.ExtensionArray.from_storage(pa.json_(), pa.array([text]))])
        assert attribute_of(one, "tags", faults).to_pylist() == [None]
        assert list(dict(faults)) == [0]
