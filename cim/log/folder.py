"""A published log as a folder, read by someone who trusts nothing in it but the key."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from cim.errors import AuditFailed, InvalidData, InvalidProof
from cim.log.checkpoint import Checkpoint, open_checkpoint
from cim.log.note import Verifier
from cim.log.tiles import CHECKPOINT, HEIGHT, WIDTH, TileReader
from cim.log.tree import HASH_LENGTH, CompactRange, leaf_hashes, verify_consistency

Progress = Callable[[int, int], None]


class LogFolder:
    """A published log whose checkpoint is signed with the key given.

    Raises
    ------
    NotFound : there is no checkpoint. InvalidProof : it is not signed with the key.
    """

    def __init__(self, folder: Path, verifier: Verifier) -> None:
        self.path = folder
        self._reader = TileReader(folder)
        self.text = self._reader.checkpoint()
        self.checkpoint: Checkpoint = open_checkpoint(self.text, [verifier])

    def check(self, progress: Progress = lambda _done, _total: None) -> None:
        """Hash every entry and every tile up to the signed root.

        Raises
        ------
        AuditFailed : an entry is not the one its tile has the hash of, or all do not lead to the root.
        NotFound : a tile or bundle is missing.
        """
        size = self.checkpoint.size
        tree = CompactRange()
        for tile in range(-(-size // WIDTH)):
            width = min(WIDTH, size - tile * WIDTH)
            row, hashes = self._reader.tile(0, tile, width), leaf_hashes(self._reader.bundle(tile, width))
            for place, computed in enumerate(hashes):
                if row[place * HASH_LENGTH : (place + 1) * HASH_LENGTH] != computed:
                    index = tile * WIDTH + place
                    raise AuditFailed(f"{self.path}: the entry of leaf {index} does not hash to what its tile says")
            tree.append(hashes)
            progress(tree.size, size)
        if tree.root() != self.checkpoint.root or self._reader.root(size) != self.checkpoint.root:
            raise AuditFailed(f"{self.path}: its {size} entries, or its tiles, do not lead to the signed root")

    def bundles(self) -> Iterator[list[bytes]]:
        """Yield all entries in order, 256 at a time."""
        for tile in range(-(-self.checkpoint.size // WIDTH)):
            yield self._reader.bundle(tile, min(WIDTH, self.checkpoint.size - tile * WIDTH))

    def root(self, size: int) -> bytes:
        """Return the root of the tree of `size` leaves."""
        return self._reader.root(size)

    def sizes(self) -> list[int]:
        """Return, in order, the sizes at which the log was published, as far as partial tiles tell.

        Every published size left its partial tiles. A size that is a multiple of 256 left none at level 0; where only
        a tile above tells of it, the smallest size that explains the tile is taken.
        """
        found: set[int] = {self.checkpoint.size}
        for level in range(-(-max(self.checkpoint.size, 1).bit_length() // HEIGHT)):
            span = WIDTH**level
            for count in _partial_counts(self.path / "tile" / str(level)):
                if not any(count * span <= size < (count + 1) * span for size in found):
                    found.add(count * span)
        return sorted(size for size in found if 0 < size <= self.checkpoint.size)

    def check_extends(self, older: Checkpoint) -> None:
        """Check that this log is one that somebody holds a checkpoint of, grown larger.

        Raises
        ------
        InvalidProof : it is smaller, or its history is another. Where both are signed, that is proof against the log.
        """
        size, root = self.checkpoint.size, self.checkpoint.root
        try:
            if older.size > size:
                raise InvalidProof(f"the log has only {size} leaves")
            hashes = self._reader.consistency(older.size, size) if 0 < older.size < size else []
            verify_consistency(older.size, size, older.root, root, hashes)
        except InvalidProof as error:
            raise InvalidProof(
                f"{self.path} is not the log that signed size {older.size}, root {older.root.hex()}: {error}. Keep "
                "both signed checkpoints: together they show that the log was rewritten or cut"
            ) from None

    def copy(self, target: Path) -> None:
        """Copy tiles and bundles, and then the checkpoint that was opened, so that a log still growing stays whole.

        Raises
        ------
        InvalidData : the target exists.
        """
        if target.exists():
            raise InvalidData(f"{target} exists; name a new folder")
        if self.checkpoint.size:
            shutil.copytree(self.path / "tile", target / "tile")
        target.mkdir(parents=True, exist_ok=True)
        (target / CHECKPOINT).write_text(self.text, encoding="utf-8")


def _partial_counts(folder: Path) -> Iterator[int]:
    """Give, for each partial tile of a level, how many hashes the level had when it was written."""
    for path in folder.rglob("*.p/*"):
        groups = [*path.relative_to(folder).parent.parts]
        index = "".join(groups).removesuffix(".p").replace("x", "")
        if re.fullmatch("[0-9]+", index) and path.name.isdecimal():
            yield int(index) * WIDTH + int(path.name)


def geometry_path(folder: Path, sha256: str) -> Path:
    """Return where a folder of geometry files has the WKB with this SHA-256, in hex."""
    return folder / sha256[:2] / f"{sha256}.wkb"
