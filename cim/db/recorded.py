"""Leaves with the revisions they stand for, read and compared by columns: the bulk of an audit.

By ADBC and Arrow, because a Python object for each value costs more than all that is to be compared. What is not alike
at once is only said to be in doubt; the audit looks at that again, revision by revision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import adbc_driver_manager as adbc
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from adbc_driver_postgresql.dbapi import connect
from sqlalchemy.dialects import postgresql

from cim.db.json_text import quoted
from cim.db.logstore import private_of
from cim.db.script import query
from cim.db.server import libpq_uri
from cim.errors import CimError, DatabaseError
from cim.log.audit import Recorded
from cim.log.entry import body_bytes, canonicalize, plain_bodies, write_all
from cim.log.sequencer import TOGETHER, commitments

Column = Any  # pa.Array: pyarrow ships no type information

PLAIN = ["insert", "update", "delete"]


def read(url: sa.URL, start: int, end: int, limit: int) -> Iterator[Recorded]:
    """Yield the leaves start to end, `limit` at once, by a connection of its own; the next ones are read meanwhile.

    Raises
    ------
    DatabaseError : unreachable, or lost on the way.
    """
    spans = [(first, min(first + limit, end)) for first in range(start, end, limit)]
    try:
        with connect(libpq_uri(url), autocommit=True) as connection, ThreadPoolExecutor(1) as ahead:
            coming = [ahead.submit(_table, connection, *span) for span in spans[:1]]
            for number in range(1, len(spans) + 1):
                table = coming.pop().result()
                coming += [ahead.submit(_table, connection, *span) for span in spans[number : number + 1]]
                yield _recorded(table)
    except adbc.Error as error:
        raise DatabaseError(f"the database gave up: {error}; see that it runs and answers, and run again") from error


def _table(connection: Any, start: int, end: int) -> Any:
    span = {"first": start, "end": end}
    with connection.cursor() as cursor:
        cursor.execute(_written("log/leaf_span", span))
        first, last = cursor.fetchone()
        cursor.execute(_written("log/audit_leaves", span | {"first_id": first or 0, "last_id": last or 0}))
        return cursor.fetch_arrow_table()


def _written(name: str, parameters: dict[str, int]) -> str:
    """Return a query with its parameters written into it: COPY takes none."""
    dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
    return str(query(name).bindparams(**parameters).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _recorded(table: Any) -> Recorded:
    idx = table["idx"].to_pylist()
    if idx != sorted(idx):
        table = table.sort_by("idx")
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    return Recorded(
        at=columns["at"].cast(pa.int64()).to_pylist(),
        doubtful=_doubtful(columns),
        **{name: columns[name].to_pylist() for name in ("idx", "prev", "type", "code", "rev", "entry", "hash")},
    )


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
    hexed = pa.array([data and data.hex() for data in hashes.to_pylist()], pa.string())
    srid, prev, rev = (columns[name].cast(pa.string()) for name in ("srid", "prev", "rev"))
    prev = prev.fill_null("null")
    members = {
        "at": (columns["at"], _each(columns["at"], lambda at: pc.strftime(at, '"%Y-%m-%dT%H:%M:%SZ"'))),
        "body": (columns["body"], _bodies(columns["body"])),
        "by": (columns["actor"], _each(columns["actor"], quoted)),
        "code": (columns["code"], quoted(columns["code"])),
        "dataset": (columns["dataset"], _each(columns["dataset"], quoted)),
        "geometry": (hashes, pc.binary_join_element_wise('{"sha256":"', hexed, '","srid":', srid, "}", "")),
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
