"""Whole selections as Arrow batches, as the server sends them: memory does not grow with the result.

By ADBC, whose COPY is several times as fast as rows of Python objects. COPY takes no parameters, so psycopg writes the
values into the statement, quoted as PostgreSQL has it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self

import adbc_driver_manager as adbc
import psycopg
import pyarrow as pa
import sqlalchemy as sa
from adbc_driver_postgresql import StatementOptions
from adbc_driver_postgresql.dbapi import connect
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect

from cim.db.access import reading
from cim.db.engine import Database
from cim.db.live import Live, live_columns
from cim.db.server import libpq_uri
from cim.errors import DatabaseError, InvalidFilter

BATCH_BYTES = 4 << 20
# The server's memory for each is small; what is bounded is how many of its processors exports may take.
MAX_AT_ONCE = 4
# Seconds one may take, the client's own among them: whoever takes nothing is gone after a minute, see `api.server`.
TIMEOUT = 600.0
BATCH_TIMEOUT = 60.0  # seconds the server may work on one batch
_PATIENCE = 5.0
_at_once = threading.BoundedSemaphore(MAX_AT_ONCE)
_FAILED = (adbc.Error, pa.ArrowException, OSError)


class Stream:
    """The rows of a statement, read in one read-only snapshot. Iterate once, and close; an iteration ends so, too.

    One batch is read while the one before it is written.

    Attributes
    ----------
    live : what the live tables were at in that snapshot
    schema : Arrow schema of the batches

    Raises
    ------
    DatabaseError : unreachable, busy, or too slow. InvalidFilter : a value is out of range.
    """

    def __init__(self, database: Database, statement: sa.Select[Any]) -> None:
        text = _written(database, statement)
        if not _at_once.acquire(timeout=_PATIENCE):
            raise DatabaseError(f"{MAX_AT_ONCE} exports are under way; try again when one has ended")
        self._connection: Any = None
        self._closed = False
        try:
            self._connection = connect(libpq_uri(sa.make_url(database.url)))
            with self._connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute(f"SET LOCAL statement_timeout = {int(TIMEOUT * 1000)}")
                cursor.execute("SET LOCAL timezone = 'UTC'")
                # Workers hand each row on once more: a third more of the server's time than one process takes.
                cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
                rights = reading()
                for beginning in [] if rights is None else rights.statements():
                    cursor.execute(beginning)
                cursor.execute(_written(database, sa.select(*live_columns())))
                size, root, ahead = cursor.fetchone()
                self.live = Live(size, bytes(root), ahead)
            self._cursor = self._connection.cursor()
            self._cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)})
            with self._watched():
                self._cursor.execute(text)
                reader = self._cursor._results.reader  # what `fetch_record_batch` gives knows no SQLSTATE of an error
                self.schema: Any = reader.schema
                self._batches: Any = iter(reader)
                self._first: Any = next(self._batches, None)
        except _FAILED as error:
            self.close()
            raise _told(error) from error
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            with ThreadPoolExecutor(1) as ahead:
                batch = self._first
                while batch is not None:
                    following = ahead.submit(self._read)
                    yield batch
                    batch = following.result()
        except _FAILED as error:
            raise _told(error) from error
        finally:
            self.close()

    def _read(self) -> Any:
        with self._watched():
            return next(self._batches, None)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """End the query where the server works on one batch for too long."""
        watch = threading.Timer(BATCH_TIMEOUT, self._cursor.adbc_cancel)
        watch.start()
        try:
            yield
        finally:
            watch.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the query, if it has not ended, and the connection. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._connection is not None:
                self._connection.close()
        finally:
            _at_once.release()


def _written(database: Database, statement: sa.Select[Any]) -> str:
    """Return a statement with its values written into it by psycopg."""
    compiled: Any = statement.compile(dialect=psycopg_dialect.dialect())  # type: ignore[no-untyped-call]
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        return psycopg.ClientCursor(driver).mogrify(str(compiled), compiled.params)


def _told(error: Exception) -> Exception:
    state = str(getattr(error, "sqlstate", "") or "")
    if state == "57014":
        longer = f"longer than {TIMEOUT:g} s, or {BATCH_TIMEOUT:g} s for a part"
        return DatabaseError(f"the export took {longer}; ask for less: a smaller box, limit or filter")
    if state.startswith("22"):
        return InvalidFilter("a value is out of range")
    return DatabaseError(f"the export broke off: {error}; try again")
