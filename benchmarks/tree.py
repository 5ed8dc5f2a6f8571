"""The Merkle tree: appends, inclusion and consistency proofs, against pymerkle and the unavoidable hashing.

Run: python -m benchmarks.tree [leaves] [rounds]

Same work: entries of 255 bytes, hashed; the roots and a sample of the proofs are checked in the run. pymerkle keeps
the entries as well, and its proofs have a format of its own; ours are the lists of RFC 6962.
"""

from __future__ import annotations

import gc
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pymerkle

from benchmarks._measure import machine, measure, report
from cim.log.tiles import TileReader, TileWriter
from cim.log.tree import CompactRange, Tree, leaf_hash, leaf_hashes, parents, verify_consistency, verify_inclusion

LEAVES, ROUNDS, PROOFS, SEED = 1_000_000, 5, 10_000, 42
BATCH = 8_192  # the sequencer's batches are at least so large under load
RAW, MEMORY, WARM, COLD, PEER = "raw hashlib", "cim Tree", "cim TileReader, warm", "cim TileReader, new", "pymerkle"


def main() -> None:
    leaves = int(sys.argv[1]) if len(sys.argv) > 1 else LEAVES
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    print(f"{machine()}, pymerkle {version('pymerkle')}, {leaves:,} leaves, {rounds} rounds, medians")
    numbers = random.Random(SEED)
    entries = [numbers.randbytes(255) for _ in range(leaves)]
    _appends(entries, rounds)

    hashes = leaf_hashes(entries)
    tree, peer = Tree(hashes), pymerkle.InmemoryTree.init_from_entries(entries)
    with tempfile.TemporaryDirectory() as folder:
        TileWriter(Path(folder)).publish(0, leaves, tree.root(), lambda a, b: hashes[a:b], lambda a, b: entries[a:b])
        _proofs(tree, peer, Path(folder), entries, rounds)
    print("\nLeft out: pymerkle's SqliteTree, other languages' logs, and reading tiles from a disk that is not cached.")


def _appends(entries: Sequence[bytes], rounds: int) -> None:
    roots: dict[str, bytes] = {}
    batches = [entries[i : i + BATCH] for i in range(0, len(entries), BATCH)]

    def raw() -> None:
        row = b"".join([sha256(b"\0" + entry).digest() for entry in entries])
        while len(row) > 32:
            row = b"".join([sha256(b"\1" + row[i : i + 64]).digest() for i in range(0, len(row), 64)])

    def in_batches(name: str, kind: Callable[[], Any]) -> None:
        tree = kind()
        add = tree.append if kind is CompactRange else tree.extend
        for batch in batches:
            add(leaf_hashes(batch))
        roots[name] = tree.root()

    def one_by_one(name: str) -> None:
        tree = Tree()
        for entry in entries:
            tree.append(leaf_hash(entry))
        roots[name] = tree.root()

    def peer(name: str) -> None:
        roots[name] = pymerkle.InmemoryTree.init_from_entries(entries).get_root()

    compact, single = "cim CompactRange", "cim Tree, one by one"
    contestants: dict[str, Callable[[], object]] = {
        RAW: raw,
        compact: lambda: in_batches(compact, CompactRange),
        MEMORY: lambda: in_batches(MEMORY, Tree),
        single: lambda: one_by_one(single),
        PEER: lambda: peer(PEER),
    }
    samples = measure(contestants, rounds, prepare=lambda _name: gc.collect())
    assert len(set(roots.values())) == 1, "the roots differ"
    report("append an entry of 255 bytes", samples, len(entries), "entries", RAW)


def _proofs(tree: Tree, peer: Any, folder: Path, entries: Sequence[bytes], rounds: int) -> None:
    size, numbers = len(entries), random.Random(SEED)
    indices = [numbers.randrange(size) for _ in range(PROOFS)]
    old_sizes = [numbers.randrange(1, size) for _ in range(PROOFS)]
    warm, levels = TileReader(folder), _levels(tree)
    inclusion: dict[str, Callable[[], object]] = {
        "raw slices of stored rows": lambda: [_slices(levels, i) for i in indices],
        MEMORY: lambda: [tree.inclusion(i, size) for i in indices],
        WARM: lambda: [warm.inclusion(i, size) for i in indices],
        COLD: lambda: _each(TileReader(folder).inclusion, [(i, size) for i in indices]),
        PEER: lambda: [peer.prove_inclusion(i + 1, size) for i in indices],
    }
    _check(tree, warm, peer, entries, indices[:100], old_sizes[:100])
    report("inclusion proof", measure(inclusion, rounds), PROOFS, "proofs", "raw slices of stored rows")
    consistency: dict[str, Callable[[], object]] = {
        MEMORY: lambda: [tree.consistency(old, size) for old in old_sizes],
        WARM: lambda: [warm.consistency(old, size) for old in old_sizes],
        COLD: lambda: _each(TileReader(folder).consistency, [(old, size) for old in old_sizes]),
        PEER: lambda: [peer.prove_consistency(old, size) for old in old_sizes],
    }
    report("consistency proof", measure(consistency, rounds), PROOFS, "proofs", MEMORY)


def _each(prove: Callable[[int, int], object], questions: Sequence[tuple[int, int]]) -> list[object]:
    return [prove(a, b) for a, b in questions]


def _check(
    tree: Tree, tiles: TileReader, peer: Any, entries: Sequence[bytes], indices: Sequence[int], olds: Sequence[int]
) -> None:
    """Verify a sample of everyone's proofs, so that nobody is fast by being wrong."""
    size, root = len(entries), tree.root()
    for index in indices:
        proof = tree.inclusion(index, size)
        assert proof == tiles.inclusion(index, size)
        verify_inclusion(index, size, leaf_hash(entries[index]), proof, root)
        pymerkle.verify_inclusion(peer.get_leaf(index + 1), root, peer.prove_inclusion(index + 1, size))
    for old in olds:
        path = tree.consistency(old, size)
        assert path == tiles.consistency(old, size)
        verify_consistency(old, size, tree.root(old), root, path)
        pymerkle.verify_consistency(tree.root(old), root, peer.prove_consistency(old, size))


def _levels(tree: Tree) -> list[bytes]:
    """Every row of the tree, to show what merely fetching the hashes of a proof costs."""
    rows = [b"".join(tree.inclusion(i ^ 1, tree.size)[0] for i in range(tree.size & ~1))]
    while len(rows[-1]) > 32:
        rows.append(parents(rows[-1]))
    return rows


def _slices(levels: Sequence[bytes], index: int) -> list[bytes]:
    found = []
    for row in levels:
        start = (index ^ 1) * 32
        found.append(row[start : start + 32])
        index >>= 1
    return found


if __name__ == "__main__":
    main()
