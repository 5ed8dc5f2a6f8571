"""What a process has read of states of the city, kept: the same question is answered again without the database.

Who plans asks one thing after another of one district in one state, with this or that proposal, weight or rule. What
the log holds at a tree size with a root never changes, so no answer is ever out of date: a write makes another tree,
whose answers have other keys. An answer is kept by whose it is (the database as one login reads it), the state, the
software that clips, and all that was asked.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, TypeVar

import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.script import query
from cim.db.state import TreeHead

MOST = 1_000_000  # values kept in a process: some 30 MB
LARGEST = MOST // 4  # what has more values than this is not kept
VERSIONS = "cim.versions"  # key of what a connection remembers

Answer = TypeVar("Answer", bound=Sequence[Any])


class Answers:
    """Answers by key, the latest asked for last; what was not asked for longest gives way. Threads may share it."""

    def __init__(self, most: int, largest: int) -> None:
        self._most, self._largest = most, largest
        self._lock = Lock()
        self._of: OrderedDict[tuple[Database, bytes], tuple[Any, int]] = OrderedDict()
        self._values = 0

    def get(self, key: tuple[Database, bytes], ask: Callable[[], Answer], values: Callable[[Answer], int]) -> Answer:
        """Return the answer that is kept under a key, else what `ask` gives, and keep it; `values` says how large."""
        with self._lock:
            if key in self._of:
                self._of.move_to_end(key)
                answer: Answer = self._of[key][0]
                return answer
        answer = ask()
        size = values(answer)
        if size <= self._largest:
            with self._lock:
                self._values += size - self._of.pop(key, (None, 0))[1]
                self._of[key] = answer, size
                while self._values > self._most:
                    self._values -= self._of.popitem(last=False)[1][1]
        return answer

    def has(self, key: tuple[Database, bytes]) -> bool:
        """Return whether an answer is kept under a key."""
        with self._lock:
            return key in self._of

    def clear(self) -> None:
        """Forget all answers."""
        with self._lock:
            self._of.clear()
            self._values = 0


ANSWERS = Answers(MOST, LARGEST)


def key_of(connection: sa.Connection, database: Database, head: TreeHead, *asked: object) -> tuple[Database, bytes]:
    """Return the key of what is asked of a state; `asked` is told by its repr."""
    told = repr((head.size, head.root, sorted(versions(connection).items()), asked))
    return database, hashlib.sha256(told.encode()).digest()


def versions(connection: sa.Connection) -> dict[str, str]:
    """Return the versions of what clipping depends on."""
    # A connection ends with its server, so it need be asked but once.
    known: dict[str, str] | None = connection.info.get(VERSIONS)
    if known is None:
        row = connection.execute(query("scenarios/versions")).one()
        known = connection.info[VERSIONS] = {"postgis": row.postgis, "geos": row.geos}
    return known
