"""A queue of long work in the same database: jobs outlive the server that took them.

The table is the queue, the record of what became of each job, and the place of its result, so that all of it is
there or none of it. Who works on a job holds its advisory lock.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from cim.db.script import query
from cim.errors import Busy, NotFound

Kind = Literal["process", "ingest"]
Status = Literal["accepted", "running", "successful", "failed", "dismissed"]

MOST_OPEN = 10  # of one owner, running or waiting; everybody without a name counts as one
BEGUN_AT_MOST = 3  # a job that ends the server each time must not do so for ever
KEPT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Job:
    """One job; `owner` None is everybody, who is known by the id, which cannot be guessed."""

    id: uuid.UUID
    number: int
    kind: Kind
    process: str
    owner: str | None
    request: Mapping[str, Any]
    status: Status
    begun: int
    message: str | None
    failure: int | None
    created: datetime
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class Result:
    """What a job gave: the body of an answer, with its headers."""

    content: bytes
    media_type: str
    headers: Mapping[str, str]


def submit(
    connection: sa.Connection,
    kind: Kind,
    process: str,
    request: Mapping[str, Any],
    owner: str | None,
    number: uuid.UUID | None = None,
) -> Job:
    """Queue a job; `number` is its id where it must be known before.

    Raises
    ------
    Busy : the owner has ten open jobs already.
    """
    chosen = number or uuid.uuid4()
    given = {"id": chosen, "kind": kind, "process": process, "owner": owner, "request": json.dumps(request)}
    if connection.execute(query("jobs/submit"), {**given, "most": MOST_OPEN}).rowcount == 0:
        raise Busy(f"{MOST_OPEN} jobs are open already; dismiss one, or come back when one has ended")
    return find(connection, chosen)


def find(connection: sa.Connection, number: uuid.UUID) -> Job:
    """Return a job.

    Raises
    ------
    NotFound : there is none.
    """
    row = connection.execute(query("jobs/find"), {"id": number}).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no job {number}")
    return Job(**row)


def of_owner(
    connection: sa.Connection,
    owner: str,
    limit: int,
    *,
    processes: Sequence[str] | None = None,
    statuses: Sequence[str] | None = None,
    created: tuple[datetime | None, datetime | None] = (None, None),
    seconds: tuple[int | None, int | None] = (None, None),
) -> list[Job]:
    """Return the jobs of an owner, newest first, at most so many.

    Parameters
    ----------
    processes, statuses : only jobs of these; None for all
    created : only jobs made from the one instant to the other; None is open
    seconds : only jobs that were begun and took, or have taken so far, from the one to the other; None is open
    """
    given = {
        "owner": owner,
        "limit": limit,
        "processes": None if processes is None else list(processes),
        "statuses": None if statuses is None else list(statuses),
        **dict(zip(("since", "until"), created, strict=True)),
        **dict(zip(("shortest", "longest"), seconds, strict=True)),
    }
    return [Job(**row) for row in connection.execute(query("jobs/list"), given).mappings()]


@contextmanager
def taken(connection: sa.Connection) -> Iterator[Job | None]:
    """Take a job that waits, or that a server left behind, and hold its lock within; None where there is none.

    The connection must commit each statement by itself.
    """
    for number in connection.execute(query("jobs/open")).scalars().all():
        if not connection.execute(query("jobs/take"), {"number": number}).scalar_one():
            continue
        try:
            # Between the look and the lock another may have brought it to its end.
            begun = connection.execute(query("jobs/begin"), {"number": number}).scalar_one_or_none()
            if begun is not None:
                yield find(connection, begun)
                return
        finally:
            connection.execute(query("jobs/leave"), {"number": number})
    yield None


def finish(connection: sa.Connection, number: uuid.UUID, result: Result) -> None:
    """Record the result of a running job; nothing happens to one that was dismissed meanwhile."""
    given = {"result": result.content, "media_type": result.media_type, "headers": json.dumps(dict(result.headers))}
    connection.execute(query("jobs/finish"), {"id": number, **given})


def fail(connection: sa.Connection, number: uuid.UUID, message: str, failure: int) -> None:
    """Record that a running job failed, and with which HTTP status that is told."""
    connection.execute(query("jobs/fail"), {"id": number, "message": message, "failure": failure})


def dismiss(connection: sa.Connection, number: uuid.UUID) -> Job:
    """End a job that waits or runs, or forget the result of one that has ended."""
    connection.execute(query("jobs/dismiss"), {"id": number})
    return find(connection, number)


def result_of(connection: sa.Connection, number: uuid.UUID) -> Result:
    """Return the result of a successful job.

    Raises
    ------
    NotFound : there is none.
    """
    row = connection.execute(query("jobs/result"), {"id": number}).one_or_none()
    if row is None:
        raise NotFound(f"job {number} has no result")
    return Result(bytes(row.result), row.media_type, row.headers)


def forget(connection: sa.Connection) -> list[uuid.UUID]:
    """Delete jobs that ended thirty days ago, and return their ids."""
    return list(connection.execute(query("jobs/forget"), {"days": KEPT_DAYS}).scalars())
