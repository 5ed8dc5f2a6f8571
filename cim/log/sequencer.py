"""Give committed revisions their place in the tree: entry bytes, leaf hash, index, root. Then publish.

There is one sequencer at a time; running it twice, or ending it anywhere, gives the same tree. It meets the database
only through `Store`.
"""

from __future__ import annotations

import time
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import count
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from cim.log._memory import uncollected
from cim.log.entry import (
    MAX_ENTRY,
    body_bytes,
    commitment,
    entry_bytes,
    parse_body,
    plain_bodies,
    shared_members,
    write_all,
)
from cim.log.publisher import Publisher
from cim.log.tree import CompactRange, leaf_hashes

# A commit for so many leaves costs nothing, and their objects are few enough for the garbage collector to go over.
BATCH = 16_384
PAUSE = 0.05
TOGETHER = 128  # rendered by one call of each kind, small enough for the processor's cache
BATCHES_ON_THE_WAY = 2  # read already, while one is stored and one rendered

Placed = MutableMapping[tuple[str, str, int], int]
"""(type, code, rev) -> index of its leaf"""


class Revision(NamedTuple):
    """A captured revision, as the database has it.

    `body` is JSON text in UTF-8, `superseded` JSON text, `private` maps field to (salt, value).
    """

    id: int
    type: str
    code: str
    rev: int
    op: str
    at: datetime
    actor: str
    reason: str | None
    dataset: str | None
    body: bytes | None
    srid: int | None
    geometry_sha256: bytes | None
    prev: int | None
    private: dict[str, tuple[bytes, object]] | None
    erased: Sequence[str] | None = None
    superseded: str | None = None


class Leaf(NamedTuple):
    """A leaf as it is stored: its index, the revision it stands for, its predecessor, entry bytes and hash."""

    idx: int
    revision_id: int
    prev: int | None
    entry: bytes
    hash: bytes


class Store(Protocol):
    """What the sequencer asks of the database; implemented by `cim.db.logstore`."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the sequencer's lock; a second sequencer waits."""

    def tree(self) -> CompactRange:
        """Return the tree as last committed."""

    def pending(self, limit: int) -> Iterator[list[Revision]]:
        """Yield revisions of ended transactions without a leaf, in the order they must have it, in lists up to `limit`.

        `append` may run meanwhile, in another thread; at most BATCHES_ON_THE_WAY batches are read ahead of it.
        """

    def append(self, old: CompactRange, new: CompactRange, leaves: Sequence[Leaf]) -> None:
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
        while True:
            with uncollected():
                tree = _drain(store, publisher, tree)
                publisher.publish(tree, store.hashes, store.entries)  # what an earlier run stored and did not publish
            if not store.unsequenced() or time.monotonic() >= deadline:
                return tree
            time.sleep(PAUSE)


def _drain(store: Store, publisher: Publisher, tree: CompactRange) -> CompactRange:
    """Sequence what is pending; while a batch is stored and published, the next one is read and rendered."""

    def keep(old: CompactRange, new: CompactRange, leaves: Sequence[Leaf]) -> None:
        store.append(old, new, leaves)
        held = _Held(store, leaves)
        publisher.publish(new, held.hashes, held.entries)

    stored: Future[None] | None = None
    placed: list[Placed] = []  # of the last batches, which may be stored later than the one at hand was read
    with ThreadPoolExecutor(1) as background:
        for revisions in store.pending(BATCH):
            leaves, latest = make_leaves(revisions, tree.size, ChainMap(*placed))
            if not leaves:
                continue
            placed = [latest, *placed[:BATCHES_ON_THE_WAY]]
            grown = CompactRange(tree.size, tree.hashes)
            grown.append([leaf.hash for leaf in leaves])
            if stored:
                stored.result()
            stored = background.submit(keep, tree, grown, leaves)
            tree = grown
        if stored:
            stored.result()
            store.settle()
    return tree


class _Held:
    """The last leaves stored, from memory, and those before them from the store."""

    def __init__(self, store: Store, leaves: Sequence[Leaf]) -> None:
        self._store = store
        self._leaves = leaves
        self._first = leaves[0].idx

    def hashes(self, start: int, end: int) -> list[bytes]:
        """Return the hashes of leaves start to end."""
        stored = self._store.hashes(start, min(end, self._first)) if start < self._first else []
        return stored + [leaf.hash for leaf in self._part(start, end)]

    def entries(self, start: int, end: int) -> list[bytes]:
        """Return the entries of leaves start to end."""
        stored = self._store.entries(start, min(end, self._first)) if start < self._first else []
        return stored + [leaf.entry for leaf in self._part(start, end)]

    def _part(self, start: int, end: int) -> Sequence[Leaf]:
        return self._leaves[max(start - self._first, 0) : max(end - self._first, 0)]


def make_leaves(revisions: Iterable[Revision], first: int, before: Placed) -> tuple[list[Leaf], Placed]:
    """Return the leaves of revisions in order, the first at index `first`, and which revision has which.

    One whose predecessor has no leaf yet gets none, and waits: a long transaction may commit after a younger one.

    Parameters
    ----------
    before : leaves of revisions that were not stored yet when these were read
    """
    ready: list[Revision] = []
    prevs: list[int | None] = []
    placed: dict[tuple[str, str, int], int] = {}
    for revision in revisions:
        prev = revision.prev
        if revision.rev > 1 and prev is None:
            key = (revision.type, revision.code, revision.rev - 1)
            prev = placed.get(key, before.get(key))
            if prev is None:
                continue
        placed[revision.type, revision.code, revision.rev] = first + len(ready)
        ready.append(revision)
        prevs.append(prev)
    entries = render_all(ready, prevs)
    rows = zip(count(first), map(itemgetter(0), ready), prevs, entries, leaf_hashes(entries), strict=False)
    return list(map(Leaf._make, rows)), placed


def render_all(revisions: Sequence[Revision], prevs: Sequence[int | None]) -> list[bytes]:
    """Return the entry bytes of revisions by the leaves of their predecessors: what `render` gives, sooner.

    Raises
    ------
    InvalidData : one of them cannot be logged.
    """
    entries: list[bytes] = []
    for start in range(0, len(revisions), TOGETHER):
        entries += _render_some(revisions[start : start + TOGETHER], prevs[start : start + TOGETHER])
    return entries


def _render_some(revisions: Sequence[Revision], prevs: Sequence[int | None]) -> list[bytes]:
    bodies = iter(plain_bodies([revision.body for revision in revisions if revision.body is not None]))
    documents: list[dict[str, Any]] = []
    apart: list[int] = []  # those that `render` is to write
    last: tuple[object, ...] = ()
    shared: dict[str, Any] = {}
    for revision, prev in zip(revisions, prevs, strict=True):
        _, kind, code, rev, op, at, actor, reason, dataset, text, srid, digest, _, private, erased, superseded = (
            revision
        )
        body = None if text is None else next(bodies)
        if erased or superseded or op not in _PLAIN or (body is None) != (text is None):
            apart.append(len(documents))
            documents.append({})
            continue
        if last != (statement := (kind, op, at, actor, reason, dataset)):
            shared, last = shared_members(*statement), statement
        document = {**shared, "code": code, "prev": prev, "rev": rev}
        if body is not None:
            document["body"] = body
        if digest is not None and srid is not None:
            document["geometry"] = {"sha256": digest.hex(), "srid": srid}
        if private:
            document["private"] = commitments(private)
        documents.append(document)
    entries = write_all(documents)
    apart += [place for place, entry in enumerate(entries) if len(entry) > MAX_ENTRY]
    for place in apart:
        entries[place] = render(revisions[place], prevs[place])
    return entries


_PLAIN = frozenset({"insert", "update", "delete"})


def commitments(private: Mapping[str, tuple[bytes, object]]) -> dict[str, str]:
    """Return the commitments of private fields, given as (salt, value)."""
    return {name: commitment(name, salt, value) for name, (salt, value) in private.items()}


def render(revision: Revision, prev: int | None, promised: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Return the entry bytes of a revision whose predecessor's leaf is `prev`.

    Parameters
    ----------
    promised : commitments of private fields whose value and salt the revision no longer has

    Raises
    ------
    InvalidData : it cannot be logged.
    """
    geometry = (
        None
        if revision.geometry_sha256 is None or revision.srid is None
        else (revision.srid, revision.geometry_sha256.hex())
    )
    private = promised
    if revision.private is not None:
        private = {**promised} | commitments(revision.private)
    return entry_bytes(
        type=revision.type,
        code=revision.code,
        op=revision.op,
        rev=revision.rev,
        prev=prev,
        at=revision.at,
        by=revision.actor,
        reason=revision.reason,
        dataset=revision.dataset,
        body=None if revision.body is None else body_bytes(revision.body),
        geometry=geometry,
        private=private or None,
        erased=revision.erased,
        superseded=None if revision.superseded is None else parse_body(revision.superseded),
    )
