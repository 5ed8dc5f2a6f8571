"""Private fields: what opens their commitments, and their erasure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cim.db.script import query
from cim.dictionary import FeatureType
from cim.errors import Conflict, DatabaseError, InvalidData, NotFound
from cim.log.entry import parse_body


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased: the fields, and how many values of theirs, over all revisions of the object."""

    type: str
    code: str
    fields: tuple[str, ...]
    values: int


def opening(connection: sa.Connection, feature_type: FeatureType, code: str, rev: int, field: str) -> tuple[bytes, Any]:
    """Return salt and value of a private field of one revision.

    Raises
    ------
    InvalidData : the field is not private. NotFound : the revision has no value of it, or it was erased.
    """
    _check_private(feature_type, [field])
    row = connection.execute(
        query("privacy/value"), {"type": feature_type.name, "code": code, "rev": rev, "field": field}
    ).one_or_none()
    if row is None:
        raise NotFound(
            f"revision {rev} of {feature_type.name} {code} has no {field}, or it was erased; `cim history {code}` "
            "shows the revisions, --as-of chooses one"
        )
    return bytes(row.salt), parse_body(row.held)["value"]


def erase(connection: sa.Connection, feature_type: FeatureType, code: str, fields: Sequence[str]) -> Erasure:
    """Erase private fields of an object in all its revisions, and record that; no field means every one with a value.

    Runs in the caller's transaction, whose context says who and why.

    Raises
    ------
    InvalidData : a field is not private. NotFound : no field was named and there is no value.
    Conflict : another writer changed the object at the same time. DatabaseError : the role may not erase.
    """
    _check_private(feature_type, fields)
    held = connection.execute(query("privacy/fields"), {"type": feature_type.name, "code": code}).scalars()
    chosen = sorted(set(fields) or set(held))
    if not chosen:
        raise NotFound(f"{feature_type.name} {code} has no private values; name a field to record its erasure anyway")
    try:
        count = connection.execute(
            query("privacy/erase"), {"type": feature_type.name, "code": code, "fields": chosen}
        ).scalar_one()
    except sa.exc.IntegrityError as error:
        raise Conflict(f"{feature_type.name} {code} cannot be erased now: {error.orig}".splitlines()[0]) from error
    except sa.exc.ProgrammingError as error:
        raise DatabaseError(
            f"erasing needs the rights of the database's owner: {error.orig}".splitlines()[0]
        ) from error
    return Erasure(feature_type.name, code, tuple(chosen), count)


def _check_private(feature_type: FeatureType, fields: Sequence[str]) -> None:
    private = [prop.name for prop in feature_type.properties if prop.private]
    if others := sorted(set(fields) - set(private)):
        raise InvalidData(
            f"{', '.join(others)} is no private field of {feature_type.name}; it has {', '.join(private) or 'none'}"
        )
