"""Look whether the server that CIM_DATABASE_URL names is there and fit."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy as sa

from cim.db.embedded.binaries import MINIMUM_POSTGIS, MINIMUM_POSTGRESQL, package
from cim.db.script import bootstrap
from cim.errors import DatabaseError

CONNECT_TIMEOUT = 5
_EXAMPLE = "postgresql://user@host:5432/database"


def normalise(url: str) -> sa.URL:
    """Return a PostgreSQL URL of any common spelling as one for SQLAlchemy with psycopg.

    Raises
    ------
    DatabaseError : it is no URL, or one of another kind of database. The message never repeats the text: it
        may hold a password.
    """
    try:
        parsed = sa.make_url(url)
        _ = parsed.port
    except (sa.exc.ArgumentError, ValueError) as error:
        raise DatabaseError(f"CIM_DATABASE_URL is not a database URL; expected {_EXAMPLE}") from error
    if url.partition("?")[0].count("@") > 1:  # or its rest would be taken for the host, and shown
        raise DatabaseError("CIM_DATABASE_URL has an @ too many; write %40 for one in the password")
    kind = parsed.drivername.partition("+")[0]
    if kind not in ("postgres", "postgresql"):
        raise DatabaseError(f"CIM_DATABASE_URL names a {kind!r} database; expected PostgreSQL: {_EXAMPLE}")
    return parsed.set(drivername="postgresql+psycopg")


def connectable(url: str) -> str:
    """Return the normalised URL of a server that answers and is fit; create PostGIS if it is only available.

    Returns
    -------
    SQLAlchemy URL `postgresql+psycopg://…`, with its password.

    Raises
    ------
    DatabaseError : no such server, refused, PostgreSQL older than 15, PostGIS missing, not creatable by this
        user, or older than 3.3. The message names host and database, never the password.
    """
    parsed = normalise(url)
    try:
        with _connect(parsed) as connection:
            version = connection.info.server_version // 10000
            if version < MINIMUM_POSTGRESQL:
                raise DatabaseError(
                    f"{_where(parsed)} runs PostgreSQL {version}; {MINIMUM_POSTGRESQL} or newer is needed, upgrade it"
                )
            _ensure_postgis(connection, parsed, version)
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise DatabaseError(f"cannot use {_where(parsed)}: {reason}; check CIM_DATABASE_URL") from error
    return parsed.render_as_string(hide_password=False)


def driver_arguments(url: sa.URL) -> dict[str, Any]:
    """Return what psycopg is told beside a URL: after how many seconds to give up, where the URL does not say so."""
    return {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT}


def _connect(url: sa.URL) -> psycopg.Connection[tuple[str, str | None]]:
    _, arguments = url.get_dialect()().create_connect_args(url)
    return psycopg.connect(**{**arguments, **driver_arguments(url), "autocommit": True})


def _ensure_postgis(connection: psycopg.Connection[tuple[str, str | None]], url: sa.URL, version: int) -> None:
    row = _postgis(connection)
    if row is None:
        raise DatabaseError(
            f"{_where(url)} has no PostGIS; install on that machine: apt-get install {package(version)}"
        )
    if row[1] is None:
        _create_postgis(connection, url)
        row = _postgis(connection) or row
    installed = row[1] or row[0]
    if tuple(int(part) for part in installed.split(".")[:2]) < MINIMUM_POSTGIS:
        raise DatabaseError(
            f"{_where(url)} has PostGIS {installed}, 3.3 or newer is needed; "
            "upgrade its package, then run there: SELECT postgis_extensions_upgrade()"
        )


def _postgis(connection: psycopg.Connection[tuple[str, str | None]]) -> tuple[str, str | None] | None:
    return connection.execute(bootstrap("postgis").encode()).fetchone()


def _create_postgis(connection: psycopg.Connection[tuple[str, str | None]], url: sa.URL) -> None:
    try:
        connection.execute(bootstrap("extension").encode())
    except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):
        pass  # another process was first
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"{_where(url)} lacks the extension postgis and this user may not create it; "
            "let an administrator run there: CREATE EXTENSION postgis"
        ) from error


def _where(url: sa.URL) -> str:
    host = url.host or url.query.get("host") or "the local socket"
    port = f":{url.port}" if url.port else ""
    return f"database {url.database or '(default)'!r} on {host}{port}"


def libpq_uri(url: sa.URL) -> str:
    """Return an address as libpq, and ADBC with it, reads it, its password included."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
