"""Queries whose rows come as Arrow columns, by ADBC: for many rows, without a Python object for each value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import adbc_driver_manager as adbc
import sqlalchemy as sa
from adbc_driver_postgresql.dbapi import connect
from sqlalchemy.dialects import postgresql

from cim.db.script import query
from cim.db.server import libpq_uri
from cim.errors import DatabaseError

Fetch = Callable[[str, Mapping[str, Any]], Any]
"""(name of a query, parameters) -> pa.Table"""


@contextmanager
def reading(url: sa.URL) -> Iterator[Fetch]:
    """Give what runs queries on a connection of its own, each by itself, one after another.

    Raises
    ------
    DatabaseError : unreachable, or lost on the way.
    """
    try:
        with connect(libpq_uri(url), autocommit=True) as connection:

            def fetch(name: str, parameters: Mapping[str, Any]) -> Any:
                with connection.cursor() as cursor:
                    cursor.execute(_written(name, parameters))
                    return cursor.fetch_arrow_table()

            yield fetch
    except adbc.Error as error:
        raise DatabaseError(f"the database gave up: {error}; see that it runs and answers, and run again") from error


def _written(name: str, parameters: Mapping[str, Any]) -> str:
    """Return a query with its parameters written into it: COPY takes none."""
    dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
    return str(query(name).bindparams(**parameters).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
