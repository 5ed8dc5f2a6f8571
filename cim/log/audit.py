"""Compare everything that should agree: live rows, revisions, entries, tiles, root, checkpoint, signer record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from cim.errors import CimError
from cim.log.publisher import Publisher
from cim.log.sequencer import Leaf, Revision, render
from cim.log.tree import CompactRange, leaf_hash

BATCH = 10_000


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
    """What an audit looked at and what it found; `ok` only if everything agrees."""

    size: int
    root: bytes
    unsequenced: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


class AuditStore(Protocol):
    """What the audit asks of the database; implemented by `cim.db.logstore`."""

    def tree(self) -> CompactRange:
        """Return the tree as last committed."""

    def stored_root(self) -> bytes:
        """Return the root that the database says its tree has."""

    def recorded(self, start: int, end: int) -> list[tuple[Leaf, Revision]]:
        """Return the leaves start to end with the revisions they stand for."""

    def live_differences(self) -> Iterator[tuple[str, str, int, str]]:
        """Yield (type, code, rev, problem) where a live row is not its latest revision."""

    def skipped(self) -> Iterator[tuple[str, str, int]]:
        """Yield (type, code, rev) of revisions that should have a leaf and have none."""

    def unsequenced(self) -> int:
        """Count the visible revisions that have no leaf."""


def audit(
    store: AuditStore, publisher: Publisher, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> AuditReport:
    """Check the whole log against the database and the published files.

    Parameters
    ----------
    progress : called with (leaves done, leaves in all) as the audit goes on.
    """
    tree = store.tree()
    report = AuditReport(tree.size, tree.root(), store.unsequenced())
    roots = _check_leaves(store, publisher, tree.size, report, progress)
    if roots.get(tree.size) != store.stored_root():
        report.findings.append(Finding(f"the root of the stored leaves is not the root stored for size {tree.size}"))
    report.findings += [Finding(problem) for problem in publisher.disagreements(tree.size, roots)]
    report.findings += [Finding(problem, kind, code, rev) for kind, code, rev, problem in store.live_differences()]
    report.findings += [Finding("the sequencer passed it over", kind, code, rev) for kind, code, rev in store.skipped()]
    return report


def _check_leaves(
    store: AuditStore,
    publisher: Publisher,
    size: int,
    report: AuditReport,
    progress: Callable[[int, int], None],
) -> dict[int, bytes]:
    """Check every leaf; return the roots of the stored hashes at the sizes that were ever signed or stored."""
    wanted = sorted({size, *(s for s in publisher.signed_sizes() if s <= size)})
    roots: dict[int, bytes] = {}
    computed = CompactRange(0, [])
    latest: dict[tuple[str, str], tuple[int, int]] = {}
    for start in range(0, size, BATCH):
        end = min(start + BATCH, size)
        rows = store.recorded(start, end)
        if [leaf.idx for leaf, _ in rows] != list(range(start, end)):
            missing = sorted(set(range(start, end)) - {leaf.idx for leaf, _ in rows})
            report.findings.append(Finding("the leaf, or the revision it stands for, is missing", leaf=missing[0]))
        for leaf, revision in rows:
            report.findings += _check_leaf(leaf, revision, latest)
        report.findings += [
            Finding(p, leaf=i) for i, p in publisher.tile_differences(start, [leaf for leaf, _ in rows])
        ]
        for cut in [s for s in wanted if start < s <= end]:
            computed.append(leaf.hash for leaf, _ in rows if computed.size <= leaf.idx < cut)
            roots[cut] = computed.root()
        computed.append(leaf.hash for leaf, _ in rows if leaf.idx >= computed.size)
        progress(end, size)
    return roots or {0: computed.root()}


def _check_leaf(leaf: Leaf, revision: Revision, latest: dict[tuple[str, str], tuple[int, int]]) -> Iterator[Finding]:
    """Check one leaf against its hash, its revision, and its place in the object's chain."""
    place = (revision.type, revision.code, revision.rev, leaf.idx)
    if leaf_hash(leaf.entry) != leaf.hash:
        yield Finding("the stored entry does not hash to the stored leaf hash", *place)
    try:
        expected = render(revision, leaf.prev)
    except CimError as error:
        yield Finding(f"the revision cannot be written as an entry: {error}", *place)
    else:
        if expected != leaf.entry:
            yield Finding("the revision is not what the entry says", *place)
    key = (revision.type, revision.code)
    idx, rev = latest.get(key, (None, 0))
    if (leaf.prev, revision.rev) != (idx, rev + 1):
        yield Finding(
            f"expected revision {rev + 1} with predecessor leaf {idx}, got {revision.rev} with {leaf.prev}",
            *place,
        )
    latest[key] = (leaf.idx, revision.rev)
