"""Who may read what: the database's roles, keys of the API, and the record of who read personal data."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from limits import RateLimitItem, parse_many

from cim.db.engine import Database, told
from cim.db.script import query
from cim.dictionary import Dictionary, FeatureType
from cim.errors import DatabaseError, InvalidData, NotFound
from cim.log.entry import parse_body

Role = Literal["cim_public", "cim_staff", "cim_district"]
VERBS = ("read", "write", "private", "execute")

_KEY = re.compile(r"cim_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_SCOPE = re.compile(rf"(\*|[a-z][a-z0-9_]*):({'|'.join(VERBS)})", re.ASCII)
_DIVISION = re.compile(r"[0-9A-Za-z-]{1,40}", re.ASCII)


# ---------------------------------------------------------------------- roles


@dataclass(frozen=True, slots=True)
class Reading:
    """With which rights the reads of a request are made; `divisions` count for the role cim_district only."""

    role: Role = "cim_public"
    divisions: tuple[str, ...] = ()

    def statements(self) -> list[str]:
        """Return what a transaction begins with, to read with these rights until it ends."""
        divisions = ",".join(check_divisions(self.divisions))
        return [f"SET LOCAL cim.divisions = '{divisions}'", f"SET LOCAL ROLE {self.role}"]


# The reads of one request, wherever in its course they are made, are made with the rights of its caller.
_reading: ContextVar[Reading | None] = ContextVar("reading", default=None)


def reading() -> Reading | None:
    """Return the rights in force here; None outside of requests, where each connection reads with its own."""
    return _reading.get()


@contextmanager
def read_as(rights: Reading) -> Iterator[None]:
    """Read with these rights within."""
    token = _reading.set(rights)
    try:
        yield
    finally:
        _reading.reset(token)


def publish(database: Database) -> None:
    """Bring the rights of the API's roles up to the dictionary and the settings.

    Raises
    ------
    InvalidData : CIM_API_PUBLIC names a type that is none. DatabaseError : the roles are missing and cannot be made.
    """
    given = {"public": public_types(database), "embedded": database.settings.database_url is None}
    try:
        with told(), database.engine.begin() as connection:
            connection.execute(query("access/publish"), given)
    except sa.exc.ProgrammingError as error:
        raise DatabaseError(
            f"cannot set the rights of the API's roles: {error.orig}; let an administrator run there: "
            "CREATE ROLE cim_public; CREATE ROLE cim_staff; CREATE ROLE cim_district; "
            "GRANT cim_public, cim_staff, cim_district TO the user of CIM_DATABASE_URL"
        ) from error


def public_types(database: Database) -> list[str]:
    """Return the feature types that everybody may read.

    Raises
    ------
    InvalidData : CIM_API_PUBLIC names a type that is none.
    """
    named, known = database.settings.api_public, list(database.dictionary.types)
    if named is None:
        return known
    if unknown := sorted(named - set(known)):
        raise InvalidData(f"CIM_API_PUBLIC: no feature type {', '.join(unknown)}; there are {', '.join(known)}")
    return [name for name in known if name in named]


# ---------------------------------------------------------------------- keys


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key allows: scopes such as `building:write` or `*:read`, in some divisions or (None) everywhere.

    `quota` is how many requests it may send in a period, None for no such limit.
    """

    id: str
    name: str
    scopes: frozenset[str]
    divisions: tuple[str, ...] | None
    quota: RateLimitItem | None


def check_scopes(scopes: Sequence[str]) -> frozenset[str]:
    """Return scopes as a set.

    Raises
    ------
    InvalidData : one is no scope.
    """
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise InvalidData(
                f"{scope!r} is no scope; expected TYPE:VERB such as building:write, *:read or processes:execute, "
                f"with a verb of {', '.join(VERBS)}"
            )
    return frozenset(scopes)


def check_types(dictionary: Dictionary, scopes: Sequence[str]) -> None:
    """Check that scopes name feature types there are: one that does not would allow nothing, without a word.

    Raises
    ------
    InvalidData : one names another type.
    """
    known = {*dictionary.types, "processes", "*"}
    for scope in scopes:
        if scope.partition(":")[0] not in known:
            raise InvalidData(f"{scope!r} names no feature type; there are {', '.join(dictionary.types)}")


def check_divisions(divisions: Sequence[str]) -> tuple[str, ...]:
    """Return division codes as a tuple.

    Raises
    ------
    InvalidData : one cannot be a code of a division.
    """
    for division in divisions:
        if not _DIVISION.fullmatch(division):
            raise InvalidData(f"{division[:60]!r} is no code of a division: expected letters, digits and hyphens")
    return tuple(divisions)


def check_quota(text: str) -> RateLimitItem:
    """Return a quota: a number of requests, and the period they are for.

    Raises
    ------
    InvalidData : it is none.
    """
    with suppress(ValueError):
        quota, *more = parse_many(text)
        if not more and 1 <= quota.amount < 2**63:
            return quota
    raise InvalidData(f"{text[:60]!r} is no quota; expected requests per period, such as 10000/day or 600/minute")


def _text_of(quota: RateLimitItem) -> str:
    count = "" if quota.multiples == 1 else f"{quota.multiples} "
    return f"{quota.amount}/{count}{quota.GRANULARITY.name}"


def add_key(
    connection: sa.Connection,
    name: str,
    scopes: Sequence[str],
    divisions: Sequence[str] = (),
    expires: datetime | None = None,
    quota: str | None = None,
) -> str:
    """Make a key and return its text, which is never shown again.

    Parameters
    ----------
    name : who uses it; audit and log name it
    divisions : what it is limited to, with all below them; none for no limit
    expires : when it ends; None for never
    quota : how many requests it may send in a period, as 10000/day; None for no such limit

    Raises
    ------
    InvalidData : no name, no scope, or one that is none; the quota is none.
    """
    if not name.strip() or not name.isprintable():
        raise InvalidData("a key needs the name of who uses it, in printable characters")
    if not scopes:
        raise InvalidData("a key needs at least one scope, such as *:read")
    number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    values = {
        "id": number,
        "secret": _digest(secret),
        "name": name,
        "scopes": sorted(check_scopes(scopes)),
        "divisions": list(check_divisions(divisions)) or None,
        "expires": expires,
        "quota": None if quota is None else _text_of(check_quota(quota)),
    }
    connection.execute(query("access/add_key"), values)
    return f"cim_{number}_{secret}"


def find_key(connection: sa.Connection, text: str) -> Grant | None:
    """Return what a key allows; None where it is unknown, wrong, revoked or expired."""
    parsed = _KEY.fullmatch(text)
    if parsed is None:
        return None
    row = connection.execute(query("access/find_key"), {"id": parsed[1]}).one_or_none()
    if row is None or not hmac.compare_digest(bytes(row.secret), _digest(parsed[2])):
        return None
    divisions = None if row.divisions is None else tuple(row.divisions)
    quota = None if row.quota is None else check_quota(row.quota)
    return Grant(parsed[1], row.name, frozenset(row.scopes), divisions, quota)


def use_key(connection: sa.Connection, number: str, since: datetime, more: int) -> int:
    """Add requests to what a key has sent in the period that began at `since`, and return how many they are in all."""
    given = {"id": number, "since": since, "more": more}
    return int(connection.execute(query("access/use_key"), given).scalar_one_or_none() or 0)


def keys(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return every key without its secret, oldest first."""
    return [dict(row) for row in connection.execute(query("access/list_keys")).mappings()]


def revoke_key(connection: sa.Connection, number: str) -> None:
    """Let a key be worth nothing from now on.

    Raises
    ------
    NotFound : there is no such key, or it is revoked already.
    """
    if connection.execute(query("access/revoke_key"), {"id": number}).rowcount == 0:
        raise NotFound(f"there is no key {number!r} that could be revoked; `cim keys list` shows all")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


# ---------------------------------------------------------------------- personal data


def read_private(
    database: Database, feature_type: FeatureType, code: str, *, reader: str, request: str
) -> dict[str, Any]:
    """Return the private fields of an object as they are now, null where it has no value, and record who read them.

    The record is committed before anything is returned.

    Raises
    ------
    NotFound : the type has no private fields, or there is no such object.
    """
    private = [prop.name for prop in feature_type.properties if prop.private]
    if not private:
        raise NotFound(f"{feature_type.name} has no private fields")
    table = database.table(feature_type.name)
    with told(), database.engine.begin() as connection:
        if connection.execute(sa.select(table.c.code).where(table.c.code == code)).one_or_none() is None:
            raise NotFound(f"{feature_type.name} {code} does not exist")
        asked = {"type": feature_type.name, "code": code}
        connection.execute(
            query("access/record_read"), {**asked, "reader": reader, "fields": private, "request": request}
        )
        held = {row.field: parse_body(row.held)["value"] for row in connection.execute(query("privacy/latest"), asked)}
    return {name: held.get(name) for name in private}


def record_disclosure(connection: sa.Connection, type_name: str, code: str, field: str, actor: str | None) -> None:
    """Record that a private value leaves the database as a disclosure, to its user, who may act for somebody."""
    connection.execute(
        query("access/record_disclosure"), {"type": type_name, "code": code, "field": field, "actor": actor}
    )


def private_reads(
    connection: sa.Connection, type_name: str | None = None, code: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Return who read personal data, over the API or as a disclosure, newest first."""
    asked = {"type": type_name, "code": code, "limit": limit}
    return [dict(row) for row in connection.execute(query("access/list_reads"), asked).mappings()]
