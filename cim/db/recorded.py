"""Leaves with the revisions they stand for, read and compared by columns: the bulk of an audit.

By ADBC and Arrow, because a Python object for each value costs more than all that is to be compared. What is not alike
at once is only said to be in doubt; the audit looks at that again, revision by revision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from typing import Any

import adbc_driver_manager as adbc
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from adbc_driver_postgresql.dbapi import connect
from sqlalchemy.dialects import postgresql

from cim.db.json_text import quoted
from cim.db.logstore import private_of, stretches
from cim.db.script import query
from cim.db.server import libpq_uri
from cim.errors import CimError, DatabaseError
from cim.log.audit import Recorded
from cim.log.entry import body_bytes, canonicalize, plain_bodies, write_all
from cim.log.sequencer import TOGETHER, commitments

Column = Any  # pa.Array: pyarrow ships no type information

PLAIN = ["insert", "update", "delete"]
AHEAD = 2  # batches read while one is worked on, each by a connection of its own: none of them waits for another


def read(url: sa.URL, start: int, end: int, limit: int) -> Iterator[Recorded]:
    """Yield the leaves start to end, `limit` at once, by connections of its own; the next AHEAD are read meanwhile.

    Raises
    ------
    DatabaseError : unreachable, or lost on the way.
    """
    spans = [(first, min(first + limit, end)) for first in range(start, end, limit)]
    try:
        with ExitStack() as stack:
            connections = [stack.enter_context(connect(libpq_uri(url), autocommit=True)) for _ in spans[:AHEAD]]
            readers = [stack.enter_context(ThreadPoolExecutor(1)) for _ in connections]

            def ask(number: int) -> Future[tuple[Any, Any]]:
                return readers[number % AHEAD].submit(_read, connections[number % AHEAD], *spans[number])

            coming = deque(ask(number) for number in range(len(readers)))
            for number in range(AHEAD, len(spans) + AHEAD):
                leaves, revisions = coming.popleft().result()
                if number < len(spans):
                    coming.append(ask(number))
                yield _recorded(leaves, revisions)
    except adbc.Error as error:
        raise DatabaseError(f"the database gave up: {error}; see that it runs and answers, and run again") from error


def _read(connection: Any, start: int, end: int) -> tuple[Any, Any]:
    """Return leaves in order, and the revisions they stand for, perhaps with others between."""
    with connection.cursor() as cursor:
        cursor.execute(_written("log/audit_leaves", {"first": start, "end": end}))
        leaves = cursor.fetch_arrow_table()
        revisions = []
        for first, last in stretches(leaves["revision_id"].to_pylist()) or [(1, 0)]:
            cursor.execute(_written("log/audit_revisions", {"first_id": first, "last_id": last}))
            revisions.append(cursor.fetch_arrow_table())
    return leaves, pa.concat_tables(revisions)


def _written(name: str, parameters: dict[str, int]) -> str:
    """Return a query with its parameters written into it: COPY takes none."""
    dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
    return str(query(name).bindparams(**parameters).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _recorded(leaves: Any, revisions: Any) -> Recorded:
    if not leaves["revision_id"].equals(revisions["id"]):
        leaves, revisions = _matched(leaves, revisions)
    columns = {name: _whole(table[name]) for table in (revisions, leaves) for name in table.column_names}
    return Recorded(
        at=columns["at"].cast(pa.int64()).to_pylist(),
        doubtful=_doubtful(columns),
        **{name: columns[name].to_pylist() for name in ("idx", "prev", "type", "code", "rev", "entry", "hash")},
    )


def _matched(leaves: Any, revisions: Any) -> tuple[Any, Any]:
    """Return each leaf beside its revision, in order of the leaves; without those of either that lack the other."""
    ours, theirs = (
        pa.table({"id": table[name], side: pa.array(range(len(table)), pa.int64())})
        for table, name, side in ((leaves, "revision_id", "leaf"), (revisions, "id", "revision"))
    )
    places = ours.join(theirs, "id", join_type="inner").sort_by("leaf")
    return leaves.take(places["leaf"]), revisions.take(places["revision"])


def _whole(column: Any) -> Column:
    """Return a column in one piece, without a copy where it is."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _doubtful(columns: dict[str, Column]) -> list[int]:
    """Return at which places an entry is not just what `render` writes of the revision, or may not be."""
    try:
        written = _entries(columns)
    except pa.ArrowException:  # a time, say, that is beyond all calendars
        return list(range(len(columns["idx"])))
    alike = pc.and_(pc.equal(written.cast(pa.binary()), columns["entry"]), pc.is_in(columns["op"], pa.array(PLAIN)))
    for name in ("erased", "superseded"):
        alike = pc.and_(alike, pc.is_null(columns[name]))
    return pc.indices_nonzero(pc.invert(pc.fill_null(alike, False))).to_pylist()  # type: ignore[no-any-return]


def _entries(columns: dict[str, Column]) -> Column:
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
