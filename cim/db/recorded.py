"""Leaves with the revisions they stand for, read and compared by columns: the bulk of an audit.

What is not alike at once is only said to be in doubt; the audit looks at that again, revision by revision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from cim.db.arrow import Fetch, reading
from cim.db.logstore import stretches
from cim.log.audit import Recorded
from cim.log.columns import Column, plain_entries

AHEAD = 2  # batches read while one is worked on, each by a connection of its own: none of them waits for another


def read(url: sa.URL, start: int, end: int, limit: int) -> Iterator[Recorded]:
    """Yield the leaves start to end, `limit` at once, by connections of its own; the next AHEAD are read meanwhile.

    Raises
    ------
    DatabaseError : unreachable, or lost on the way.
    """
    spans = [(first, min(first + limit, end)) for first in range(start, end, limit)]
    with ExitStack() as stack:
        fetches = [stack.enter_context(reading(url)) for _ in spans[:AHEAD]]
        readers = [stack.enter_context(ThreadPoolExecutor(1)) for _ in fetches]

        def ask(number: int) -> Future[tuple[Any, Any]]:
            return readers[number % AHEAD].submit(_read, fetches[number % AHEAD], *spans[number])

        coming = deque(ask(number) for number in range(len(readers)))
        for number in range(AHEAD, len(spans) + AHEAD):
            leaves, revisions = coming.popleft().result()
            if number < len(spans):
                coming.append(ask(number))
            yield _recorded(leaves, revisions)


def _read(fetch: Fetch, start: int, end: int) -> tuple[Any, Any]:
    """Return leaves in order, and the revisions they stand for, perhaps with others between."""
    leaves = fetch("log/audit_leaves", {"first": start, "end": end})
    spans = stretches(leaves["revision_id"].to_pylist()) or [(1, 0)]
    revisions = [fetch("log/audit_revisions", {"first_id": first, "last_id": last}) for first, last in spans]
    return leaves, pa.concat_tables(revisions)


def _recorded(leaves: Any, revisions: Any) -> Recorded:
    if not leaves["revision_id"].equals(revisions["id"]):
        leaves, revisions = _matched(leaves, revisions)
    columns = {name: _whole(table[name]) for table in (revisions, leaves) for name in table.column_names}
    alike = pc.fill_null(pc.equal(plain_entries(columns), columns["entry"]), False)
    return Recorded(
        at=columns["at"].cast(pa.int64()).to_pylist(),
        doubtful=pc.indices_nonzero(pc.invert(alike)).to_pylist(),
        **{name: columns[name].to_pylist() for name in ("idx", "prev", "xid", "type", "code", "rev", "entry", "hash")},
    )


def _matched(leaves: Any, revisions: Any) -> tuple[Any, Any]:
    """Return each leaf beside its revision, in order of the leaves; without those of either that lack the other."""
    ours, theirs = (
        pa.table({"id": table[name], side: pa.array(range(len(table)), pa.int64())})
        for table, name, side in ((leaves, "revision_id", "leaf"), (revisions, "id", "revision"))
    )
    places = ours.join(theirs, "id", join_type="inner").sort_by("leaf")
    return leaves.take(places["leaf"]), revisions.take(places["revision"])


def _whole(column: Any) -> Column:
    """Return a column in one piece, without a copy where it is."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
