"""Merkle trees over SHA-256: roots, inclusion and consistency proofs, and their verification.

Rows of hashes are kept flat: 32 bytes a hash, one after another, so that a row is also a tile's content.
All proofs are derived from one function, `NodeAt`, which answers the hash of a *complete* subtree: the node
at `level` (0 = leaves) and `index` covers the leaves index·2^level up to (index + 1)·2^level.

Source
------
RFC 6962, section 2.1. https://www.rfc-editor.org/rfc/rfc6962.html#section-2.1
RFC 9162, sections 2.1.3 and 2.1.4. https://www.rfc-editor.org/rfc/rfc9162.html#section-2.1.3
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from cim.errors import InvalidData, InvalidProof, NotFound

HASH_LENGTH = 32
EMPTY_ROOT = sha256(b"").digest()

NodeAt = Callable[[int, int], bytes]
"""(level, index) -> hash of that complete subtree."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry to a leaf: SHA-256(0x00 ‖ entry)."""
    return sha256(b"\0" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Hash many entries to leaves; the same as `leaf_hash` of each, without a call for each."""
    return [sha256(b"\0" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees to their parent: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\1" + left + right).digest()


def parents(row: bytes | bytearray) -> bytes:
    """Hash a flat row of nodes pairwise to the flat row above; a last one without partner is passed over."""
    whole = len(row) - len(row) % (2 * HASH_LENGTH)
    return b"".join([sha256(b"\1" + row[i : i + 64]).digest() for i in range(0, whole, 64)])


def subtree_root(row: bytes) -> bytes:
    """Hash a flat row of 2^n nodes to the node above them all."""
    while len(row) > HASH_LENGTH:
        row = parents(row)
    return row


# ---------------------------------------------------------------- roots and proofs from complete subtrees


def root_of(node: NodeAt, size: int, start: int = 0) -> bytes:
    """Return the root over the leaves `start` to `size`, MTH(D[start:size]) of RFC 6962.

    Parameters
    ----------
    node : answers complete subtrees of a tree of at least `size` leaves
    size : number of leaves; 0 gives EMPTY_ROOT
    start : first leaf, a multiple of a power of two not smaller than size - start
    """
    if size == 0:
        return EMPTY_ROOT
    root = b""
    for level in range((size - start).bit_length()):
        if (size >> level) & 1:
            peak = node(level, (size >> level) - 1)
            root = node_hash(peak, root) if root else peak
    return root


def inclusion_proof(node: NodeAt, index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf `index` at `size` leaves, from its sibling to the root's child.

    Raises
    ------
    InvalidData : index is negative or not below size.
    """
    if not 0 <= index < size:
        raise InvalidData(f"leaf index must be at least 0 and below the tree size {size}, got {index}")
    return _path(node, 0, index, size)


def consistency_proof(node: NodeAt, old_size: int, new_size: int) -> list[bytes]:
    """Return the proof that the tree of `new_size` leaves extends that of `old_size`; empty if equal.

    Raises
    ------
    InvalidData : old_size is below 1 (every tree extends the empty one: nothing to prove) or above new_size.
    """
    if not 0 < old_size <= new_size:
        raise InvalidData(f"old tree size must be from 1 to the new size {new_size}, got {old_size}")
    if old_size == new_size:
        return []
    level = (old_size & -old_size).bit_length() - 1
    index = (old_size >> level) - 1
    path = _path(node, level, index, new_size)
    return [node(level, index), *path] if index else path


def _path(node: NodeAt, level: int, index: int, size: int) -> list[bytes]:
    """Hashes of the siblings met on the way from a complete subtree to the root of `size` leaves."""
    path = []
    last = (size - 1) >> level
    while last:
        sibling = index ^ 1
        if sibling < size >> level:
            path.append(node(level, sibling))
        elif sibling == last:  # the ragged right edge: no complete subtree, hashed from its peaks
            path.append(root_of(node, size, sibling << level))
        level, index, last = level + 1, index >> 1, last >> 1
    return path


# ---------------------------------------------------------------- verification


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash stands at `index` of the tree with this size and root (RFC 9162, 2.1.3.2).

    Raises
    ------
    InvalidProof : it does not, or a hash has not 32 bytes, or the number of hashes is not the right one.
    """
    if not 0 <= index < size:
        raise InvalidProof(f"leaf index must be at least 0 and below the tree size {size}, got {index}")
    _check_hashes([leaf, root, *proof])
    computed, position, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            raise InvalidProof(f"inclusion proof of leaf {index} in {size} leaves has too many hashes: {len(proof)}")
        if position & 1 or position == last:
            computed = node_hash(sibling, computed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise InvalidProof(f"inclusion proof of leaf {index} in {size} leaves has too few hashes: {len(proof)}")
    if computed != root:
        raise InvalidProof(_mismatch(f"the inclusion proof of leaf {index}", size, root, computed))


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the new tree extends the old one (RFC 9162, 2.1.4.2).

    Raises
    ------
    InvalidProof : it does not, or old_size is below 1 or above new_size, or a hash has not 32 bytes,
        or the number of hashes is not the right one.
    """
    if not 0 < old_size <= new_size:
        raise InvalidProof(f"old tree size must be from 1 to the new size {new_size}, got {old_size}")
    if old_size == new_size:
        if proof or old_root != new_root:
            raise InvalidProof(f"two trees of {new_size} leaves need equal roots and an empty proof")
        return
    _check_hashes([old_root, new_root, *proof])
    # An old tree of 2^n leaves is itself the first node of the path, so the proof does not repeat it.
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        raise InvalidProof(f"the consistency proof from {old_size} to {new_size} leaves is empty")
    old, new = _climb(old_size, new_size, path)
    if old != old_root:
        raise InvalidProof(_mismatch("the consistency proof", old_size, old_root, old))
    if new != new_root:
        raise InvalidProof(_mismatch("the consistency proof", new_size, new_root, new))


def _climb(old_size: int, new_size: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Roots of both trees as the consistency path implies them (RFC 9162, 2.1.4.2, steps 3 to 7)."""
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise InvalidProof(f"consistency proof from {old_size} to {new_size} leaves has too many hashes")
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise InvalidProof(f"consistency proof from {old_size} to {new_size} leaves has too few hashes")
    return old, new


def _check_hashes(hashes: Iterable[bytes]) -> None:
    for value in hashes:
        if len(value) != HASH_LENGTH:
            raise InvalidProof(f"a hash must have {HASH_LENGTH} bytes, got {len(value)}")


def _mismatch(what: str, size: int, root: bytes, computed: bytes) -> str:
    return f"{what} leads to {computed.hex()}, but the root of {size} leaves is {root.hex()}"


# ---------------------------------------------------------------- growing trees


class CompactRange:
    """A growing tree reduced to what its root needs: one hash for each set bit of the size.

    Attributes
    ----------
    size : number of leaves
    hashes : roots of the complete subtrees that tile the leaves, left to right, largest first

    Raises
    ------
    InvalidData : the hashes do not fit the size.

    Source
    ------
    transparency-dev, "Compact ranges".
    https://github.com/transparency-dev/merkle/blob/main/docs/compact_ranges.md
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if size < 0 or [len(h) for h in hashes] != [HASH_LENGTH] * size.bit_count():
            raise InvalidData(
                f"a compact range of {size} leaves has a hash of {HASH_LENGTH} bytes for each set bit of its "
                f"size, got {len(hashes)} hashes"
            )
        self.size = size
        self.hashes = list(hashes)

    def append(self, hashes: Iterable[bytes]) -> None:
        """Add leaf hashes at the right.

        Raises
        ------
        InvalidData : a hash has not 32 bytes; the range is then as before.
        """
        row = _flat(hashes)
        size, merged, level = self.size, list[bytes](), 0
        self.size += len(row) // HASH_LENGTH
        while row:
            if (size >> level) & 1:
                row = self.hashes.pop() + row
            if len(row) // HASH_LENGTH & 1:
                merged.append(row[-HASH_LENGTH:])
            row = parents(row)
            level += 1
        self.hashes += reversed(merged)

    def root(self) -> bytes:
        """Return the root; EMPTY_ROOT without leaves."""
        root = b""
        for peak in reversed(self.hashes):
            root = node_hash(peak, root) if root else peak
        return root or EMPTY_ROOT

    def to_bytes(self) -> bytes:
        """Write the size as 8 bytes, big-endian, and then the hashes."""
        return self.size.to_bytes(8, "big") + b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, data: bytes) -> CompactRange:
        """Read what `to_bytes` wrote.

        Raises
        ------
        InvalidData : the length does not fit the size.
        """
        if len(data) < 8:
            raise InvalidData(f"a compact range has at least 8 bytes, got {len(data)}")
        starts = range(8, len(data), HASH_LENGTH)
        return cls(int.from_bytes(data[:8], "big"), [data[i : i + HASH_LENGTH] for i in starts])


class Tree:
    """A whole tree in memory, 64 bytes a leaf: roots and proofs at every size it ever had."""

    def __init__(self, hashes: Iterable[bytes] = ()) -> None:
        self._levels = [bytearray()]
        self.extend(hashes)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0]) // HASH_LENGTH

    def append(self, leaf: bytes) -> int:
        """Add one leaf hash and return its index.

        Raises
        ------
        InvalidData : the hash has not 32 bytes.
        """
        self.extend((leaf,))
        return self.size - 1

    def extend(self, hashes: Iterable[bytes]) -> None:
        """Add leaf hashes at the right.

        Raises
        ------
        InvalidData : a hash has not 32 bytes; the tree is then as before.
        """
        row, level = _flat(hashes), 0
        while row:
            if level == len(self._levels):
                self._levels.append(bytearray())
            held = self._levels[level]
            paired = len(held) - len(held) % (2 * HASH_LENGTH)
            held += row
            row = parents(held[paired:])
            level += 1

    def root(self, size: int | None = None) -> bytes:
        """Return the root at `size` leaves, by default at all of them.

        Raises
        ------
        NotFound : the tree has fewer leaves.
        """
        return root_of(self._node, self._known(self.size if size is None else size))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the inclusion proof of a leaf at `size` leaves; raises as `inclusion_proof` and `root`."""
        return inclusion_proof(self._node, index, self._known(size))

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """Return the consistency proof between two sizes; raises as `consistency_proof` and `root`."""
        return consistency_proof(self._node, old_size, self._known(new_size))

    def _known(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise NotFound(f"no tree of {size} leaves: the log has {self.size}")
        return size

    def _node(self, level: int, index: int) -> bytes:
        return bytes(self._levels[level][index * HASH_LENGTH : (index + 1) * HASH_LENGTH])


def _flat(hashes: Iterable[bytes]) -> bytes:
    """Join hashes to a flat row, refusing one of another length (two wrong ones could add up)."""
    items = hashes if isinstance(hashes, list) else list(hashes)
    if not {*map(len, items)} <= {HASH_LENGTH}:
        raise InvalidData(f"a leaf hash must have {HASH_LENGTH} bytes")
    return b"".join(items)
