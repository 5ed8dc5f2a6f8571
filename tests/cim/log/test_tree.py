"""Trees against RFC 6962's own recursive definitions, and against roots printed in texts on it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cim.errors import InvalidData, InvalidProof, NotFound
from cim.log.tree import (
    EMPTY_ROOT,
    CompactRange,
    Tree,
    leaf_hash,
    leaf_hashes,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

# The eight leaves and the roots of 1 to 8 of them that certificate-transparency implementations test with.
CLASSIC = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CLASSIC_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def split(size: int) -> int:
    """The largest power of two smaller than size."""
    return 1 << (size - 1).bit_length() - 1


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    """RFC 6962, 2.1.2, word for word."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def some_leaves(size: int) -> list[bytes]:
    return [f"leaf {i}".encode() for i in range(size)]


@pytest.mark.parametrize("size", range(1, 9))
def test_classic_leaves_give_their_published_roots(size: int) -> None:
    hashes = leaf_hashes(CLASSIC[:size])
    compact = CompactRange()
    compact.append(hashes)
    assert Tree(hashes).root().hex() == CLASSIC_ROOTS[size - 1]
    assert compact.root().hex() == CLASSIC_ROOTS[size - 1]


def test_empty_tree_has_the_hash_of_nothing_as_root() -> None:
    published = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert EMPTY_ROOT.hex() == Tree().root().hex() == CompactRange().root().hex() == published


def test_leaves_and_nodes_are_hashed_apart() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hashes([b"a", b"b"]) == [left, right]


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65, 127, 128, 129])
def test_every_proof_of_small_trees_is_the_one_of_the_definition(size: int) -> None:
    leaves = some_leaves(size)
    tree, root = Tree(leaf_hashes(leaves)), mth(leaves)
    assert tree.root() == root
    for index, leaf in enumerate(leaves):
        proof = tree.inclusion(index, size)
        assert proof == path(index, leaves)
        verify_inclusion(index, size, leaf_hash(leaf), proof, root)
    for old in range(1, size + 1):
        proof = tree.consistency(old, size)
        assert proof == subproof(old, leaves, True)
        verify_consistency(old, size, mth(leaves[:old]), root, proof)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_grown_tree_proves_every_earlier_size(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 400))
    leaves = some_leaves(size)
    tree, place = Tree(), 0
    while place < size:  # grown in uneven steps
        step = data.draw(st.integers(1, size - place))
        tree.extend(leaf_hashes(leaves[place : place + step]))
        place += step
    earlier = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, earlier - 1))
    old = data.draw(st.integers(1, earlier))
    assert tree.root(earlier) == mth(leaves[:earlier])
    assert tree.inclusion(index, earlier) == path(index, leaves[:earlier])
    assert tree.consistency(old, earlier) == subproof(old, leaves[:earlier], True)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 70), max_size=8))
def test_a_compact_range_grows_in_any_steps_and_survives_being_stored(steps: list[int]) -> None:
    compact, leaves = CompactRange(), some_leaves(sum(steps))
    place = 0
    for step in steps:
        compact.append(leaf_hashes(leaves[place : place + step]))
        place += step
        compact = CompactRange.from_bytes(compact.to_bytes())
        assert compact.size == place
        assert compact.root() == mth(leaves[:place])


def test_appending_one_leaf_tells_its_index() -> None:
    tree = Tree()
    assert [tree.append(leaf_hash(leaf)) for leaf in CLASSIC] == list(range(8))
    assert tree.root().hex() == CLASSIC_ROOTS[7]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_proof_changed_in_any_way_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 90))
    leaves = some_leaves(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root, leaf = path(index, leaves), mth(leaves), leaf_hash(leaves[index])
    place = data.draw(st.integers(0, len(proof) - 1))
    other = data.draw(st.binary(min_size=32, max_size=32).filter(lambda value: value != proof[place]))
    changed = [*proof[:place], other, *proof[place + 1 :]]
    for bad in (
        changed,
        proof[:place] + proof[place + 1 :],
        [*proof, other],
        [*proof[:place], other, *proof[place:]],
    ):
        with pytest.raises(InvalidProof):
            verify_inclusion(index, size, leaf, bad, root)
    wrong = data.draw(st.integers(-2, size + 2).filter(lambda value: value != index))
    with pytest.raises(InvalidProof):
        verify_inclusion(wrong, size, leaf, proof, root)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_consistency_proof_changed_in_any_way_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 90))
    leaves = some_leaves(size)
    old = data.draw(st.integers(1, size - 1))
    proof, old_root, new_root = subproof(old, leaves, True), mth(leaves[:old]), mth(leaves)
    place = data.draw(st.integers(0, len(proof) - 1))
    other = data.draw(st.binary(min_size=32, max_size=32).filter(lambda value: value != proof[place]))
    changed = [*proof[:place], other, *proof[place + 1 :]]
    for bad in (changed, proof[:place] + proof[place + 1 :], [*proof, other], [other, *proof]):
        with pytest.raises(InvalidProof):
            verify_consistency(old, size, old_root, new_root, bad)
    with pytest.raises(InvalidProof):
        verify_consistency(old, size, other, new_root, proof)
    with pytest.raises(InvalidProof):
        verify_consistency(old, size, old_root, other, proof)


def test_a_hash_split_at_another_place_is_refused() -> None:
    # 33 + 31 bytes join to the same flat row as 32 + 32.
    leaves = some_leaves(4)
    first, second = path(0, leaves)
    row = first + second
    with pytest.raises(InvalidProof, match="32 bytes"):
        verify_inclusion(0, 4, leaf_hash(leaves[0]), [row[:33], row[33:]], mth(leaves))
    with pytest.raises(InvalidData, match="32 bytes"):
        Tree([row[:33], row[33:]])
    with pytest.raises(InvalidData, match="32 bytes"):
        CompactRange().append([row[:33], row[33:]])


def test_sizes_that_cannot_be_are_refused() -> None:
    tree = Tree(leaf_hashes(CLASSIC))
    for index, size in ((8, 8), (-1, 8), (0, 0)):
        with pytest.raises(InvalidData):
            tree.inclusion(index, size)
    for old, new in ((0, 8), (5, 4), (-1, 4)):
        with pytest.raises(InvalidData):
            tree.consistency(old, new)
        with pytest.raises(InvalidProof):
            verify_consistency(old, new, EMPTY_ROOT, EMPTY_ROOT, [])
    for ask in (lambda: tree.root(9), lambda: tree.inclusion(0, 9), lambda: tree.consistency(1, 9)):
        with pytest.raises(NotFound, match="the log has 8"):
            ask()


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 7, (3).to_bytes(8, "big") + b"x" * 32, (2).to_bytes(8, "big") + b"x" * 33, b"\0" * 9],
)
def test_a_damaged_compact_range_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidData):
        CompactRange.from_bytes(data)
