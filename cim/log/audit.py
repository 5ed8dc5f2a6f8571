"""Compare everything that should agree: live rows, revisions, entries, tiles, root, checkpoint, signer record."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import NamedTuple, Protocol

from cim.errors import CimError
from cim.log.publisher import Publisher
from cim.log.revision import Revision, render
from cim.log.tree import CompactRange, leaf_hash, leaf_hashes
from cim.memory import uncollected

BATCH = 16_384  # whole tiles; what is asked of the server and of Python for each batch is then not felt
# A revision carries the time of its statement and gets its leaf after the commit: so far may the two be apart.
LONGEST_TRANSACTION = timedelta(days=1)
CLOCK_STEP = timedelta(minutes=1)  # a server's clock may be set back
MOST_LOST = 1000  # named one by one; how many there are in all, the sizes tell

Progress = Callable[[int, int], None]
Object = tuple[str, str]
"""(type, code)"""
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


class Reached(NamedTuple):
    """A tree size, when the log had reached it, with time zone, and the transaction below which all have their leaf."""

    size: int
    at: datetime
    floor: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """Leaves in order, with the revisions they stand for, as columns.

    Attributes
    ----------
    idx, prev, entry, hash : of the leaf: its index, its predecessor, entry bytes and leaf hash
    xid : transaction of the revision
    type, code, rev : of the revision
    at : time of the revision, microseconds since 1970 in UTC
    doubtful : places, from 0, at which the entry is not what `render` writes of the revision, or may not be
    """

    idx: list[int]
    prev: list[int | None]
    entry: list[bytes]
    hash: list[bytes]
    xid: list[int]
    type: list[str]
    code: list[str]
    rev: list[int]
    at: list[int]
    doubtful: list[int]

    def finding(self, place: int, problem: str) -> Finding:
        """Return a finding at a place."""
        return Finding(problem, self.type[place], self.code[place], self.rev[place], self.idx[place])


class AuditStore(Protocol):
    """What the audit asks of the database; implemented by `cim.db.logstore`.

    `live_differences`, `replaced_differences`, `skipped` and `revived` run in a thread of their own, beside the others.
    """

    def tree(self) -> CompactRange:
        """Return the tree as last committed."""

    def stored_root(self) -> bytes:
        """Return the root that the database says its tree has."""

    def recorded(self, start: int, end: int, limit: int) -> Iterator[Recorded]:
        """Yield the leaves start to end with their revisions, those of `limit` indices at once."""

    def revisions(self, start: int, end: int) -> dict[int, Revision]:
        """Return the revisions that the leaves start to end stand for, by leaf; without those that cannot be read."""

    def latest(self, objects: Sequence[Object], before: int) -> dict[Object, Place]:
        """Return leaf and number of the objects' last revision below a leaf, of those that have one."""

    def heads_around(self, start: int, end: int) -> Sequence[Reached]:
        """Return the heads from the last at or below leaf `start` to the first at or above `end`."""

    def erasures(self) -> dict[tuple[str, str, str], int]:
        """Return the revision, by (type, code, field), that last erased a private field."""

    def revived(self) -> Iterator[tuple[str, str, int, str]]:
        """Yield (type, code, rev, field) of private values that were erased and are there again."""

    def live_differences(self) -> Iterator[tuple[str, str, int, str]]:
        """Yield (type, code, rev, problem) where a live row is not its latest revision."""

    def replaced_differences(self) -> Iterator[tuple[str, str, int]]:
        """Yield (type, code, rev) of revisions that reads of a state take for replaced, and are not, or the reverse."""

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
        apart = beside.submit(lambda: list(_apart_from_leaves(store)))
        roots = _Leaves(store, publisher, report, known, tree.size).check(progress)
        others = apart.result()
    if roots.get(tree.size) != store.stored_root():
        report.findings.append(Finding(f"the root of the stored leaves is not the root stored for size {tree.size}"))
    report.findings += [Finding(problem) for problem in publisher.disagreements(tree.size, roots)]
    report.findings += [*islice(_lost(publisher, tree.size), MOST_LOST), *others]
    return report


def _lost(publisher: Publisher, size: int) -> Iterator[Finding]:
    """Name what was published beyond the leaves that the database has: what a backup did not have yet."""
    problem = "published, but the database has no such leaf"
    for leaf, entry in publisher.published_from(size):
        try:
            read = json.loads(entry)
            yield Finding(problem, str(read["type"]), str(read["code"]), int(read["rev"]), leaf)
        except (ValueError, TypeError, KeyError, RecursionError):
            yield Finding(problem, leaf=leaf)


def _apart_from_leaves(store: AuditStore) -> Iterator[Finding]:
    """Check what no leaf leads to: live rows, revisions without a leaf, private values that should be gone."""
    for kind, code, rev, problem in store.live_differences():
        yield Finding(problem, kind, code, rev)
    for kind, code, rev in store.replaced_differences():
        yield Finding("reads of a state are told otherwise than by its leaves what followed it", kind, code, rev)
    for kind, code, rev in store.skipped():
        yield Finding("the sequencer passed it over", kind, code, rev)
    for kind, code, rev, name in store.revived():
        yield Finding(f"{name} was erased, but its value is there again", kind, code, rev)


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
        self._floor = 0
        self._erasures = store.erasures()

    def check(self, progress: Progress) -> dict[int, bytes]:
        """Check every leaf; return the roots of the stored hashes at the sizes that were ever signed or stored."""
        wanted = sorted({self._size, *(s for s in self._publisher.signed_sizes() if s <= self._size)})
        roots = {self._first: self._tree.root()}
        starts = range(self._first, self._size, BATCH)
        for start, recorded in zip(starts, self._store.recorded(self._first, self._size, BATCH), strict=True):
            end = min(start + BATCH, self._size)
            self._check_batch(start, end, recorded)
            for cut in [*(s for s in wanted if start < s < end), end]:
                held, ends = (bisect_left(recorded.idx, size) for size in (self._tree.size, cut))
                self._tree.append(recorded.hash[held:ends])
                if cut in wanted:
                    roots[cut] = self._tree.root()
            progress(end, self._size)
        return roots

    def _check_batch(self, start: int, end: int, recorded: Recorded) -> None:
        if recorded.idx != list(range(start, end)):
            self._findings += _not_once(recorded, start, end)
        if self._first:
            unknown = set(zip(recorded.type, recorded.code, strict=True)) - self._latest.keys()
            self._latest |= self._store.latest(sorted(unknown), self._first)
        self._check_entries(recorded)
        heads = self._store.heads_around(start, end)
        self._findings += _check_times(recorded, heads)
        self._findings += self._check_floors(recorded, heads)
        for idx, problem in self._publisher.tile_differences(recorded.idx, recorded.entry, recorded.hash):
            place = bisect_left(recorded.idx, idx)
            known = recorded.idx[place : place + 1] == [idx]
            self._findings.append(recorded.finding(place, problem) if known else Finding(problem, leaf=idx))

    def _check_entries(self, recorded: Recorded) -> None:
        """Check entries against leaf hashes, revisions and the revisions before; look closer where anything differs."""
        misplaced = dict(self._misplaced(recorded))
        places = {*recorded.doubtful, *misplaced}
        hashed = leaf_hashes(recorded.entry)
        if hashed != recorded.hash:
            places |= {place for place, digest in enumerate(hashed) if digest != recorded.hash[place]}
        if not places:
            return
        revisions = self._store.revisions(recorded.idx[min(places)], recorded.idx[max(places)] + 1)
        for place in sorted(places):
            problems = self._explain(recorded, place, revisions.get(recorded.idx[place]))
            self._findings += [recorded.finding(place, problem) for problem in problems]
            if place in misplaced:
                self._findings.append(recorded.finding(place, misplaced[place]))

    def _misplaced(self, recorded: Recorded) -> Iterator[tuple[int, str]]:
        """Yield where a leaf does not follow the one before of its object, and how it stands."""
        latest = self._latest
        objects = zip(recorded.type, recorded.code, strict=True)
        stands = zip(objects, recorded.idx, recorded.prev, recorded.rev, strict=True)
        for place, (key, idx, prev, rev) in enumerate(stands):
            before, number = latest.get(key, _NONE)
            latest[key] = (idx, rev)
            if prev != before or rev != number + 1:
                yield place, f"expected revision {number + 1} with predecessor leaf {before}, got {rev} with {prev}"

    def _check_floors(self, recorded: Recorded, heads: Sequence[Reached]) -> Iterator[Finding]:
        """Check that no leaf beyond a tree is of a transaction that reads of the tree take to be in it whole."""
        cuts = [*(bisect_left(recorded.idx, head.size) for head in heads), len(recorded.idx)]
        for head, start, end in zip(heads, cuts, cuts[1:], strict=False):
            if start == end:
                continue
            self._floor = max(self._floor, head.floor)
            if min(recorded.xid[start:end]) < self._floor:
                place = next(place for place in range(start, end) if recorded.xid[place] < self._floor)
                yield recorded.finding(place, f"reads of a state take it to be among {head.size} leaves")

    def _explain(self, recorded: Recorded, place: int, revision: Revision | None) -> Iterator[str]:
        """Yield why a stored entry is not its leaf hash, or a revision not its entry; nothing where all was erased."""
        entry, prev = recorded.entry[place], recorded.prev[place]
        if leaf_hash(entry) != recorded.hash[place]:
            yield "the stored entry does not hash to the stored leaf hash"
        if revision is None:
            yield "the revision cannot be read"
            return
        try:
            yield from self._explain_entry(entry, prev, revision)
        except CimError as error:
            yield f"the revision cannot be written as an entry: {error}"

    def _explain_entry(self, entry: bytes, prev: int | None, revision: Revision) -> Iterator[str]:
        if render(revision, prev) == entry:
            return
        promised, geometry = _hashes_in(entry)
        gone = promised.keys() - (revision.private or {}).keys()
        lost = geometry is not None and revision.geometry_sha256 is None
        whole = revision._replace(srid=geometry[0], geometry_sha256=geometry[1]) if geometry and lost else revision
        if render(whole, prev, {name: promised[name] for name in gone}) != entry:
            yield "the revision is not what the entry says"
            return
        if geometry and lost:
            yield f"its geometry, SHA-256 {geometry[1].hex()}, is not there"
        for name in sorted(gone):
            if self._erasures.get((revision.type, revision.code, name), 0) <= revision.rev:
                yield f"the value of {name} is not there, and no erasure was recorded"


def _not_once(recorded: Recorded, start: int, end: int) -> Iterator[Finding]:
    """Yield the first leaf from start to end that is not there, and all that are there more than once."""
    what = "the leaf, or the revision it stands for, is"
    if missing := set(range(start, end)) - set(recorded.idx):
        yield Finding(f"{what} missing", leaf=min(missing))
    for place, (idx, following) in enumerate(pairwise(recorded.idx)):
        if idx == following:
            yield recorded.finding(place, f"{what} there twice")


_NONE: tuple[int | None, int] = (None, 0)  # leaf and number of the revision before an object's first


def _check_times(recorded: Recorded, heads: Sequence[Reached]) -> Iterator[Finding]:
    """Bound the time of each revision by the heads before and after its leaf."""
    times = recorded.at
    cuts = [0, *(bisect_left(recorded.idx, head.size) for head in heads), len(times)]
    for before, after, start, end in zip([None, *heads], [*heads, None], cuts, cuts[1:], strict=False):
        if start == end:
            continue
        if before and min(times[start:end]) < (earliest := _microseconds(before.at - LONGEST_TRANSACTION)):
            said = f"the log had only {before.size} leaves at {before.at}"
            for place in range(start, end):
                if times[place] < earliest:
                    yield recorded.finding(place, _dated("back", times[place], said))
        if after and max(times[start:end]) > (latest := _microseconds(after.at + CLOCK_STEP)):
            said = f"the log had it in its {after.size} leaves at {after.at}"
            for place in range(start, end):
                if times[place] > latest:
                    yield recorded.finding(place, _dated("post", times[place], said))


_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _dated(how: str, microseconds: int, said: str) -> str:
    try:
        return f"{how}-dated to {_EPOCH + timedelta(microseconds=microseconds)}: {said}"
    except OverflowError:
        return "dated beyond the calendar"


def _hashes_in(entry: bytes) -> tuple[dict[str, str], tuple[int, bytes] | None]:
    """Return commitments by field, and SRID and hash of the geometry, of an entry; nothing where it is no entry."""
    try:
        read = json.loads(entry)
        geometry = read.get("geometry")
        private = {str(name): str(value) for name, value in read.get("private", {}).items()}
        return private, geometry and (int(geometry["srid"]), bytes.fromhex(geometry["sha256"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, None
