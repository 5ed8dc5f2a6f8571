"""One object through time: its revisions, its leaves, its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cim.db.script import query
from cim.db.tables import SCHEMA
from cim.errors import Conflict, NotFound

LAG = query("log/lag")
LEAF_OF = query("history/leaf_of")


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision of an object. `leaf` is its index in the log, None until sequenced; `body` is None when deleted."""

    type: str
    code: str
    rev: int
    op: str
    at: datetime
    actor: str
    reason: str | None
    dataset: str | None
    body: Mapping[str, Any] | None
    leaf: int | None


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the log is behind the city.

    Attributes
    ----------
    revisions : committed revisions without a leaf
    oldest : when the oldest of them was written; None where there is none
    seconds : how long ago that is, 0.0 where there is none
    held_back_by : the open transaction that at least one of them waits for, in words; None where none does
    """

    revisions: int
    oldest: datetime | None
    seconds: float
    held_back_by: str | None

    def __str__(self) -> str:
        if not self.revisions:
            return "the log holds every committed revision"
        waiting = f"{self.revisions} committed revisions have no leaf yet, the oldest since {self.oldest}"
        return f"{waiting}: they wait for {self.held_back_by}" if self.held_back_by else waiting


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """The leaf of one revision, with the entry bytes as they were hashed."""

    type: str
    rev: int
    op: str
    idx: int
    entry: bytes


def entries(connection: sa.Connection, type_name: str, code: str) -> list[Entry]:
    """Return every revision of an object, oldest first; NotFound where there is none."""
    rows = connection.execute(query("history/list"), {"types": [type_name], "code": code}).all()
    if not rows:
        raise NotFound(f"no {type_name} was ever recorded under the code {code!r}")
    return [Entry(r.type, r.code, r.rev, r.op, r.at, r.actor, r.reason, r.dataset, r.body, r.idx) for r in rows]


def lag(connection: sa.Connection) -> Lag:
    """Return how far the log is behind what the connection sees."""
    row = connection.execute(LAG).one()
    holder = connection.execute(query("log/oldest_writer")).one_or_none() if row.held else None
    words = None
    if holder is not None:
        application = f", {holder.application}" if holder.application else ""
        words = (
            f"an open transaction of {holder.account} in {holder.database} "
            f"({holder.who}{application}, since {holder.since})"
        )
    return Lag(row.revisions, row.oldest, max(row.seconds or 0.0, 0.0), words)


def latest_leaf(connection: sa.Connection, type_name: str, code: str, size: int | None) -> StoredLeaf | None:
    """Return the leaf that holds the object's state at tree size `size` (None: the latest), or None."""
    row = connection.execute(LEAF_OF, {"types": [type_name], "code": code, "size": size}).one_or_none()
    return None if row is None or row.idx is None else _stored(row)


def only_leaf(code: str, rows: Sequence[Any]) -> StoredLeaf:
    """Return the leaf out of the rows of `LEAF_OF`.

    Raises
    ------
    NotFound : the code was never recorded, or not in a leaf yet. Conflict : several types know it.
    """
    if not rows:
        raise NotFound(f"no object has the code {code!r}")
    if len(rows) > 1:
        raise Conflict(f"{code} is known to {', '.join(row[0] for row in rows)}; name the type")
    if rows[0][3] is None:
        raise NotFound(f"{rows[0][0]} {code} has no leaf in the log yet; run `cim log checkpoint` and try again")
    return _stored(rows[0])


def _stored(row: Any) -> StoredLeaf:
    type_name, rev, op, idx, entry = row
    return StoredLeaf(type_name, rev, op, idx, bytes(entry))


def types_of(connection: sa.Connection, code: str, types: Sequence[str]) -> list[str]:
    """Return the feature types that have a record of a code."""
    return list(connection.execute(query("history/types_of"), {"code": code, "types": list(types)}).scalars())


def select_object(table: sa.Table, size: int | None, code: str) -> sa.Select[Any]:
    """Select one object's row, live or at a tree size, with its geometry as WKB.

    By the collation that codes are indexed in, which a function's column has lost.
    """
    at = getattr(getattr(sa.func, SCHEMA), f"{table.name}_at")
    source = at(sa.cast(size, sa.BigInteger)).table_valued(*(c.name for c in table.c)).alias("o")
    columns = [sa.func.ST_AsBinary(c).label(c.name) if c.name == "geom" else c for c in source.c]
    return sa.select(*columns).where(sa.collate(source.c.code, "C") == code)


def counts(connection: sa.Connection, metadata: sa.MetaData) -> dict[str, int]:
    """Return the number of live objects of each type."""
    return {
        table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        for table in metadata.sorted_tables
    }
