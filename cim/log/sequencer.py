"""Give committed revisions their place in the tree: entry bytes, leaf hash, index, root. Then publish.

There is one sequencer at a time; running it twice, or ending it anywhere, gives the same tree. It meets the database
only through `Store`.
"""

from __future__ import annotations

import time
from collections import ChainMap
from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import pyarrow as pa

from cim.log.columns import Columns, entries_of
from cim.log.publisher import Publisher
from cim.log.tiles import WIDTH
from cim.log.tree import CompactRange, leaf_hashes
from cim.memory import uncollected

# A commit for so many leaves costs nothing, and the first of many is stored soon.
BATCH = 8192
PAUSE = 0.05
BATCHES_ON_THE_WAY = 2  # read already, while one is stored and one rendered

Placed = MutableMapping[tuple[str, str, int], int]
"""(type, code, rev) -> index of its leaf"""


class Leaves(NamedTuple):
    """Leaves in a row as they are stored, as columns.

    Attributes
    ----------
    first : index of the first
    revisions : ids of the revisions they stand for
    prevs : leaves of their predecessors; None for an object's first revision
    entries, hashes : entry bytes and leaf hashes
    """

    first: int
    revisions: Sequence[int]
    prevs: Sequence[int | None]
    entries: Sequence[bytes]
    hashes: Sequence[bytes]


class Store(Protocol):
    """What the sequencer asks of the database; implemented by `cim.db.logstore`."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the sequencer's lock; a second sequencer waits."""

    def tree(self) -> CompactRange:
        """Return the tree as last committed."""

    def pending(self, limit: int) -> Iterator[Columns]:
        """Yield revisions of ended transactions without a leaf, in the order they must have it, up to `limit` at once.

        `append` may run meanwhile, in another thread; at most BATCHES_ON_THE_WAY batches are read ahead of it.
        """

    def append(self, old: CompactRange, new: CompactRange, leaves: Leaves) -> None:
        """Store the leaves and move the tree, in one transaction."""

    def entries(self, start: int, end: int) -> list[bytes]:
        """Return the entries of leaves start to end."""

    def hashes(self, start: int, end: int) -> list[bytes]:
        """Return the hashes of leaves start to end."""

    def settle(self) -> None:
        """Note that nothing below the horizon is left."""

    def unsequenced(self) -> int:
        """Count the visible revisions that have no leaf."""


def sequence(store: Store, publisher: Publisher, wait: float = 0.0) -> CompactRange:
    """Sequence and publish all that can be, and return the tree.

    Parameters
    ----------
    wait : seconds to keep trying while committed revisions are held back by a longer transaction that is still open.

    Raises
    ------
    Conflict : the signer refuses the tree: it is smaller than, or no extension of, the one it signed last.
    """
    deadline = time.monotonic() + wait
    with store.exclusive():
        tree = store.tree()
        publisher.publish(tree, store.hashes, store.entries)  # what an earlier run stored and did not publish
        while True:
            with uncollected():
                tree = _drain(store, publisher, tree)
            if not store.unsequenced() or time.monotonic() >= deadline:
                return tree
            time.sleep(PAUSE)


def _drain(store: Store, publisher: Publisher, tree: CompactRange) -> CompactRange:
    """Sequence what is pending: while one batch is published, the next is stored, the next rendered, the next read."""
    placed: list[Placed] = []  # of the last batches, which may be stored later than the one at hand was read
    stored: Future[None] | None = None
    published: list[Future[None]] = []
    recent: _Recent | None = None

    def publish(storing: Future[None], tree: CompactRange, leaves: _Recent) -> None:
        storing.result()
        publisher.publish(tree, leaves.hashes, leaves.entries)

    with ThreadPoolExecutor(1) as keeper, ThreadPoolExecutor(1) as printer:
        for revisions in store.pending(BATCH):
            leaves, latest = make_leaves(revisions, tree.size, ChainMap(*placed))
            if not leaves.hashes:
                continue
            placed = [latest, *placed[:BATCHES_ON_THE_WAY]]
            grown = CompactRange(tree.size, tree.hashes)
            grown.append(leaves.hashes)
            recent = (recent or _Recent.stored(store, tree.size)).followed_by(leaves)
            if stored:
                stored.result()
            if len(published) > 1:
                published.pop(0).result()
            stored = keeper.submit(store.append, tree, grown, leaves)
            published.append(printer.submit(publish, stored, grown, recent))
            tree = grown
        for last in published:
            last.result()
        if published:
            store.settle()
    return tree


class _Recent:
    """The last leaves of the tree, from the start of a tile that is not full without them."""

    def __init__(self, first: int, hashes: Sequence[bytes], entries: Sequence[bytes]) -> None:
        self._first = first
        self._hashes = hashes
        self._entries = entries

    @classmethod
    def stored(cls, store: Store, size: int) -> _Recent:
        """Return those of a tree that is stored and published."""
        first = size - size % WIDTH
        return cls(first, *([] if first == size else part(first, size) for part in (store.hashes, store.entries)))

    def followed_by(self, leaves: Leaves) -> _Recent:
        """Return these, as far as their tile is not full, with the leaves that come next."""
        first = leaves.first - leaves.first % WIDTH
        begun = slice(first - self._first, None)
        return _Recent(first, [*self._hashes[begun], *leaves.hashes], [*self._entries[begun], *leaves.entries])

    def hashes(self, start: int, end: int) -> Sequence[bytes]:
        """Return the hashes of leaves start to end."""
        return self._hashes[start - self._first : end - self._first]

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """Return the entries of leaves start to end."""
        return self._entries[start - self._first : end - self._first]


def make_leaves(revisions: Columns, first: int, before: Placed) -> tuple[Leaves, Placed]:
    """Return the leaves of revisions in order, the first at index `first`, and which revision has which.

    One whose predecessor has no leaf yet gets none, and waits: a long transaction may commit after a younger one.

    Parameters
    ----------
    before : leaves of revisions that were not stored yet when these were read
    """
    kinds, codes, numbers, known = (revisions[name].to_pylist() for name in ("type", "code", "rev", "prev"))
    ready: list[int] = []
    prevs: list[int | None] = []
    placed: Placed = {}
    for place, (key, prev) in enumerate(zip(zip(kinds, codes, numbers, strict=True), known, strict=True)):
        if prev is None and key[2] > 1:
            last = (*key[:2], key[2] - 1)
            prev = placed.get(last, before.get(last))
            if prev is None:
                continue
        placed[key] = first + len(ready)
        ready.append(place)
        prevs.append(prev)
    if len(ready) < len(known):
        revisions = {name: column.take(pa.array(ready, pa.int64())) for name, column in revisions.items()}
    entries = entries_of({**revisions, "prev": pa.array(prevs, pa.int64())})
    return Leaves(first, revisions["id"].to_pylist(), prevs, entries, leaf_hashes(entries)), placed
