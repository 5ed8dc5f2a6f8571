"""Entries of many revisions at once, out of Arrow columns: an object for each value would cost more than all else.

Columns are those of `Revision`, by name, with `private` as JSON text; see SCHEMA.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cim.errors import CimError
from cim.log.entry import MAX_ENTRY, body_bytes, canonicalize, plain_bodies, write_all
from cim.log.revision import commitments, private_of, render, revision_of

Column = Any  # pa.Array: pyarrow ships no type information
Columns = Mapping[str, Column]

SCHEMA = {
    "id": pa.int64(),
    "type": pa.string(),
    "code": pa.string(),
    "rev": pa.int64(),
    "op": pa.string(),
    "at": pa.timestamp("us", "UTC"),
    "actor": pa.string(),
    "reason": pa.string(),
    "dataset": pa.string(),
    "body": pa.binary(),
    "srid": pa.int32(),
    "geometry_sha256": pa.binary(),
    "prev": pa.int64(),
    "private": pa.string(),
    "erased": pa.list_(pa.string()),
    "superseded": pa.string(),
}
PLAIN = pa.array(["insert", "update", "delete"])
TOGETHER = 128  # bodies written by one call, small enough for the processor's cache


def columns_of(rows: Iterable[Sequence[Any]]) -> Columns:
    """Return rows, of values in the order of SCHEMA, as columns."""
    values = [*zip(*rows, strict=True)] or [()] * len(SCHEMA)
    return {name: pa.array(given, kind) for (name, kind), given in zip(SCHEMA.items(), values, strict=True)}


def entries_of(columns: Columns) -> list[bytes]:
    """Return the entry bytes of each revision, with `prev` as its predecessor's leaf: what `render` gives.

    Raises
    ------
    InvalidData : one of them cannot be logged.
    """
    written = plain_entries(columns)
    entries: list[bytes] = written.to_pylist()
    for place in pc.indices_nonzero(written.is_null()).to_pylist():
        revision = revision_of([columns[name][place].as_py() for name in SCHEMA])
        entries[place] = render(revision, revision.prev)
    return entries


def plain_entries(columns: Columns) -> Column:
    """Return the entry bytes of each revision as a column; null where `render` is to write it, or to refuse it."""
    try:
        written = _written(columns)
    except pa.ArrowException:  # a time, say, that is beyond all calendars
        return pa.nulls(len(columns["id"]), pa.binary())
    plain = pc.and_(pc.is_in(columns["op"], PLAIN), pc.less_equal(pc.binary_length(written), MAX_ENTRY))
    for name in ("erased", "superseded"):
        plain = pc.and_(plain, pc.is_null(columns[name]))
    if not pc.all(pc.fill_null(plain, False)).as_py():
        written = pc.if_else(plain, written, None)
    return written.cast(pa.binary())


def _written(columns: Columns) -> Column:
    """Return the entries as text, members in their canonical order; null where one cannot be written."""
    hashes = columns["geometry_sha256"]
    srid, prev, rev = (columns[name].cast(pa.string()) for name in ("srid", "prev", "rev"))
    prev = prev.fill_null("null")
    members = {
        "at": (columns["at"], _each(columns["at"], lambda at: pc.strftime(at, '"%Y-%m-%dT%H:%M:%SZ"'))),
        "body": (columns["body"], _bodies(columns["body"])),
        "by": (columns["actor"], _each(columns["actor"], quoted)),
        "code": (columns["code"], quoted(columns["code"])),
        "dataset": (columns["dataset"], _each(columns["dataset"], quoted)),
        "geometry": (hashes, pc.binary_join_element_wise('{"sha256":"', _hex(hashes), '","srid":', srid, "}", "")),
        "op": (columns["op"], _each(columns["op"], quoted)),
        "prev": (prev, prev),
        "private": (columns["private"], _private(columns["private"])),
        "reason": (columns["reason"], _each(columns["reason"], quoted)),
        "rev": (rev, rev),
        "type": (columns["type"], _each(columns["type"], quoted)),
    }
    parts: list[Any] = []
    for name, (source, texts) in members.items():
        head = f'{"," if parts else "{"}"{name}":'
        if not source.null_count:
            parts += [head, texts]
        elif source.null_count < len(source):
            parts.append(pc.if_else(pc.is_null(source), "", pc.binary_join_element_wise(head, texts, "")))
    return pc.binary_join_element_wise(*parts, ',"v":1}', "")


def _each(column: Column, write: Callable[[Column], Column]) -> Column:
    """Write each distinct value once: what a statement wrote shares most of them."""
    distinct = column.dictionary_encode()
    return pc.take(write(distinct.dictionary), distinct.indices)


def _hex(data: Column) -> Column:
    """Return bytes as hex digits; null stays null."""
    valid, offsets, content = data.buffers()
    digits = _HEX[np.frombuffer(content or b"", np.uint8)]
    ends = np.frombuffer(offsets, np.int32) * 2
    return pa.StringArray.from_buffers(
        len(data), pa.py_buffer(ends), pa.py_buffer(digits), valid, data.null_count, data.offset
    )


_HEX = np.frombuffer(bytes(range(256)).hex().encode(), np.uint16)  # two digits for each byte


def _bodies(texts: Column) -> Column:
    """Return bodies in their canonical spelling; null where there is none, or one that is refused."""
    given = texts.drop_null().to_pylist()
    written = iter(chain.from_iterable(_some(given[i : i + TOGETHER]) for i in range(0, len(given), TOGETHER)))
    present = (
        written
        if not texts.null_count
        else (next(written) if there else None for there in texts.is_valid().to_pylist())
    )
    return pa.array(present, pa.binary()).cast(pa.string())


def _some(texts: Sequence[bytes]) -> list[bytes | None]:
    plain = [body for body in plain_bodies(texts) if body is not None]
    return [*write_all(plain)] if len(plain) == len(texts) else [_body(text) for text in texts]


def _body(text: bytes) -> bytes | None:
    try:
        return body_bytes(text)
    except CimError:
        return None


def _private(held: Column) -> Column:
    """Return the commitments to private fields; null where there are none, or one that is refused."""
    if held.null_count == len(held):
        return held
    return pa.array([None if text is None else _commitments(text) for text in held.to_pylist()], pa.string())


def _commitments(text: str) -> str | None:
    try:
        return canonicalize(commitments(private_of(text))).decode()
    except CimError:
        return None


def quoted(texts: Column) -> Column:
    """Return texts as JSON strings, spelt as RFC 8785 has them; null stays null."""
    if isinstance(texts, pa.ChunkedArray):  # the mask below may have no chunks
        texts = pa.concat_arrays(texts.chunks) if texts.num_chunks else pa.array([], texts.type)
    plain = pc.binary_join_element_wise('"', texts, '"', "")
    special = pc.match_substring_regex(texts, _SPECIAL)
    if not pc.any(special).as_py():
        return plain
    special = pc.fill_null(special, False)
    escaped = [json.dumps(text, ensure_ascii=False) for text in texts.filter(special).to_pylist()]
    return pc.replace_with_mask(plain, special, pa.array(escaped, pa.string()))


# What JSON text must escape (RFC 8259, section 7).
_SPECIAL = r'["\\\x00-\x1f]'
