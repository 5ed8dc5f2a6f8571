"""Entries: one revision of one object as canonical bytes, the data of a leaf.

Besides the feature types of the dictionary, the log has these types of its own:

- `schema`: the dictionary in force; body: SHA-256 of each type's schema.
- `identifier`: another published identifier of an object; code: "scheme value code"; body: `scheme`, `value`, `type`
  and `code` of the object, `valid_from`, `valid_to`, `issuer`.
- `reservation`: a code that was minted, so that nobody else gets it; code: that code; body: `scheme` and `parent`.

An object whose code gave way to others ends with an entry of op `supersede`: it has no body, and its member
`superseded` holds `new`, the codes that took over (one: a rename, or a merger if others name it too; several: a split),
and, where known, `date` and `evidence`. The objects that took over are of the same type.

Source
------
RFC 8785, JSON Canonicalization Scheme (JCS). https://www.rfc-editor.org/rfc/rfc8785.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from json.encoder import encode_basestring as _text  # escapes exactly what RFC 8785, 3.2.2.2 asks for
from typing import Any, NamedTuple, NoReturn

import orjson

from cim.errors import InvalidData

VERSION = 1
MAX_ENTRY = 65_535  # bytes; C2SP tlog-tiles writes an entry's length as uint16
OPERATIONS = frozenset({"insert", "update", "delete", "erase", "supersede"})
SALT_LENGTH = 32
MAX_INTEGER = 2**53 - 1  # beyond, a double does not hold every integer (RFC 7493, 2.2)


# ---------------------------------------------------------------- JCS


def canonicalize(value: Any) -> bytes:
    """Write a JSON value (None, bool, int, float, str, list, tuple, dict by str) in its one JCS spelling.

    Raises
    ------
    InvalidData : NaN, an infinity, an integer beyond 2^53 - 1, a lone surrogate, another type.
    """
    try:
        return _WRITERS[type(value)](value).encode("utf-8")
    except (UnicodeEncodeError, RecursionError) as error:
        raise InvalidData(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "text holds a lone surrogate, which is no character; correct it at its source"
    if isinstance(error, RecursionError):
        return "value is nested too deeply to be logged"
    return str(error)


def _write_integer(value: int) -> str:
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise InvalidData(f"an integer of {value.bit_length()} bits is beyond 2^53 - 1: write it as text")
    return int.__repr__(value)


def _write_float(value: float) -> str:
    """Write as ECMAScript's Number::toString does. Both take the shortest digits that give the double back.

    Source
    ------
    ECMA-262, Number::toString. https://tc39.es/ecma262/#sec-numeric-types-number-tostring
    """
    text = float.__repr__(value)
    if "e" not in text and "n" not in text:  # 'nan' and 'inf' both hold an n
        if text[-2:] == ".0":
            return "0" if value == 0 else text[:-2]
        return text
    if not math.isfinite(value):
        raise InvalidData(f"{text} is no number: leave the attribute out instead")
    mantissa, _, exponent = text.partition("e")
    sign = "-" if value < 0 else ""
    digits = mantissa.removeprefix("-").replace(".", "")
    point = int(exponent) + 1  # the decimal point stands after so many digits
    if len(digits) <= point <= 21:
        return f"{sign}{digits.ljust(point, '0')}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"


def _write_array(value: list[Any] | tuple[Any, ...]) -> str:
    return f"[{','.join([_WRITERS[type(item)](item) for item in value])}]"


def _write_object(value: dict[str, Any]) -> str:
    members = [head + _WRITERS[type(item := value[key])](item) for key, head in _layout(tuple(value))]
    return f"{{{','.join(members)}}}"


@lru_cache(maxsize=4096)  # bodies of one feature type share their keys
def _layout(keys: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the keys in order of their UTF-16 code units (RFC 8785, 3.2.3), each with its spelling."""
    for key in keys:
        if not isinstance(key, str):
            raise InvalidData(f"object keys must be text, got {key!r:.80}")
    ordered = sorted(keys, key=lambda key: key.encode("utf-16-be"))
    return [(key, f"{_text(key)}:") for key in ordered]


Writer = Callable[[Any], str]


class _Writers(dict[type, Writer]):
    """Type -> writer; a subclass, such as a StrEnum, is written as its base."""

    def __missing__(self, kind: type) -> Writer:
        base = next((known for known in self if issubclass(kind, known)), None)
        if base is None:
            raise InvalidData(f"a value of type {kind.__name__} has no JSON form")
        return self[base]


_JSON_TYPES: dict[type, Writer] = {
    str: _text,
    bool: lambda value: "true" if value else "false",
    int: _write_integer,
    float: _write_float,
    type(None): lambda _: "null",
    dict: _write_object,
    list: _write_array,
    tuple: _write_array,
}
_WRITERS = _Writers(_JSON_TYPES)


# ---------------------------------------------------------------- bodies as PostgreSQL gives them


def parse_body(text: str) -> dict[str, Any]:
    """Read the text of a jsonb object; a number that a double would not give back becomes its text.

    Integers with |n| >= 2^53 and decimals of too many digits stay exact that way; 1.50 is the number 1.5.

    Raises
    ------
    InvalidData : not a JSON object, NaN, Infinity, or a lone surrogate.
    """
    try:
        body = _DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidData(f"body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidData(f"body must be a JSON object, got {text[:80]!r}")
    try:
        (json.dumps(body, ensure_ascii=False) if "\\u" in text else text).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidData("text holds a lone surrogate, which is no character; correct it at its source") from None
    return body


def _read_integer(text: str) -> int | str:
    if len(text) < 16:
        return int(text)
    return text if len(text) > 17 or abs(int(text)) > MAX_INTEGER else int(text)


def _read_decimal(text: str) -> float | str:
    number = float(text)
    size = abs(number)
    if len(text) < 17 and 1e-300 < size < 1e300:
        return number  # at most 15 digits: a double gives them back (DBL_DIG)
    if math.isfinite(number) and Decimal(repr(number)) == Decimal(text):
        return number
    return text


def _refuse_constant(text: str) -> NoReturn:
    raise InvalidData(f"{text} is no number: leave the attribute out instead")


_DECODER = json.JSONDecoder(parse_int=_read_integer, parse_float=_read_decimal, parse_constant=_refuse_constant)


def body_bytes(text: bytes) -> bytes:
    """Return the JCS bytes of the text of a jsonb object, UTF-8; attributes whose value is null are left out.

    Raises
    ------
    InvalidData : as `parse_body`.
    """
    (body,) = plain_bodies([text])
    if body is not None:
        return write_all([body])[0]
    return canonicalize(
        {key: item for key, item in parse_body(text.decode("utf-8", "surrogatepass")).items() if item is not None}
    )


def plain_bodies(texts: Sequence[bytes]) -> list[dict[str, Any] | None]:
    """Read the texts of jsonb objects that `write_all` writes as `body_bytes` does; None stands where that is in doubt.

    Parameters
    ----------
    texts : as PostgreSQL gives them, in UTF-8, each an object from its first brace to its last
    """
    together = _plain(texts)
    if together is not None:
        return [*together]
    return [found[0] if (found := _plain([text])) else None for text in texts]


def _plain(texts: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """Return the bodies, where nothing but the order of their keys and spaces would be changed in any, else None.

    orjson writes strings as JCS does, and numbers with the same digits, but 10.0 and exponents otherwise. Where what
    it read it writes again as it was, spaces apart, which no number holds, every number of the text is therefore spelt
    as JCS would, and is one that a double gives back. It orders keys by code point, which is the order of UTF-16 below
    U+10000. Doubt is left to `parse_body` and `canonicalize`.
    """
    try:
        given = b"[%b]" % b",".join(texts)
        bodies = orjson.loads(given)
        again = orjson.dumps(bodies, option=orjson.OPT_STRICT_INTEGER)
    except (ValueError, TypeError):  # among them lone surrogates, and integers beyond 2^53 - 1
        return None
    if again.translate(None, b" ") != given.translate(None, b" "):
        return None
    classes = again.translate(_CLASSES)
    # rfind, because `in` takes twice as long where, as here, nothing is found.
    if classes.rfind(b"9e") >= 0 or b"\xf0" in classes or len(bodies) != len(texts) or {*map(type, bodies)} != {dict}:
        return None
    if again.rfind(b".0") >= 0 and (b".0," in again or b".0}" in again or b".0]" in again):
        return None
    if again.rfind(b"null") >= 0 and any(None in body.values() for body in bodies):
        return None
    plain: list[dict[str, Any]] = bodies
    return plain


# Every digit as 9, every first byte of a character beyond U+FFFF (RFC 3629) as F0: what may be doubtful looks alike.
_CLASSES = bytes.maketrans(b"0123456789E\xf0\xf1\xf2\xf3\xf4", b"9999999999e\xf0\xf0\xf0\xf0\xf0")


def write_all(objects: Sequence[dict[str, Any]]) -> list[bytes]:
    """Write objects of text, integers and plain bodies (see `plain_bodies`) in their JCS spelling, all by one call.

    Raises
    ------
    InvalidData : a lone surrogate, an integer beyond 2^53 - 1, another type.
    """
    parted: list[dict[str, Any] | str] = [_PART] * (2 * len(objects) - 1)
    parted[::2] = objects
    try:
        written = orjson.dumps(parted, option=orjson.OPT_STRICT_INTEGER | orjson.OPT_SORT_KEYS)[1:-1].split(_PARTED)
    except TypeError as error:
        raise InvalidData(str(error)) from None
    if len(written) != len(objects):  # none of PostgreSQL's texts holds a NUL
        return [orjson.dumps(item, option=orjson.OPT_STRICT_INTEGER | orjson.OPT_SORT_KEYS) for item in objects]
    return written


_PART, _PARTED = "\0", b',"\\u0000",'


# ---------------------------------------------------------------- entries


def entry_bytes(
    *,
    type: str,  # noqa: A002 - the entry's own word
    code: str,
    op: str,
    rev: int,
    prev: int | None,
    at: datetime,
    by: str,
    reason: str | None = None,
    dataset: str | None = None,
    body: Mapping[str, Any] | bytes | None = None,
    geometry: tuple[int, str] | None = None,
    private: Mapping[str, str] | None = None,
    erased: Sequence[str] | None = None,
    superseded: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the canonical bytes of one revision.

    Parameters
    ----------
    type : feature type
    code : the object's code
    op : insert, update, delete, erase or supersede
    rev : number of this revision of the object, from 1
    prev : leaf index of the object's previous revision; None for the first, written as null
    at : time of the write, with time zone; written in UTC to the microsecond
    by, reason : who wrote, and why
    dataset : `sha256:` and the hash of the file it came from
    body : public attributes; attributes without a value are left out. As bytes: what `body_bytes` gave for them
    geometry : EPSG code and SHA-256, in hex, of the ISO WKB, little-endian, in the storage CRS
    private : attribute -> commitment to its value
    erased : private attributes whose values and salts, in all earlier revisions, this one erased; with op erase only
    superseded : the codes that took over, as `new`, with `date` and `evidence`; with op supersede only

    What is None is left out, `prev` apart.

    Raises
    ------
    InvalidData : a value that cannot be logged, or more than 65,535 bytes.
    """
    if (op == "erase") != bool(erased):
        raise InvalidData(f"{type} {code}: an erase entry, and no other, names the fields it erased, got {erased!r}")
    if (op == "supersede") != bool(superseded and superseded.get("new")):
        raise InvalidData(f"{type} {code}: a supersede entry, and no other, names the codes that took over")
    if rev < 1 or (prev is not None and prev < 0):
        raise InvalidData(f"{type} {code}: rev counts from 1 and prev from 0, got {rev} and {prev}")
    try:
        # One member after another in their canonical order, so that nothing is left to sort.
        frame = _frame(type, op, at, by, reason, dataset, None if geometry is None else geometry[0])
        parts = [frame.at]
        if body is not None:
            parts += (b',"body":', body if isinstance(body, bytes) else _body_of(body))
        parts += (frame.by, _text(code).encode(), frame.dataset)
        if erased is not None:
            parts += (b',"erased":', _write_array(list(erased)).encode())
        if geometry is not None:
            parts += (b',"geometry":{"sha256":', _text(geometry[1]).encode(), frame.srid)
        parts += (frame.op, b"null" if prev is None else _write_integer(prev).encode())
        if private is not None:
            parts += (b',"private":', _write_object(dict(private)).encode())
        parts += (frame.reason, _write_integer(rev).encode())
        if superseded is not None:
            parts += (b',"superseded":', _write_object(dict(superseded)).encode())
        parts.append(frame.type)
        data = b"".join(parts)
    except (InvalidData, UnicodeEncodeError, RecursionError) as error:
        raise InvalidData(f"{type} {code}: {_reason(error)}") from None
    if len(data) > MAX_ENTRY:
        raise InvalidData(
            f"{type} {code}: an entry has at most {MAX_ENTRY} bytes, got {len(data)}; shorten its attributes"
        )
    return data


def _body_of(body: Mapping[str, Any]) -> bytes:
    return _write_object({key: item for key, item in body.items() if item is not None}).encode()


class _Frame(NamedTuple):
    """What the entries of one statement share, cut where that which differs comes in."""

    at: bytes
    by: bytes
    dataset: bytes
    srid: bytes
    op: bytes
    reason: bytes
    type: bytes


@lru_cache(maxsize=256)  # all revisions of a statement share it
def _frame(
    kind: str, op: str, at: datetime, by: str, reason: str | None, dataset: str | None, srid: int | None
) -> _Frame:
    if op not in OPERATIONS:
        raise InvalidData(f"op must be one of {', '.join(sorted(OPERATIONS))}, got {op!r}")
    parts = (
        f'{{"at":"{_write_time(at)}"',
        f',"by":{_text(by)},"code":',
        "" if dataset is None else f',"dataset":{_text(dataset)}',
        "" if srid is None else f',"srid":{_write_integer(srid)}}}',
        f',"op":"{op}","prev":',
        ',"rev":' if reason is None else f',"reason":{_text(reason)},"rev":',
        f',"type":{_text(kind)},"v":{VERSION}}}',
    )
    return _Frame(*[part.encode() for part in parts])


def _write_time(at: datetime) -> str:
    """Write as RFC 3339 in UTC with six digits, as 2026-11-21T08:00:00.000000Z."""
    if at.tzinfo is None:
        raise InvalidData(f"time of a revision needs a time zone, got {at.isoformat()}")
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return f"{at.isoformat(timespec='microseconds')[:-6]}Z"


def commitment(field: str, salt: bytes, value: Any) -> str:
    """Commit to a private value: hex of SHA-256("cim-commit/v1" ‖ 0 ‖ field ‖ 0 ‖ salt ‖ JCS(value)).

    Parameters
    ----------
    field : name of the attribute, without NUL
    salt : 32 random bytes, one salt per field per revision
    value : the JSON value, kept apart together with the salt

    Raises
    ------
    InvalidData : salt of another length, NUL in the name, a value without JSON form.
    """
    if len(salt) != SALT_LENGTH or "\0" in field:
        raise InvalidData(f"commitment to {field!r}: expected a salt of {SALT_LENGTH} bytes, got {len(salt)}")
    return sha256(b"cim-commit/v1\0" + field.encode() + b"\0" + salt + canonicalize(value)).hexdigest()
