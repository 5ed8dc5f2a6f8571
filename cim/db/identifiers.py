"""Which object does a code or another published identifier name: the crosswalk, through all supersessions.

Today, or by what the log had at a tree head, on the day of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import sqlalchemy as sa

from cim import codes
from cim.db.script import query, query_as_of
from cim.db.state import TreeHead
from cim.dictionary import Dictionary
from cim.errors import InvalidData, NotFound

Named = tuple[str, str]
"""(scheme, value): an identifier, in its scheme's canonical form"""


@dataclass(frozen=True, slots=True)
class Current:
    """An object as it is named; `live` tells whether it exists, or was the last and is gone."""

    type: str
    code: str
    live: bool


@dataclass(frozen=True, slots=True)
class Identifier:
    """One row of the crosswalk: `value` in `scheme` names the object `code` of `type`, up to but without `valid_to`."""

    scheme: str
    value: str
    type: str
    code: str
    valid_from: date | None = None
    valid_to: date | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class Supersession:
    """One step of an object's codes: `old` gave way to `new`; `leaf` is None while the log has not reached it."""

    old: str
    new: tuple[str, ...]
    date: str | None
    evidence: str | None
    at: datetime
    actor: str
    reason: str | None
    leaf: int | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """What an identifier names: the object as it is, and every supersession before and on the way."""

    scheme: str
    value: str
    type: str
    code: str
    live: bool
    chain: tuple[Supersession, ...]
    identifiers: tuple[Identifier, ...]


def current_codes(
    connection: sa.Connection, named: Iterable[Named], *, type_name: str | None = None, head: TreeHead | None = None
) -> dict[Named, tuple[Current, ...]]:
    """Return what many identifiers name, in one query.

    Parameters
    ----------
    named : (scheme, value), values in canonical form; the scheme of a type's own codes counts as well as any of the
        crosswalk, and `provisional` serves every type
    type_name : objects of this type only; default all
    head : the state that is asked; default what is recorded by now, today

    Returns
    -------
    Objects by identifier, in (type, code) order; an identifier that names nothing is not in it. A code that was
    superseded gives what took over, several objects after a split.
    """
    pairs = sorted(set(named))
    parameters: dict[str, object] = {
        "schemes": [p[0] for p in pairs], "values": [p[1] for p in pairs], "type": type_name,
    }  # fmt: skip
    asked = query("codes/current")
    if head is not None:
        asked = query_as_of("codes/current")
        parameters |= {"size": head.size, "day": head.at.astimezone(UTC).date()}
    found: dict[Named, list[Current]] = {}
    for row in connection.execute(asked, parameters):
        found.setdefault((row.scheme, row.value), []).append(Current(row.type, row.code, row.live))
    return {pair: tuple(objects) for pair, objects in found.items()}


def resolve_identifier(
    connection: sa.Connection,
    dictionary: Dictionary,
    text: str,
    scheme_name: str | None = None,
    head: TreeHead | None = None,
) -> list[Resolution]:
    """Return what a text names, however it is spelt; none gives an empty list.

    Parameters
    ----------
    scheme_name : the scheme of the text, ours or one that only the crosswalk knows; default any
    head : the state that is asked; default what is recorded by now, today
    """
    asked = _readings(connection, dictionary, text, scheme_name, _size(head))
    found = current_codes(connection, asked, head=head)
    return [
        Resolution(
            *pair,
            current.type,
            current.code,
            current.live,
            _chain(connection, current.type, current.code, _size(head)),
            identifiers_of(connection, current.type, current.code, _size(head)),
        )
        for pair, objects in sorted(found.items())
        for current in objects
        if current.type in dictionary.types
    ]


def _size(head: TreeHead | None) -> int | None:
    return None if head is None else head.size


def _readings(
    connection: sa.Connection, dictionary: Dictionary, text: str, scheme_name: str | None, size: int | None
) -> set[Named]:
    """Return the (scheme, value) pairs a text may be meant as."""
    known = codes.schemes(dictionary.codelists)
    if scheme_name is not None:
        canonical = known[scheme_name].normalise(text) if scheme_name in known else text
        return {(scheme_name, canonical), (scheme_name, text)}
    own = {(scheme.name, value) for scheme in known.values() for value in (text, scheme.normalise(text))}
    others = connection.execute(query("codes/schemes_of"), {"values": sorted({v for _, v in own}), "size": size})
    return own | {(row.scheme, row.value) for row in others}


def _chain(connection: sa.Connection, type_name: str, code: str, size: int | None) -> tuple[Supersession, ...]:
    rows = connection.execute(query("codes/chain"), {"type": type_name, "code": code, "size": size})
    return tuple(Supersession(r.old, tuple(r.new), r.date, r.evidence, r.at, r.actor, r.reason, r.leaf) for r in rows)


def identifiers_of(connection: sa.Connection, type_name: str, code: str, size: int | None) -> tuple[Identifier, ...]:
    """Return every other identifier that an object has or had, by now or by what the log had at a tree size."""
    rows = connection.execute(query("codes/identifiers_of"), {"type": type_name, "code": code, "size": size})
    return tuple(Identifier(r.scheme, r.value, type_name, code, r.valid_from, r.valid_to, r.issuer) for r in rows)


def write_identifiers(connection: sa.Connection, dictionary: Dictionary, rows: Sequence[Identifier]) -> None:
    """Add or amend rows of the crosswalk, in the caller's transaction, whose context says who and why.

    Raises
    ------
    InvalidCode : a scheme of ours refuses its value. NotFound : no such type, or no object has the code.
    InvalidData : a row stands twice, or ends before it begins.
    """
    canonical = [_checked(row, dictionary) for row in rows]
    keys = {(row.scheme, row.value, row.code) for row in canonical}
    if len(keys) < len(canonical):
        raise InvalidData("an identifier of the same scheme, value and code stands twice; give each one row")
    missing = _unknown(connection, canonical)
    if missing:
        raise NotFound(f"no object has the code {missing[0]}, which {len(missing)} identifiers are to name")
    parameters = {
        "schemes": [row.scheme for row in canonical],
        "values": [row.value for row in canonical],
        "types": [row.type for row in canonical],
        "codes": [row.code for row in canonical],
        "valid_from": [row.valid_from for row in canonical],
        "valid_to": [row.valid_to for row in canonical],
        "issuers": [row.issuer for row in canonical],
    }
    try:
        connection.execute(query("codes/write_identifiers"), parameters)
    except sa.exc.IntegrityError as error:
        raise InvalidData(f"the database refuses an identifier: {error.orig}".splitlines()[0]) from error


def _checked(row: Identifier, dictionary: Dictionary) -> Identifier:
    dictionary.type(row.type)
    scheme = codes.schemes(dictionary.codelists).get(row.scheme)
    return row if scheme is None else replace(row, value=scheme.check(row.value))


def _unknown(connection: sa.Connection, rows: Sequence[Identifier]) -> list[str]:
    parameters = {"types": [row.type for row in rows], "codes": [row.code for row in rows]}
    return list(connection.execute(query("codes/unknown"), parameters).scalars())
