"""Compare everything that should agree: live rows, revisions, entries, tiles, root, checkpoint, signer record."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from cim.errors import CimError
from cim.log._memory import uncollected
from cim.log.publisher import Publisher
from cim.log.sequencer import Leaf, Revision, render, render_all
from cim.log.tree import CompactRange, leaf_hash, leaf_hashes

BATCH = 8_192  # whole tiles
# A revision carries the time of its statement and gets its leaf after the commit: so far may the two be apart.
LONGEST_TRANSACTION = timedelta(days=1)
CLOCK_STEP = timedelta(minutes=1)  # a server's clock may be set back

Progress = Callable[[int, int], None]
Object = tuple[str, str]
"""(type, code)"""
Recorded = tuple[list[Leaf], list[Revision]]
Place = tuple[int, int]
"""(leaf, revision number) of an object's last revision"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement: which object and revision, at which leaf, and what is wrong. None where it does not apply."""

    problem: str
    type: str | None = None
    code: str | None = None
    rev: int | None = None
    leaf: int | None = None

    def __str__(self) -> str:
        place = [
            f"{self.type} {self.code}" if self.code else None,
            f"revision {self.rev}" if self.rev is not None else None,
            f"leaf {self.leaf}" if self.leaf is not None else None,
        ]
        return f"{', '.join(filter(None, place))}: {self.problem}".removeprefix(": ")


@dataclass(slots=True)
class AuditReport:
    """What an audit looked at and what it found; `ok` only if everything agrees.

    Attributes
    ----------
    tree : the tree as stored
    unsequenced : committed revisions that have no leaf yet
    first : the first leaf that was looked at
    """

    tree: CompactRange
    unsequenced: int
    first: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self.tree.size

    @property
    def root(self) -> bytes:
        """Root of the tree, 32 bytes."""
        return self.tree.root()


class TimedHead(Protocol):
    """A tree head, and when the log had reached it."""

    @property
    def size(self) -> int:
        """Number of leaves."""

    @property
    def at(self) -> datetime:
        """When the log had so many leaves, with time zone."""


class AuditStore(Protocol):
    """What the audit asks of the database; implemented by `cim.db.logstore`.

    `recorded` and `live_differences` may run in threads of their own, beside the others.
    """

    def tree(self) -> CompactRange:
        """Return the tree as last committed."""

    def stored_root(self) -> bytes:
        """Return the root that the database says its tree has."""

    def recorded(self, start: int, end: int) -> Recorded:
        """Return the leaves start to end, in order, and the revisions they stand for, one for each."""

    def latest(self, objects: Sequence[Object], before: int) -> dict[Object, Place]:
        """Return leaf and number of the objects' last revision below a leaf, of those that have one."""

    def heads_around(self, start: int, end: int) -> Sequence[TimedHead]:
        """Return the heads from the last at or below leaf `start` to the first at or above `end`."""

    def erasures(self) -> dict[tuple[str, str, str], int]:
        """Return the revision, by (type, code, field), that last erased a private field."""

    def revived(self) -> Iterator[tuple[str, str, int, str]]:
        """Yield (type, code, rev, field) of private values that were erased and are there again."""

    def live_differences(self) -> Iterator[tuple[str, str, int, str]]:
        """Yield (type, code, rev, problem) where a live row is not its latest revision."""

    def skipped(self) -> Iterator[tuple[str, str, int]]:
        """Yield (type, code, rev) of revisions that should have a leaf and have none."""

    def unsequenced(self) -> int:
        """Count the visible revisions that have no leaf."""


def audit(
    store: AuditStore,
    publisher: Publisher,
    since: CompactRange | None = None,
    progress: Progress = lambda _done, _total: None,
) -> AuditReport:
    """Check the whole log against the database and the published files.

    Parameters
    ----------
    since : the tree of the last clean audit: leaves below its size, and their revisions, are not looked at again; that
        the log still extends it is checked, and all live rows are. None, or a tree that was signed since at a
        smaller size, looks at every leaf.
    progress : called with (leaves done, leaves in all) as the audit goes on.
    """
    tree = store.tree()
    known = since or CompactRange()
    report = AuditReport(tree, store.unsequenced())
    if known.size > tree.size:
        problem = f"the last clean audit saw {known.size} leaves, but the log has only {tree.size}: its tail was cut"
        report.findings.append(Finding(problem))
    if known.size > min(tree.size, *publisher.signed_sizes()):
        known = CompactRange()
    report.first = known.size
    with uncollected(), ThreadPoolExecutor(1) as beside:
        rows = beside.submit(lambda: list(store.live_differences()))
        roots = _Leaves(store, publisher, report, known, tree.size).check(progress)
        differing = rows.result()
    if roots.get(tree.size) != store.stored_root():
        report.findings.append(Finding(f"the root of the stored leaves is not the root stored for size {tree.size}"))
    report.findings += [Finding(problem) for problem in publisher.disagreements(tree.size, roots)]
    report.findings += [Finding(problem, kind, code, rev) for kind, code, rev, problem in differing]
    report.findings += [Finding("the sequencer passed it over", kind, code, rev) for kind, code, rev in store.skipped()]
    for kind, code, rev, name in store.revived():
        report.findings.append(Finding(f"{name} was erased, but its value is there again", kind, code, rev))
    return report


class _Leaves:
    """The part of an audit that goes from leaf to leaf."""

    def __init__(
        self, store: AuditStore, publisher: Publisher, report: AuditReport, known: CompactRange, size: int
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._findings = report.findings
        self._first = known.size
        self._size = size
        self._tree = CompactRange(known.size, known.hashes)
        self._latest: dict[Object, Place] = {}
        self._erasures = store.erasures()

    def check(self, progress: Progress) -> dict[int, bytes]:
        """Check every leaf; return the roots of the stored hashes at the sizes that were ever signed or stored."""
        wanted = sorted({self._size, *(s for s in self._publisher.signed_sizes() if s <= self._size)})
        roots = {self._first: self._tree.root()}
        for start, end, (leaves, revisions) in self._batches():
            self._check_batch(start, end, leaves, revisions)
            for cut in [*(s for s in wanted if start < s <= end), end]:
                held = self._tree.size
                self._tree.append([leaf.hash for leaf in leaves if held <= leaf.idx < cut])
                if cut in wanted:
                    roots[cut] = self._tree.root()
            progress(end, self._size)
        return roots

    def _batches(self) -> Iterator[tuple[int, int, Recorded]]:
        """Yield start, end and content of each batch; the database reads the next one meanwhile."""
        spans = [(start, min(start + BATCH, self._size)) for start in range(self._first, self._size, BATCH)]
        with ThreadPoolExecutor(1) as ahead:
            coming = [ahead.submit(self._store.recorded, *span) for span in spans[:1]]
            for number, span in enumerate(spans, 1):
                recorded = coming.pop().result()
                coming += [ahead.submit(self._store.recorded, *following) for following in spans[number : number + 1]]
                yield *span, recorded

    def _check_batch(self, start: int, end: int, leaves: list[Leaf], revisions: list[Revision]) -> None:
        if [leaf.idx for leaf in leaves] != list(range(start, end)):
            missing = min(set(range(start, end)) - {leaf.idx for leaf in leaves})
            self._findings.append(Finding("the leaf, or the revision it stands for, is missing", leaf=missing))
        if self._first:
            unknown = {(r.type, r.code) for r in revisions} - self._latest.keys()
            self._latest |= self._store.latest(sorted(unknown), self._first)
        misplaced = dict(self._misplaced(leaves, revisions))
        for place in sorted({*_differing(leaves, revisions), *misplaced}):
            leaf, revision = leaves[place], revisions[place]
            self._findings += [_finding(problem, leaf, revision) for problem in self._explain(leaf, revision)]
            if place in misplaced:
                self._findings.append(_finding(misplaced[place], leaf, revision))
        self._findings += _check_times(leaves, revisions, self._store.heads_around(start, end))
        for idx, problem in self._publisher.tile_differences(start, leaves):
            place = bisect_left(leaves, idx, key=lambda leaf: leaf.idx)
            there = place < len(leaves) and leaves[place].idx == idx
            self._findings.append(
                _finding(problem, leaves[place], revisions[place]) if there else Finding(problem, leaf=idx)
            )

    def _misplaced(self, leaves: list[Leaf], revisions: list[Revision]) -> Iterator[tuple[int, str]]:
        """Yield where a leaf does not follow the one before of its object, and how it stands."""
        latest = self._latest
        for place, (leaf, revision) in enumerate(zip(leaves, revisions, strict=True)):
            key, stands = (revision.type, revision.code), revision.rev
            idx, rev = latest.get(key, _NONE)
            latest[key] = (leaf.idx, stands)
            if stands != rev + 1 or leaf.prev != idx:
                yield place, f"expected revision {rev + 1} with predecessor leaf {idx}, got {stands} with {leaf.prev}"

    def _explain(self, leaf: Leaf, revision: Revision) -> Iterator[str]:
        """Yield why a stored entry is not its leaf hash, or a revision not its entry; nothing where all was erased."""
        if leaf_hash(leaf.entry) != leaf.hash:
            yield "the stored entry does not hash to the stored leaf hash"
        try:
            yield from self._explain_entry(leaf, revision)
        except CimError as error:
            yield f"the revision cannot be written as an entry: {error}"

    def _explain_entry(self, leaf: Leaf, revision: Revision) -> Iterator[str]:
        if render(revision, leaf.prev) == leaf.entry:
            return
        promised, geometry = _hashes_in(leaf.entry)
        gone = promised.keys() - (revision.private or {}).keys()
        lost = geometry is not None and revision.geometry_sha256 is None
        whole = revision._replace(srid=geometry[0], geometry_sha256=geometry[1]) if geometry and lost else revision
        if render(whole, leaf.prev, {name: promised[name] for name in gone}) != leaf.entry:
            yield "the revision is not what the entry says"
            return
        if geometry and lost:
            yield f"its geometry, SHA-256 {geometry[1].hex()}, is not there"
        for name in sorted(gone):
            if self._erasures.get((revision.type, revision.code, name), 0) <= revision.rev:
                yield f"the value of {name} is not there, and no erasure was recorded"


_NONE: tuple[int | None, int] = (None, 0)  # leaf and number of the revision before an object's first


def _differing(leaves: Sequence[Leaf], revisions: Sequence[Revision]) -> frozenset[int] | range:
    """Return at which places an entry does not hash to its leaf, or is not what its revision is written as."""
    entries = [leaf.entry for leaf in leaves]
    try:
        written = render_all(revisions, [leaf.prev for leaf in leaves])
    except CimError:
        return range(len(leaves))  # one of them cannot be written: look at each
    hashed, hashes = leaf_hashes(entries), [leaf.hash for leaf in leaves]
    if written == entries and hashed == hashes:
        return frozenset()
    compared = zip(written, entries, hashed, hashes, strict=True)
    return frozenset(place for place, (w, e, c, h) in enumerate(compared) if w != e or c != h)


def _check_times(
    leaves: Sequence[Leaf], revisions: Sequence[Revision], heads: Sequence[TimedHead]
) -> Iterator[Finding]:
    """Bound the time of each revision by the heads before and after its leaf."""
    indices, times = [leaf.idx for leaf in leaves], [revision.at for revision in revisions]
    cuts = [0, *(bisect_left(indices, head.size) for head in heads), len(leaves)]
    for before, after, start, end in zip([None, *heads], [*heads, None], cuts, cuts[1:], strict=False):
        if start == end:
            continue
        if before and min(times[start:end]) < (earliest := before.at - LONGEST_TRANSACTION):
            said = f"the log had only {before.size} leaves at {before.at}"
            for place in range(start, end):
                if times[place] < earliest:
                    yield _finding(f"back-dated to {times[place]}: {said}", leaves[place], revisions[place])
        if after and max(times[start:end]) > (latest := after.at + CLOCK_STEP):
            said = f"the log had it in its {after.size} leaves at {after.at}"
            for place in range(start, end):
                if times[place] > latest:
                    yield _finding(f"post-dated to {times[place]}: {said}", leaves[place], revisions[place])


def _finding(problem: str, leaf: Leaf, revision: Revision) -> Finding:
    return Finding(problem, revision.type, revision.code, revision.rev, leaf.idx)


def _hashes_in(entry: bytes) -> tuple[dict[str, str], tuple[int, bytes] | None]:
    """Return commitments by field, and SRID and hash of the geometry, of an entry; nothing where it is no entry."""
    try:
        read = json.loads(entry)
        geometry = read.get("geometry")
        private = {str(name): str(value) for name, value in read.get("private", {}).items()}
        return private, geometry and (int(geometry["srid"]), bytes.fromhex(geometry["sha256"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, None
