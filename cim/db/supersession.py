"""Codes that give way to others: renames, splits and mergers of objects, as logged operations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date

import sqlalchemy as sa

from cim import codes
from cim.db.merge import lock_types
from cim.db.script import query
from cim.dictionary import Dictionary
from cim.errors import Conflict, InvalidData, NotFound


def supersede(
    connection: sa.Connection,
    dictionary: Dictionary,
    type_name: str,
    links: Mapping[str, str | Sequence[str]],
    *,
    day: date | None = None,
    evidence: str | None = None,
) -> int:
    """End objects whose codes gave way to others, and record which; answer how many.

    Runs in the caller's transaction, whose context says who and why. See `cim/db/functions/33_supersede.sql` for what
    becomes of what refers to the objects.

    Parameters
    ----------
    links : old code -> new code, or new codes after a split; several old codes may name one new code, after a merger
    day : since when the new codes hold; default today

    Raises
    ------
    InvalidData : no links, or an old code without a new one. InvalidCode : a new code the type's scheme refuses.
    NotFound : an old code was never recorded, or an object that is to take over is not there.
    Conflict : superseded already, both old and new, or something still names what is split.
    """
    feature_type = dictionary.type(type_name)
    said = {"date": (day or date.today()).isoformat()} | ({"evidence": evidence} if evidence else {})
    document: dict[str, dict[str, object]] = {}
    for old, new in links.items():
        successors = [new] if isinstance(new, str) else list(new)
        if not successors:
            raise InvalidData(f"{old}: name the code or codes that took over; to end an object, delete it")
        document[old] = {"new": sorted({codes.check_for(feature_type, code) for code in successors}), **said}
    if not document:
        raise InvalidData("nothing to supersede: name old and new codes")
    affected = [t.name for t in dictionary.types.values() if any(p.references == type_name for p in t.properties)]
    lock_types(connection, [type_name, *affected])
    try:
        parameters = {"type": type_name, "links": json.dumps(document)}
        superseded = int(connection.execute(query("codes/supersede"), parameters).scalar_one())
        connection.execute(query("hierarchy/check"))
        return superseded
    except sa.exc.DBAPIError as error:
        message = str(error.orig).splitlines()[0]
        state = getattr(error.orig, "sqlstate", None)
        if state == "P0002":  # no_data_found, raised by cim.supersede
            raise NotFound(message) from error
        if state and state.startswith("23"):
            raise Conflict(f"{type_name} cannot be superseded: {message}") from error
        raise
