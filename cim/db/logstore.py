"""The change log's side of the database: what the sequencer and the audit ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import Any

import pgpq
import psycopg
import pyarrow as pa
import sqlalchemy as sa

from cim.db.script import query
from cim.db.state import TreeHead
from cim.errors import Conflict
from cim.log.audit import Reached, Recorded
from cim.log.columns import Columns, columns_of
from cim.log.revision import Revision, revision_of
from cim.log.sequencer import Leaves
from cim.log.tree import CompactRange

# Leaves from which on a plan made without knowing of them is felt: reading all of so many takes some milliseconds.
_MANY = 10_000
_FEW = 256  # revisions


class LogStore:
    """One database connection for all that a sequencer run writes, so that its lock and its work share a fate."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._horizon: str | None = None  # of the last look at what is pending
        self._waiting = 0  # revisions below it that were read and have no leaf yet
        self._size = 0  # of the tree, once it was looked at
        self._unknown = 0  # leaves since the planner was last told what their table holds
        self._revisions_known = False  # to the planner, those of these leaves

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the advisory lock of the sequencer for this session."""
        with self.connection.begin():
            self.connection.execute(query("log/lock"))
        try:
            yield
        finally:
            if not self.connection.invalidated and not self.connection.closed:
                with self.connection.begin():
                    self.connection.execute(query("log/unlock"))

    @contextmanager
    def exclusive_if_free(self) -> Iterator[bool]:
        """Hold the lock, in which `exclusive` may be entered, where no other session has it; tell whether."""
        with self.connection.begin():
            free = bool(self.connection.execute(query("log/try_lock")).scalar_one())
        try:
            yield free
        finally:
            if free and not self.connection.invalidated and not self.connection.closed:
                with self.connection.begin():
                    self.connection.execute(query("log/unlock"))

    def tree(self) -> CompactRange:
        """Return the tree as last committed."""
        with self.connection.begin():
            edge = self.connection.execute(query("log/state")).scalar_one()
        tree = CompactRange.from_bytes(bytes(edge))
        self._size = tree.size
        return tree

    def pending(self, limit: int) -> Iterator[Columns]:
        """Yield revisions without a leaf, of transactions below the horizon, in order, `limit` or fewer at once.

        The horizon stays that of the beginning, so that what lies below it cannot change on the way.

        Raises
        ------
        Conflict : the transactions it has counted are another server's, so that new ones would be passed over.
        """
        with self.connection.begin():
            span = self.connection.execute(query("log/pending_span")).one()
        if span.foreign_floor:
            raise Conflict(
                "the database was restored from a dump into a server that has counted fewer transactions than its own "
                "had, so new revisions cannot be told from old ones; restore it into one that has counted as many, or "
                "make it again from the published log by `cim log replay`"
            )
        self._horizon, self._waiting = span.horizon, 0
        if span.first is None:
            return
        with (
            self._fetching(span.end - span.first) as fetch,
            ThreadPoolExecutor(1) as ahead,
            ThreadPoolExecutor(1) as keeper,
        ):

            def batch(first: int) -> Columns:
                return fetch({"horizon": span.horizon, **_span(first, min(first + limit, span.end))})

            told: Future[None] | None = None
            coming = ahead.submit(batch, span.first)
            for following in range(span.first + limit, span.end + limit, limit):
                columns = coming.result()
                if following < span.end:
                    coming = ahead.submit(batch, following)
                self._waiting += len(columns["id"])
                if not self._revisions_known and self._are_many(self._unknown + self._waiting):
                    self._revisions_known = True
                    told = keeper.submit(self._tell_planner, "log/vacuum_revisions")
                if len(columns["id"]):
                    yield columns
            if told is not None:
                told.result()

    @contextmanager
    def _fetching(self, span: int) -> Iterator[Callable[[dict[str, Any]], Columns]]:
        """Give what reads the pending revisions of so wide a span of ids.

        By a second connection, because the first may be storing: it fetches the next batch while one is worked on.
        Another driver brings many at half the cost, but takes longer to connect than a few take to be read.
        """
        if span < _FEW:
            with self.connection.engine.connect() as reader:

                def few(parameters: dict[str, Any]) -> Columns:
                    with reader.begin():
                        return columns_of(_binary(reader, "log/pending", parameters))

                yield few
            return
        from cim.db.arrow import reading  # ADBC takes a while to load

        with reading(self.connection.engine.url) as fetch:

            def many(parameters: dict[str, Any]) -> Columns:
                table = fetch("log/pending", parameters)
                return {name: table[name].combine_chunks() for name in table.column_names}

            yield many

    def append(self, old: CompactRange, new: CompactRange, leaves: Leaves) -> None:
        """Copy the leaves in and move the tree, in one transaction.

        Raises
        ------
        Conflict : the tree is not at `old` any more.
        """
        with self.connection.begin():
            self.copy_leaves(leaves)
            self.move(old, new)
            self.connection.execute(query("log/record_head"), {"size": new.size, "root": new.root()})
        self._waiting -= len(leaves.hashes)
        self._size = new.size
        self._unknown += len(leaves.hashes)

    def copy_leaves(self, leaves: Leaves) -> None:
        """Copy the leaves in, and note what they replace, in the caller's transaction."""
        with self._cursor() as cursor, cursor.copy(query("log/copy_leaves").text.encode()) as copy:
            copy.write(_copy_format(leaves))
        if any(prev is not None for prev in leaves.prevs):
            span = _span(leaves.first, leaves.first + len(leaves.prevs))
            self.connection.execute(query("log/record_replaced"), span)

    def move(self, old: CompactRange, new: CompactRange) -> None:
        """Move the tree, in the caller's transaction; Conflict where it is not at `old` any more."""
        parameters = {"old_size": old.size, "size": new.size, "root": new.root(), "edge": new.to_bytes()}
        if self.connection.execute(query("log/move"), parameters).rowcount != 1:
            raise Conflict(f"the tree moved on from size {old.size} while its next batch was made; run again")

    def copy(self, statement: sa.TextClause, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Run a binary COPY with rows whose values are of these types, in the caller's transaction."""
        with self._cursor() as cursor, cursor.copy(statement.text.encode()) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def hashes(self, start: int, end: int) -> list[bytes]:
        """Return the hashes of leaves start to end, in order."""
        with self.connection.begin():
            return [row[0] for row in _binary(self.connection, "log/hashes", _span(start, end))]

    def entries(self, start: int, end: int) -> list[bytes]:
        """Return the entries of leaves start to end, in order."""
        with self.connection.begin():
            return [row[0] for row in _binary(self.connection, "log/entries", _span(start, end))]

    def settle(self) -> None:
        """Raise the floor below which every revision has its leaf.

        That is the horizon, where all that was read below it got its leaf; else the oldest that has none is looked for.
        """
        with self.connection.begin():
            self.connection.execute(query("log/commit_later"))
            if self._waiting:
                self.connection.execute(query("log/raise_floor"))
            else:
                self.connection.execute(query("log/set_floor"), {"horizon": self._horizon})
        if self._are_many(self._unknown):
            if not self._revisions_known:
                self._tell_planner("log/vacuum_revisions")
            self._tell_planner("log/vacuum_leaves")
            self._unknown, self._revisions_known = 0, False

    def _are_many(self, leaves: int) -> bool:
        return leaves >= max(_MANY, self._size // 10)

    def _tell_planner(self, name: str) -> None:
        """Tell the planner of a table at once: until the server does, a box as of a state would read all of a type."""
        with self.connection.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as keeper:
            keeper.execute(query(name))

    def geometries(self, size: int) -> Iterator[tuple[str, bytes]]:
        """Yield (SHA-256 in hex, ISO WKB) of each geometry that a leaf below `size` names, once."""
        with self.connection.begin():
            rows = self.connection.execution_options(yield_per=1000).execute(query("log/geometries"), {"size": size})
            for row in rows:
                yield bytes(row.sha256).hex(), bytes(row.wkb)

    def heads(self) -> list[TreeHead]:
        """Return every tree head so far, in order of size."""
        with self.connection.begin():
            rows = self.connection.execute(query("log/heads")).all()
        return [TreeHead(row.size, bytes(row.root), row.at) for row in rows]

    def heads_around(self, start: int, end: int) -> list[Reached]:
        """Return the heads from the last at or below leaf `start` to the first at or above `end`."""
        with self.connection.begin():
            return [Reached._make(row) for row in self.connection.execute(query("log/heads_around"), _span(start, end))]

    def stored_root(self) -> bytes:
        """Return the root that the database says its tree has."""
        with self.connection.begin():
            return bytes(self.connection.execute(query("log/stored_root")).scalar_one())

    def recorded(self, start: int, end: int, limit: int) -> Iterator[Recorded]:
        """Yield the leaves start to end with their revisions, `limit` at once, read by a connection of its own."""
        from cim.db.recorded import read  # Arrow and ADBC take a while to load

        return read(self.connection.engine.url, start, end, limit)

    def revisions(self, start: int, end: int) -> dict[int, Revision]:
        """Return the revisions that the leaves start to end stand for, by leaf; without those that cannot be read."""
        try:
            with self.connection.begin():
                leaves = _binary(self.connection, "log/audit_leaves", _span(start, end))
                spans = [{"first_id": first, "last_id": last} for first, last in stretches(leaf[1] for leaf in leaves)]
                rows = [row for span in spans for row in _binary(self.connection, "log/audit_revisions", span)]
        except psycopg.DataError:  # a time beyond Python's calendar: one of them has it
            if end - start <= 1:
                return {}
            middle = (start + end) // 2
            return self.revisions(start, middle) | self.revisions(middle, end)
        by_id = {row[0]: row for row in rows}
        return {idx: revision_of(by_id[number][:-1]) for idx, number, *_ in leaves if number in by_id}

    def latest(self, objects: Sequence[tuple[str, str]], before: int) -> dict[tuple[str, str], tuple[int, int]]:
        """Return (leaf, rev) of the objects' last revision below the leaf `before`, of those that have one."""
        parameters = {"types": [o[0] for o in objects], "codes": [o[1] for o in objects], "before": before}
        with self.connection.begin():
            rows = self.connection.execute(query("log/latest_of"), parameters).all()
        return {(row.type, row.code): (row.idx, row.rev) for row in rows}

    def erasures(self) -> dict[tuple[str, str, str], int]:
        """Return the revision, by (type, code, field), that last erased a private field."""
        with self.connection.begin():
            return {(r.type, r.code, r.field): r.rev for r in self.connection.execute(query("log/erasures"))}

    def revived(self) -> Iterator[tuple[str, str, int, str]]:
        """Yield (type, code, rev, field) of private values that were erased and are there again."""
        for row in self._beside("log/revived"):
            yield row.type, row.code, row.rev, row.field

    def live_differences(self) -> Iterator[tuple[str, str, int, str]]:
        """Yield (type, code, rev, problem) where a live row is not its latest revision."""
        for row in self._beside("log/live_differences"):
            yield row.type, row.code, row.rev, row.problem

    def replaced_differences(self) -> Iterator[tuple[str, str, int]]:
        """Yield (type, code, rev) of revisions that reads of a state take for replaced, and are not, or the reverse."""
        for row in self._beside("log/replaced_differences"):
            yield row.type, row.code, row.rev

    def skipped(self) -> Iterator[tuple[str, str, int]]:
        """Yield (type, code, rev) of revisions that should have a leaf and have none."""
        for row in self._beside("log/skipped"):
            yield row.type, row.code, row.rev

    def unsequenced(self) -> int:
        """Count the visible revisions that have no leaf."""
        with self.connection.begin():
            return int(self.connection.execute(query("log/lag")).one().revisions)

    def _beside(self, name: str) -> Iterator[sa.Row[Any]]:
        """Run a query by a connection of its own, so that a thread may do so beside another that uses this one."""
        with self.connection.engine.connect() as reader:
            yield from reader.execute(query(name))

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        raw = self.connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        with raw.cursor() as cursor:
            yield cursor


def _binary(connection: sa.Connection, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run a query whose rows come in PostgreSQL's binary form: bytes as they are, not as hex digits."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    with raw.cursor(binary=True) as cursor:
        return cursor.execute(str(query(name).compile(dialect=connection.dialect)).encode(), parameters).fetchall()


def _copy_format(leaves: Leaves) -> bytes:
    """Write leaves as log/copy_leaves takes them."""
    first, revisions, prevs, entries, hashes = leaves
    rows = pa.record_batch(
        {
            "idx": pa.array(range(first, first + len(entries)), pa.int64()),
            "revision_id": pa.array(revisions, pa.int64()),
            "prev": pa.array(prevs, pa.int64()),
            "entry": pa.array(entries, pa.binary()),
            "hash": pa.array(hashes, pa.binary()),
        }
    )
    encoder = pgpq.ArrowToPostgresBinaryEncoder(rows.schema)
    return b"".join([encoder.write_header(), encoder.write_batch(rows), encoder.finish()])


def _span(start: int, end: int) -> dict[str, int]:
    return {"first": start, "end": end}


def stretches(ids: Iterable[int]) -> list[tuple[int, int]]:
    """Return first and last of the stretches in which ids lie, apart where a batch of others may lie between them."""
    ordered = sorted(ids)
    ends = ordered[:1] + ordered[-1:]
    if ends and ends[1] - ends[0] > _MANY:
        gaps = [(before, after) for before, after in pairwise(ordered) if after - before > _MANY]
        ends[1:1] = chain.from_iterable(gaps)
    return [*zip(ends[::2], ends[1::2], strict=True)]
