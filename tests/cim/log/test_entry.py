"""Entries: JCS against RFC 8785's tables and the rfc8785 package; bodies as PostgreSQL writes them."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from hashlib import sha256
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from cim.errors import InvalidData
from cim.log.columns import columns_of, entries_of
from cim.log.entry import (
    body_bytes,
    canonicalize,
    commitment,
    entry_bytes,
    parse_body,
    plain_bodies,
    write_all,
)
from cim.log.revision import Revision, render

LIMIT = 2**53 - 1

# RFC 8785, appendix B: IEEE 754 bits and their spelling.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# Keys where UTF-16 order and code point order differ: above and below the surrogates.
tricky_text = st.text(
    st.sampled_from('a\x00\x1f"\\/\x7f\x80é€\ud7ff\ue000\ufb33\uffff\U00010000\U0001f600'), max_size=4
)
numbers = (
    st.integers(-LIMIT, LIMIT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.builds(lambda m, e: m * 10.0**e, st.integers(-999, 999), st.integers(-30, 30))
)
values = st.recursive(
    st.none() | st.booleans() | numbers | any_text | tricky_text,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(any_text | tricky_text, inner, max_size=5)
        | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(("bits", "spelling"), NUMBERS.items())
def test_numbers_are_spelt_as_the_rfc_lists_them(bits: str, spelling: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonicalize(number).decode() == spelling


@pytest.mark.parametrize("bits", ["7fffffffffffffff", "7ff0000000000000", "fff0000000000000"])
def test_what_is_no_number_is_refused(bits: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    with pytest.raises(InvalidData, match="no number"):
        canonicalize({"height": number})


def test_keys_are_ordered_as_the_rfc_shows() -> None:
    # RFC 8785, 3.2.3: U+FB33 comes after the emoji, whose first UTF-16 unit is U+D83D.
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    expected = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonicalize(dict.fromkeys(keys, 0)))) == expected


def test_the_rfc_s_sample_comes_out_as_printed() -> None:
    # RFC 8785, 3.2.2 and 3.2.4
    sample = json.loads(
        r'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
        r'"string":"\u20ac$\u000F\u000aA'
        r"'"
        r'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}'
    )
    printed = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonicalize(sample).decode() == printed


@settings(deadline=None, max_examples=600)
@given(values)
def test_every_json_value_is_written_as_the_reference_package_does(value: Any) -> None:
    assert canonicalize(value) == rfc8785.dumps(value)


@settings(deadline=None, max_examples=1000)
@given(st.binary(min_size=8, max_size=8))
def test_every_double_is_written_as_the_reference_package_does(bits: bytes) -> None:
    (number,) = struct.unpack(">d", bits)
    if number - number != 0:  # NaN or infinite
        with pytest.raises(InvalidData):
            canonicalize(number)
    else:
        assert canonicalize(number) == rfc8785.dumps(number)


def test_values_equal_to_each_other_but_of_other_types_stay_apart() -> None:
    assert canonicalize([1, 1.0, True, 0, -0.0, False, "1"]) == b'[1,1,true,0,0,false,"1"]'


def test_enumerations_are_written_as_their_values() -> None:
    status, level = StrEnum("status", {"USED": "in_use"}), IntEnum("level", {"ONE": 1})
    assert canonicalize({status.USED: level.ONE, "s": status.USED}) == b'{"in_use":1,"s":"in_use"}'


@pytest.mark.parametrize("value", [LIMIT + 1, -LIMIT - 1, "\ud800", "a\udfff", {"\ud800": 1}, {1: 1}, b"x"], ids=ascii)
def test_what_json_cannot_hold_safely_is_refused(value: Any) -> None:
    with pytest.raises(InvalidData):
        canonicalize([value])


def test_an_integer_too_long_to_print_is_refused_all_the_same() -> None:
    with pytest.raises(InvalidData, match="2\\^53"):
        canonicalize(10**5000)


def test_values_of_foreign_types_are_refused_by_name() -> None:
    with pytest.raises(InvalidData, match="datetime"):
        canonicalize({"at": datetime(2026, 1, 1, tzinfo=UTC)})


def test_endless_nesting_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidData, match="nested too deeply"):
        canonicalize(value)
    with pytest.raises(InvalidData):
        parse_body('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740991", LIMIT),
        ("-9007199254740991", -LIMIT),
        ("9007199254740992", "9007199254740992"),
        ("-9007199254740992", "-9007199254740992"),
        ("9223372036854775807", "9223372036854775807"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("9" * 5000, "9" * 5000),
        ("0", 0),
        ("12.5", 12.5),
        ("1.50", 1.5),
        ("10.0", 10.0),
        ("-0.10", -0.1),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("0.30000000000000004", 0.30000000000000004),
        ("0.3000000000000000", 0.3),
        ("0.123456789012345678", "0.123456789012345678"),
        ("3.141592653589793238", "3.141592653589793238"),
        ("1e400", "1e400"),
        ("-1e400", "-1e400"),
        ("1e-400", "1e-400"),
        ("0.0", 0.0),
        ("5e-324", 5e-324),
        ("3e-324", "3e-324"),
        ("1e22", 1e22),
    ],
)
def test_a_number_that_a_double_does_not_give_back_becomes_text(text: str, value: Any) -> None:
    found = parse_body(f'{{"n": {text}}}')["n"]
    assert found == value
    assert type(found) is type(value)


@settings(deadline=None, max_examples=500)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_decimals_keep_their_value_exactly(number: Any) -> None:
    text = f"{number:f}"
    found = parse_body(f'{{"n": {text}}}')["n"]
    if isinstance(found, str):
        assert found == text
        assert json.loads(repr(float(text)), parse_float=type(number)) != number
    else:
        assert type(number)(repr(found)) == number


@settings(deadline=None, max_examples=300)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_as_postgresql_writes_them_come_back(number: float) -> None:
    assert parse_body(f'{{"n": {number!r}}}') == {"n": number}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        "null",
        '{"a":1',
        '{"a":1} x',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        '{"a":01}',
        '{"a":+1}',
        "{'a':1}",
        '{"a":"\\ud800"}',
        '{"a":"\\udc00\\ud800"}',
        '{"\\udfff":1}',
        '{"a":"\ud800"}',
    ],
    ids=ascii,
)
def test_a_body_that_cannot_be_logged_is_refused(text: str) -> None:
    with pytest.raises(InvalidData):
        parse_body(text)
    with pytest.raises(InvalidData):
        body_bytes(text.encode("utf-8", "surrogatepass"))


def test_a_body_keeps_its_text_as_given() -> None:
    # e + combining accent is not composed to é; an escaped pair of surrogates is one character.
    assert parse_body('{"name":"e\u0301","sign":"\\ud83d\\ude00"}') == {
        "name": "e\u0301",
        "sign": "\U0001f600",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "{}"),
        ('{"name": "楼 1, 2: x", "storeys": 5}', '{"name":"楼 1, 2: x","storeys":5}'),
        ('{"b": 1, "aa": {"d": [1, 2.5], "c": -3}}', '{"aa":{"c":-3,"d":[1,2.5]},"b":1}'),
        ('{"n": 10.0}', '{"n":10}'),
        ('{"n": [10.0, 2.05]}', '{"n":[10,2.05]}'),
        ('{"n": 1.50}', '{"n":1.5}'),
        ('{"n": 0.0000010}', '{"n":0.000001}'),
        ('{"n": 0.0000001}', '{"n":1e-7}'),
        ('{"n": 100000000000000000000000}', '{"n":"100000000000000000000000"}'),
        ('{"n": 1e22}', '{"n":1e+22}'),
        ('{"n": 9007199254740991}', '{"n":9007199254740991}'),
        ('{"n": 9007199254740992}', '{"n":"9007199254740992"}'),
        ('{"n": 0.30000000000000003}', '{"n":"0.30000000000000003"}'),
        ('{"n": 0.30000000000000004}', '{"n":0.30000000000000004}'),
        ('{"a": null, "b": {"c": null}, "d": "null"}', '{"b":{"c":null},"d":"null"}'),
        ('{"\ue000": 1, "\U0001f600": 2}', '{"\U0001f600":2,"\ue000":1}'),
        ('{"a": "\\u0041\\/"}', '{"a":"A/"}'),
        ('{"a": "5.0", "b": "7e5"}', '{"a":"5.0","b":"7e5"}'),
    ],
)
def test_the_text_of_a_body_in_canonical_bytes(text: str, expected: str) -> None:
    assert body_bytes(text.encode()).decode() == expected


def _spell_object(members: dict[str, str]) -> str:
    """As PostgreSQL prints jsonb: a space after each comma and colon."""
    return f"{{{', '.join(f'{json.dumps(key, ensure_ascii=False)}: {text}' for key, text in members.items())}}}"


digits = st.text("0123456789", min_size=1, max_size=22).map(lambda text: text.lstrip("0") or "0")
spelt_numbers = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.builds("{}{}".format, st.sampled_from(["", "-"]), digits),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-"]), digits, st.text("0123456789", min_size=1, max_size=20)),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.builds("{}e{}".format, st.integers(-99, 99), st.integers(-310, 310)),
)
json_text = st.recursive(
    st.sampled_from(["null", "true", "false"])
    | spelt_numbers
    | st.builds(json.dumps, any_text | tricky_text | st.text(", :.0e9", max_size=6), ensure_ascii=st.booleans()),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(any_text | tricky_text, inner, max_size=4).map(_spell_object)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=600)
@given(st.dictionaries(any_text | tricky_text, json_text, max_size=5).map(_spell_object))
def test_a_body_is_written_as_the_reference_package_does(text: str) -> None:
    read = parse_body(text)
    assert body_bytes(text.encode()) == rfc8785.dumps({key: item for key, item in read.items() if item is not None})


@settings(deadline=None, max_examples=100)
@given(st.lists(st.dictionaries(any_text | tricky_text, json_text, max_size=3).map(_spell_object), max_size=12))
def test_bodies_written_together_are_those_written_one_by_one(texts: list[str]) -> None:
    bodies = plain_bodies([text.encode() for text in texts])
    assert len(bodies) == len(texts)
    plain = [(text, body) for text, body in zip(texts, bodies, strict=True) if body is not None]
    written = write_all([body for _, body in plain])
    for (text, _), data in zip(plain, written, strict=True):
        read = parse_body(text)
        assert data == rfc8785.dumps({key: item for key, item in read.items() if item is not None})


def test_what_parts_the_bodies_may_stand_in_one() -> None:
    bodies = [{"a": ["x", "\0", "y"]}, {}, {"b": 1, "a": "\0"}]
    assert write_all(bodies) == [rfc8785.dumps(body) for body in bodies]


# ---------------------------------------------------------------- entries

AT = datetime(2026, 11, 21, 16, 0, 0, 5, timezone(timedelta(hours=8)))
FIRST: dict[str, Any] = {
    "type": "building",
    "code": "B1",
    "op": "insert",
    "rev": 1,
    "prev": None,
    "at": AT,
    "by": "kim",
}


def test_the_shortest_entry() -> None:
    assert entry_bytes(**FIRST) == (
        b'{"at":"2026-11-21T08:00:00.000005Z","by":"kim","code":"B1","op":"insert","prev":null,"rev":1,'
        b'"type":"building","v":1}'
    )


def test_an_entry_with_everything() -> None:
    data = entry_bytes(
        type="building",
        code="B1",
        op="update",
        rev=2,
        prev=41,
        at=datetime(2026, 11, 21, 8, tzinfo=UTC),
        by="kim",
        reason="年度更新",
        dataset="sha256:00ff",
        body={"name": "甲", "height": 12.50, "storeys": 4, "demolished": None, "tags": {"a": None}},
        geometry=(4548, "ab" * 32),
        private={"owner_name": "cd" * 32},
    )
    assert data.decode() == (
        '{"at":"2026-11-21T08:00:00.000000Z","body":{"height":12.5,"name":"甲","storeys":4,"tags":{"a":null}},'
        '"by":"kim","code":"B1","dataset":"sha256:00ff","geometry":{"sha256":"' + "ab" * 32 + '","srid":4548},'
        '"op":"update","prev":41,"private":{"owner_name":"' + "cd" * 32 + '"},"reason":"年度更新","rev":2,'
        '"type":"building","v":1}'
    )
    assert rfc8785.dumps(json.loads(data)) == data


def test_an_empty_body_is_not_an_absent_one() -> None:
    assert b'"body":{}' in entry_bytes(**FIRST, body={"name": None})
    assert b"body" not in entry_bytes(**FIRST, body=None)


@pytest.mark.parametrize(
    "change",
    [
        {"op": "upsert"},
        {"rev": 0},
        {"prev": -1},
        {"at": datetime(2026, 1, 1)},
        {"body": {"height": float("nan")}},
        {"body": {"n": 2**53}},
        {"reason": "\ud800"},
    ],
)
def test_an_entry_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidData):
        entry_bytes(**{**FIRST, **change})


def test_the_longest_entry_has_65535_bytes() -> None:
    spare = 65_535 - len(entry_bytes(**FIRST, body={"name": ""}))
    assert len(entry_bytes(**FIRST, body={"name": "x" * spare})) == 65_535
    with pytest.raises(InvalidData, match=r"building B1: .* 65535 bytes, got 65536"):
        entry_bytes(**FIRST, body={"name": "x" * (spare + 1)})


def test_a_refusal_names_the_object() -> None:
    with pytest.raises(InvalidData, match="building B1: nan is no number"):
        entry_bytes(**FIRST, body={"height": float("nan")})


# ---------------------------------------------------------------- commitments


def test_a_commitment_is_the_hash_of_its_parts() -> None:
    salt = bytes(range(32))
    parts = b"cim-commit/v1\x00owner_name\x00" + salt + '"王芳"'.encode()
    assert commitment("owner_name", salt, "王芳") == sha256(parts).hexdigest()


def test_commitments_differ_by_field_salt_and_value() -> None:
    salts = (bytes(32), b"\1" + bytes(31))
    found = {commitment(f, s, v) for f in ("a", "b") for s in salts for v in ("1", 1, None)}
    assert len(found) == 12


@pytest.mark.parametrize(("field", "salt"), [("a", b""), ("a", bytes(31)), ("a", bytes(33)), ("a\0b", bytes(32))])
def test_a_weak_commitment_is_refused(field: str, salt: bytes) -> None:
    with pytest.raises(InvalidData):
        commitment(field, salt, "x")


# ---------------------------------------------------------------- entries of revisions

revisions = st.builds(
    Revision,
    id=st.just(1),
    type=st.sampled_from(["building", "parcel"]),
    code=any_text,
    rev=st.integers(1, 9),
    op=st.sampled_from(["insert", "update", "delete"]),
    at=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
    actor=any_text | tricky_text,
    reason=st.none() | any_text,
    dataset=st.none() | any_text,
    body=st.none() | st.dictionaries(any_text | tricky_text, json_text, max_size=3).map(_spell_object).map(str.encode),
    srid=st.just(4548),
    geometry_sha256=st.none() | st.binary(min_size=32, max_size=32),
    prev=st.none(),
    private=st.none() | st.just({"owner_name": (bytes(32), "王")}),
    erased=st.none(),
    superseded=st.none(),
)


def _row(revision: Revision) -> list[Any]:
    """Return a revision as the database sends it: private values as text."""
    private = {name: [salt.hex(), value] for name, (salt, value) in (revision.private or {}).items()}
    return [*revision._replace(private=json.dumps(private) if private else None)]  # type: ignore[arg-type]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(revisions, st.none() | st.integers(0, LIMIT)), max_size=8))
def test_revisions_are_written_as_the_reference_package_does(rows: list[tuple[Revision, int | None]]) -> None:
    """Both ways of writing them: one by one, and by columns."""
    entries = entries_of(columns_of([_row(revision._replace(prev=prev)) for revision, prev in rows]))
    assert entries == [render(revision, prev) for revision, prev in rows]
    for (revision, prev), entry in zip(rows, entries, strict=True):
        at = revision.at.strftime("%H:%M:%S.%f")
        expected: dict[str, Any] = {
            "v": 1,
            "type": revision.type,
            "code": revision.code,
            "op": revision.op,
            "rev": revision.rev,
            "prev": prev,
            "at": f"{revision.at.year:04d}-{revision.at.month:02d}-{revision.at.day:02d}T{at}Z",
            "by": revision.actor,
        }
        said = {"reason": revision.reason, "dataset": revision.dataset}
        expected |= {name: text for name, text in said.items() if text is not None}
        if revision.body is not None:
            expected["body"] = {
                key: item for key, item in parse_body(revision.body.decode()).items() if item is not None
            }
        if revision.geometry_sha256 is not None:
            expected["geometry"] = {"srid": 4548, "sha256": revision.geometry_sha256.hex()}
        if revision.private is not None:
            committed = b"cim-commit/v1\0owner_name\0" + bytes(32) + '"王"'.encode()
            expected["private"] = {"owner_name": sha256(committed).hexdigest()}
        assert entry == rfc8785.dumps(expected)
