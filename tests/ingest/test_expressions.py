from __future__ import annotations

import contextlib
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cim.errors import InvalidData
from ingest.evaluation import FUNCTIONS
from ingest.expressions import MAX_LENGTH, parse
from ingest.faults import Faults

FIELDS = pa.table(
    {
        "street": ["Main St", None, " "],
        "no": [7, None, 12],
        "h": ["12.5", "3", "x"],
        "建物 名": ["楼", None, None],
        "floors": [3, 0, None],
        "day": ["03.02.2001", "31.12.1999", "1.1"],
        "when": pa.array([date(1987, 6, 30), None, date(2020, 1, 1)]),
        "kind": ["a;b", "b", None],
    }
)


def run(text: str, faults: Faults | None = None) -> list[Any]:
    column = parse(text).evaluate(FIELDS.column, FIELDS.num_rows, "x", Faults(3) if faults is None else faults)
    values: list[Any] = column.to_pylist()
    return values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("street", ["Main St", None, " "]),
        ('"建物 名"', ["楼", None, None]),
        ("建物", None),
        ("concat(street, ' ', no)", ["Main St 7", None, "12"]),
        ("coalesce(\"建物 名\", street, 'none')", ["楼", "none", "none"]),
        ("coalesce(floors, no)", [3.0, 0.0, 12.0]),
        ("no * 2 + 1", [15.0, None, 25.0]),
        ("1 + 2 * 3 - 4 / 2", [5.0] * 3),
        ("-(1 - 3) * 2", [4.0] * 3),
        ("no / floors", [7 / 3, None, None]),
        ("case(floors > 0, floors, no / 3)", [3.0, None, 4.0]),
        ("case(floors = 0, 'none', floors >= 3, 'some')", ["some", "none", None]),
        ("case(no < 10 and not floors = 0, 'a', is_null(no) or no > 11, 'b', 'c')", ["a", "b", "b"]),
        ("street = 'Main St'", [True, None, None]),
        ("when >= date('2000-01-01', '%Y-%m-%d')", [False, None, True]),
        ("lookup(no, 7, 'seven', 'many')", ["seven", None, "many"]),
        ("lookup(no, 7, 'seven', 12, 'twelve')", ["seven", None, "twelve"]),
        ("substring(street, 1, 4)", ["Main", None, None]),
        ("substring(street, 6)", ["St", None, None]),
        ("split(kind, ';', 2)", ["b", None, None]),
        ("extract(street, '[A-Z][a-z]$')", ["St", None, None]),
        ("replace(street, 'St', 'Street')", ["Main Street", None, None]),
        ("upper(trim(street))", ["MAIN ST", None, None]),
        ("lower(street)", ["main st", None, None]),
        ("length(street)", [7, None, None]),
        ("number('about 12.5 m')", [12.5] * 3),
        ("number(h)", [12.5, 3.0, None]),
        ("round(2.345, 2)", [2.35] * 3),
        ("round(0 - 1.5)", [-2.0] * 3),
        ("floor(2.7) + ceil(2.1) + abs(0 - 1)", [6.0] * 3),
        ("least(no, floors)", [3.0, 0.0, 12.0]),
        ("greatest(no, floors)", [7.0, 0.0, 12.0]),
        ("year(when)", [1987, None, 2020]),
        ("year(day)", ["2001", "1999", None]),
        ("'it''s'", ["it's"] * 3),
        ("null", [None] * 3),
    ],
)
def test_what_expressions_give(text: str, expected: list[Any] | None) -> None:
    if expected is None:
        with pytest.raises(KeyError):
            run(text)
    else:
        assert run(text) == expected


def test_a_value_that_does_not_fit_is_a_reason_that_names_it() -> None:
    faults = Faults(3)
    assert run("h * 2", faults) == [25.0, 6.0, None]
    assert list(faults) == [(2, "x: expected a number, got 'x'")]
    faults = Faults(3)
    assert run("date(day, '%d.%m.%Y')", faults) == [date(2001, 2, 3), date(1999, 12, 31), None]
    assert list(faults) == [(2, "x: expected a date of the form %d.%m.%Y, got '1.1'")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at place 1 expected a field, a value or a function, but it ends"),
        ("concat(a, ", "at place 11 expected a field"),
        ("a b", "at place 3 expected the end or an operator, but it has 'b'"),
        ("(a", "expected ')', but it ends"),
        ("open('/etc/passwd')", "there is no function 'open'; there are coalesce, concat"),
        ("__import__('os')", "there is no function '__import__'"),
        ("a.b()", "there is no function 'a.b'"),
        ("a[0]", "no reading it from place 2"),
        ("'open", "no reading it from place 1"),
        ("substring(a)", "substring takes substring(a, start, length), got 1 arguments"),
        ("substring(a, b)", "argument 2 of substring must be written out"),
        ("substring(a, 0)", "places are counted from 1"),
        ("extract(a, '(')", "extract: "),
        ("date(a, '%H')", "does not say a day"),
        ("split(a, '', 1)", "needs a separator"),
        ("and", "expected a field"),
        ("(" * 100 + "a" + ")" * 100, "nested more than 60 deep"),
        ("a" * (MAX_LENGTH + 1), f"at most {MAX_LENGTH} are read"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InvalidData) as caught:
        parse(text)
    assert message in str(caught.value)


def test_an_expression_knows_its_fields() -> None:
    assert parse("case(a > 1, \"b c\", concat(d, 'e'), f.g)").fields == {"a", "b c", "d", "f.g"}


def test_a_condition_must_be_one() -> None:
    with pytest.raises(InvalidData, match="a condition is wanted"):
        run("case(street, 1)")


@given(st.text(alphabet="ab1 .'\"(),+-*/<>=!no字", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidData):
        parse(text)


def test_the_docs_tell_every_function() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text(encoding="utf-8")
    for name, function in FUNCTIONS.items():
        assert function.usage.startswith(f"{name}(")
        assert f"| `{function.usage}` | {function.meaning} |" in docs


def test_conditions_take_the_first_that_holds() -> None:
    assert run("case(floors = 3, 'three', floors > 1, 'more')")[0] == "three"
