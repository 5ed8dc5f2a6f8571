"""Resolve "as of" to one tree head: a tree size, a checkpoint, or an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from cim.db.script import query
from cim.errors import InvalidData, InvalidProof, NotFound
from cim.log.checkpoint import Checkpoint
from cim.log.tiles import TileReader

AsOf = int | str | datetime | None


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A state of the city: the tree size, its root (32 bytes), and when the log had reached it."""

    size: int
    root: bytes
    at: datetime


def resolve(connection: sa.Connection, as_of: AsOf, log_dir: Path) -> TreeHead:
    """Return the tree head that `as_of` means; None means the current one.

    Parameters
    ----------
    as_of : a tree size (int or digits), a checkpoint's text, or an instant (datetime with zone, or RFC 3339).
        An instant gives the last state published at or before it.
    log_dir : folder of the published log, for roots of sizes between two heads.

    Raises
    ------
    NotFound : the log has not reached that size, or did not exist at that instant.
    InvalidProof : the checkpoint is not of this log: its root differs from ours at its size.
    InvalidData : `as_of` is none of these.
    """
    match _parse(as_of):
        case None:
            return _head(connection, "log/head_current", {})
        case datetime() as instant:
            return _at_instant(connection, instant)
        case Checkpoint() as checkpoint:
            head = _at_size(connection, checkpoint.size, log_dir)
            if head.root != checkpoint.root:
                raise InvalidProof(f"the checkpoint of size {checkpoint.size} is not of this log: its root differs")
            return head
        case size:
            return _at_size(connection, size, log_dir)


def take_snapshot(connection: sa.Connection, name: str) -> None:
    """Have a transaction that has not begun to read see what another one sees, which gave that name to it."""
    connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{name}'")  # no parameter may stand there


def _parse(as_of: AsOf) -> int | datetime | Checkpoint | None:
    if as_of is None or isinstance(as_of, (int, datetime)):
        instant = as_of
    elif not isinstance(as_of, str):  # a JSON number beyond 64 bits arrives as a float
        raise InvalidData(f"as-of must be a tree size, an RFC 3339 instant or a checkpoint, got {as_of!r}")
    elif as_of.isdecimal() and as_of.isascii():
        if len(as_of) > 19:  # 2^63 - 1 has 19; Python refuses to read thousands
            raise NotFound(f"the log has no tree size of {len(as_of)} digits")
        return int(as_of)
    elif "\n" in as_of:
        # Signed or not: that its root is ours at its size says more than its signatures.
        body, signed, _ = as_of.partition("\n\n")
        return Checkpoint.from_text(body + "\n" if signed else as_of)
    else:
        try:
            instant = datetime.fromisoformat(as_of)
        except ValueError:
            raise InvalidData(
                f"as-of must be a tree size, an RFC 3339 instant or a checkpoint, got {as_of!r}"
            ) from None
    if isinstance(instant, datetime) and instant.tzinfo is None:
        raise InvalidData(f"as-of {instant.isoformat()} has no time zone; write for example {instant.isoformat()}Z")
    return instant


def _head(connection: sa.Connection, name: str, parameters: dict[str, object]) -> TreeHead:
    row = connection.execute(query(name), parameters).one()
    return TreeHead(row.size, bytes(row.root), row.at)


def _at_instant(connection: sa.Connection, instant: datetime) -> TreeHead:
    row = connection.execute(query("log/head_at_instant"), {"instant": instant}).one_or_none()
    if row is None:
        raise NotFound(f"the log did not exist yet at {instant.isoformat()}")
    return TreeHead(row.size, bytes(row.root), row.at)


def _at_size(connection: sa.Connection, size: int, log_dir: Path) -> TreeHead:
    row = connection.execute(query("log/head_covering"), {"size": size}).one_or_none() if 0 <= size < 2**63 else None
    if row is None:
        current = _head(connection, "log/head_current", {})
        raise NotFound(f"the log has no tree size {size}; it has 0 to {current.size}")
    if row.size == size:
        return TreeHead(size, bytes(row.root), row.at)
    return TreeHead(size, TileReader(log_dir).root(size), row.at)
