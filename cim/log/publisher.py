"""The published log of a deployment: its folder of tiles, its signing key, and the order in which they change."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from cim.errors import CimError, Conflict, NotFound
from cim.log.checkpoint import Checkpoint, open_checkpoint
from cim.log.proof import TlogProof
from cim.log.signer import LogSigner
from cim.log.tiles import WIDTH, Range, TileReader, TileWriter
from cim.log.tree import HASH_LENGTH, CompactRange


class Head(Protocol):
    """A tree head as the database recorded it."""

    @property
    def size(self) -> int:
        """Number of leaves."""

    @property
    def root(self) -> bytes:
        """Root, 32 bytes."""


class Publisher:
    """Publishes growing trees of one log: tiles first, then the signer's record, the checkpoint last.

    Raises
    ------
    InvalidData, Conflict : the key or its record is unusable (see LogSigner).
    """

    def __init__(self, log_dir: Path, keys_dir: Path, origin: str) -> None:
        self.signer = LogSigner(keys_dir, origin)
        self.folder = log_dir
        self._writer = TileWriter(log_dir)
        self._reader = TileReader(log_dir)  # published files never change, so what it caches stays true
        self._open = lru_cache(maxsize=2)(lambda text: open_checkpoint(text, [self.signer.verifier]))

    def publish(self, tree: CompactRange, hashes: Range, entries: Range) -> None:
        """Publish a tree; nothing is done where it is published already. A run that was ended is run again.

        Raises
        ------
        Conflict : the tree is no extension of the one signed last, or the files are another log's.
        """
        checkpoint = Checkpoint(self.signer.origin, tree.size, tree.root())
        published = self.published()
        if published == checkpoint:
            return
        if published.size > tree.size:
            raise Conflict(
                f"the published log has {published.size} leaves, the database only {tree.size}: it was restored from "
                "an older backup, or CIM_HOME belongs to another database. Run `cim log audit`"
            )
        self._writer.publish(published.size, tree.size, checkpoint.root, hashes, entries)
        self._writer.publish_checkpoint(self.signer.sign(checkpoint, self._reader.consistency))

    def rebuild(self, heads: Iterable[Head], hashes: Range, entries: Range) -> None:
        """Write the whole folder again, byte for byte, with the partial tiles of every size it ever had.

        The folder must be gone: what is there is never overwritten.

        Parameters
        ----------
        heads : every tree head so far, in order of size

        Raises
        ------
        Conflict : the folder is there, or the leaves do not lead to a head's root.
        """
        if self.folder.exists():
            raise Conflict(f"{self.folder} exists; move it away first, so that nothing published is overwritten")
        size, root = 0, CompactRange().root()
        for head in heads:
            self._writer.publish(size, head.size, head.root, hashes, entries)
            size, root = head.size, head.root
        checkpoint = Checkpoint(self.signer.origin, size, root)
        self._writer.publish_checkpoint(self.signer.sign(checkpoint, self._reader.consistency))

    def published(self) -> Checkpoint:
        """Return the published checkpoint, its signature verified; the empty tree before the first.

        Raises
        ------
        InvalidProof : the file is not a checkpoint signed with this deployment's key.
        """
        try:
            text = self.checkpoint_text()
        except NotFound:
            return Checkpoint(self.signer.origin, 0, CompactRange().root())
        return self._open(text)

    def checkpoint_text(self) -> str:
        """Return the signed checkpoint as published; NotFound before the first."""
        return self._reader.checkpoint()

    def prove(self, index: int, entry: bytes) -> TlogProof:
        """Return the proof that an entry is the leaf `index` of the published log.

        Raises
        ------
        NotFound : the published log does not reach so far yet.
        """
        text = self.checkpoint_text()  # once: the next one may be published meanwhile
        published = self._open(text)
        if index >= published.size:
            raise NotFound(f"leaf {index} is not published yet: the checkpoint has {published.size}; try again shortly")
        return TlogProof(index, tuple(self._reader.inclusion(index, published.size)), text, entry)

    # ------------------------------------------------------------------ for the audit

    def signed_sizes(self) -> list[int]:
        """Return the tree sizes that were signed last and published last."""
        try:
            published = self.published().size
        except CimError:
            published = 0  # `disagreements` says what is wrong with it
        return [self.signer.last_signed.size, published]

    def disagreements(self, size: int, roots: dict[int, bytes]) -> Iterator[str]:
        """Yield what is wrong between a tree of `size` leaves, its roots by size, and what was signed and published."""
        try:
            heads = {
                "the signer's last-signed record": self.signer.last_signed,
                "the checkpoint": self.published(),
            }
        except CimError as error:
            yield str(error)
            return
        for name, head in heads.items():
            if head.size > size:
                yield f"{name} has size {head.size}, but the log only {size}: its tail was cut, or a backup restored"
            elif head.size and roots.get(head.size) != head.root:
                yield f"{name} of size {head.size} has another root than the stored leaves"
        published, signed = heads["the checkpoint"], heads["the signer's last-signed record"]
        if published.size < signed.size:
            yield (
                f"the checkpoint has size {published.size}, but size {signed.size} was signed: {self.folder} is an old "
                "copy, or its publication was cut short; run `cim log checkpoint`"
            )
        try:
            if TileReader(self.folder).root(published.size) != published.root:
                yield f"the tiles do not lead to the checkpoint's root at size {published.size}"
        except CimError as error:
            yield str(error)

    def published_from(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Yield (leaf, entry) of the published leaves from `start` on, as far as they can be read."""
        try:
            size, reader = self.published().size, TileReader(self.folder)
            for tile in range(start // WIDTH, -(-size // WIDTH)):
                bundle = reader.bundle(tile, min(WIDTH, size - tile * WIDTH))
                first = max(start - tile * WIDTH, 0)
                yield from enumerate(bundle[first:], tile * WIDTH + first)
        except CimError:
            return  # `disagreements` says what is wrong with it

    def tile_differences(
        self, indices: Sequence[int], entries: Sequence[bytes], hashes: Sequence[bytes]
    ) -> Iterator[tuple[int, str]]:
        """Yield (leaf, problem) where a published tile or bundle does not hold what the database does.

        Parameters
        ----------
        indices, entries, hashes : leaves in order, as the database holds them
        """
        try:
            published = self.published().size
        except CimError:
            return
        reader = TileReader(self.folder)
        start = 0
        while start < len(indices) and indices[start] < published:
            tile = indices[start] // WIDTH
            end = bisect_left(indices, min((tile + 1) * WIDTH, published), start)
            yield from _differences(
                reader,
                tile,
                min(WIDTH, published - tile * WIDTH),
                indices[start:end],
                entries[start:end],
                hashes[start:end],
            )
            start = end


def _differences(
    reader: TileReader, tile: int, width: int, indices: Sequence[int], entries: Sequence[bytes], hashes: Sequence[bytes]
) -> Iterator[tuple[int, str]]:
    """Compare a published tile, and its bundle, with leaves of it; a whole one at once."""
    try:
        row = reader.tile(0, tile, width)
        if row == b"".join(hashes) and reader.holds(tile, entries):
            return
        bundle = reader.bundle(tile, width)
    except CimError as error:
        yield tile * WIDTH, str(error)
        return
    for idx, entry, digest in zip(indices, entries, hashes, strict=True):
        place = idx % WIDTH
        if row[place * HASH_LENGTH : (place + 1) * HASH_LENGTH] != digest:
            yield idx, "the published tile has another leaf hash than the database"
        if bundle[place] != entry:
            yield idx, "the published bundle has another entry than the database"
