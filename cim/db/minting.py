"""New codes by a scheme's own numbering, given out once."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import sqlalchemy as sa

from cim import codes
from cim.db.merge import lock_types
from cim.db.script import query
from cim.dictionary import Dictionary
from cim.errors import Conflict, InvalidData

MOST = 10_000  # codes at once
# An open transaction that holds numbers is waited for in short turns: it may itself come to wait for us.
_WAIT, _TURNS = "200ms", 50


def mint(connection: sa.Connection, dictionary: Dictionary, scheme_name: str, parent: str, count: int) -> list[str]:
    """Give out the next codes under a parent and record that, in the caller's transaction, which should end at once.

    Two callers wait for each other, and for loads of types that have codes of the scheme. What was ever given counts:
    to objects that were deleted or superseded since, and codes that nobody came to use. So does what somebody has
    written by hand and not committed yet: the end of that is waited for.

    Raises
    ------
    NotFound : no such scheme. InvalidCode : the scheme does not number under such a parent.
    InvalidData : the scheme's codes are not for us to give, or `count` is out of range.
    Conflict : the numbers have run out, or another transaction holds the next ones and does not end.
    """
    if not 1 <= count <= MOST:
        raise InvalidData(f"mint 1 to {MOST} codes at once, got {count}")
    scheme = codes.scheme(scheme_name, dictionary.codelists)
    numbering = scheme.numbering(parent)
    types = [t.name for t in dictionary.types.values() if t.code_scheme == scheme_name]
    connection.execute(query("codes/lock_numbers"), {"prefix": numbering.prefix})
    lock_types(connection, types)
    parameters = {
        "types": types,
        "prefix": numbering.prefix,
        "named": f"{scheme_name} {numbering.prefix}",
        "width": numbering.width,
        "digits": f"^[0-9]{{{numbering.width}}}$",
        "highest": numbering.highest,
    }
    for _ in range(_TURNS):
        last = connection.execute(query("codes/highest"), parameters).scalar() or 0
        minted = [scheme.check(code) for code in numbering.following(last, count)]
        if _are_free(connection, types, minted):
            break
    else:
        raise Conflict(
            f"an open transaction has written codes behind {numbering.prefix}, from {minted[0]} on, and does not end;"
            " end it, and mint again"
        )
    connection.execute(query("codes/reserve"), {"codes": minted, "scheme": scheme_name, "parent": numbering.parent})
    return minted


def _are_free(connection: sa.Connection, types: Sequence[str], minted: Sequence[str]) -> bool:
    """Tell whether nobody has written these codes; no, too, where a transaction that has does not end soon."""
    attempt = connection.begin_nested()
    try:
        connection.execute(query("ingest/wait_at_most"), {"wait": _WAIT})
        tried = connection.execute(query("codes/try_numbers"), {"types": types, "codes": minted})
        return tried.rowcount == len(types) * len(minted)
    except sa.exc.OperationalError as error:
        if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise
        return False
    finally:
        attempt.rollback()
