"""The log as a folder of static files: hash tiles, entry bundles and the checkpoint.

A tile holds 256 consecutive hashes of level 8·L of the tree, a bundle the 256 entries under a tile of
level 0. Files are immutable: growth adds files, and the narrower partial tiles of earlier sizes stay.

Source
------
C2SP tlog-tiles. https://c2sp.org/tlog-tiles
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from struct import Struct

from cim.errors import AuditFailed, Conflict, InvalidData, NotFound
from cim.log._files import locked, make_folder, sync_names, write_files
from cim.log.entry import MAX_ENTRY
from cim.log.tree import (
    HASH_LENGTH,
    consistency_proof,
    inclusion_proof,
    leaf_hashes,
    parents,
    root_of,
    subtree_root,
)

HEIGHT = 8  # levels of the tree in a tile
WIDTH = 1 << HEIGHT  # hashes in a full tile
STRIDE = 32 * WIDTH  # entries asked for at once when publishing
ENTRIES = "entries"
CHECKPOINT = "checkpoint"
STAGING = ".staging"
_LENGTH = Struct(">H")

Range = Callable[[int, int], Sequence[bytes]]
"""(start, end) -> what belongs to the leaves start, start + 1, … end - 1."""


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Return the path of a tile (or, with level "entries", of a bundle) under the log's folder or URL.

    `tile_path(0, 1234067)` is `tile/0/x001/x234/067`, and with width 8 `tile/0/x001/x234/067.p/8`.

    Raises
    ------
    InvalidData : a negative index, or a width that is not from 1 to 256.
    """
    if index < 0 or not 1 <= width <= WIDTH:
        raise InvalidData(f"no tile {index} of width {width}: indices count from 0, widths from 1 to {WIDTH}")
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(groups)}{partial}"


def tile_widths(old_count: int, new_count: int) -> Iterator[tuple[int, int]]:
    """Give (index, width) of each tile that a level needs to grow from old_count to new_count hashes."""
    if old_count == new_count:
        return
    for index in range(old_count // WIDTH, -(-new_count // WIDTH)):
        yield index, min(WIDTH, new_count - index * WIDTH)


def write_bundle(entries: Sequence[bytes]) -> bytes:
    """Write entries one after another, each after its length as a big-endian uint16.

    Raises
    ------
    InvalidData : an entry is longer than 65,535 bytes.
    """
    lengths = [*map(len, entries)]
    if max(lengths, default=0) > MAX_ENTRY:
        raise InvalidData(f"an entry has at most {MAX_ENTRY} bytes, got {max(lengths)}")
    parts = [b""] * (2 * len(entries))
    parts[::2], parts[1::2] = map(_LENGTH.pack, lengths), entries
    return b"".join(parts)


def read_bundle(data: bytes) -> list[bytes]:
    """Read what `write_bundle` wrote.

    Raises
    ------
    InvalidData : the bytes end within an entry.
    """
    entries, place = [], 0
    while place < len(data):
        start = place + 2
        place = start + int.from_bytes(data[place:start], "big")
        entries.append(data[start:place])
    if place != len(data):
        raise InvalidData(f"entry bundle of {len(data)} bytes ends within entry {len(entries) - 1}")
    return entries


class TileWriter:
    """Writes the folder; a run that was killed is simply run again.

    Parameters
    ----------
    folder : the log's folder, made when missing
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._staging = folder / STAGING
        self._durable = False  # the staging folder, and what is above it, by this writer's hand

    def publish(self, old_size: int, new_size: int, root: bytes, hashes: Range, entries: Range) -> None:
        """Write what the tree of new_size leaves needs beyond that of old_size; durable on return.

        Nothing is written unless the tiles lead to `root`, and no bundle unless it hashes to its leaves.
        Needs 32 bytes of memory for each new leaf.

        Parameters
        ----------
        old_size : a size that was published completely; 0 writes everything
        new_size : the size to publish
        root : root of the new tree, as the sequencer computed it
        hashes : gives leaf hashes; asked from the last multiple of 256 at or below old_size
        entries : gives entry bytes; asked for 8,192 at a time, from the same leaf

        Raises
        ------
        Conflict : the hashes do not lead to the root, an entry does not hash to its leaf, a tile of old_size is
            missing, or one of new_size is there already with other bytes.
        InvalidData : new_size is below old_size.
        """
        if not 0 <= old_size <= new_size:
            raise InvalidData(f"a log of {old_size} leaves cannot be published as one of {new_size}")
        rows = self._rows(old_size, new_size, hashes)
        if (computed := _root(rows, new_size)) != root:
            raise Conflict(
                f"the leaf hashes and the tiles in {self._folder} lead to root {computed.hex()} at size "
                f"{new_size}, but the tree head says {root.hex()}; nothing was published. Run `cim log audit`"
            )
        self._make_staging()
        there: set[Path] = set()
        files = chain(_bundles(old_size, new_size, rows[0][1], entries), _tiles(old_size, new_size, rows))
        with locked(self._staging):
            write_files(self._staging, self._new(files, there))
            sync_names(there, self._folder)

    def publish_checkpoint(self, note: str) -> None:
        """Replace the signed checkpoint; to be called last, when the tiles of its size are published."""
        self._make_staging()
        with locked(self._staging):
            write_files(self._staging, [(self._folder / CHECKPOINT, note.encode())])

    def _make_staging(self) -> None:
        if not (self._durable and self._staging.is_dir()):
            make_folder(self._staging)
            self._durable = True

    def _rows(self, old_size: int, new_size: int, hashes: Range) -> list[tuple[int, bytes]]:
        """Give for each tile level the index at which its first new tile starts, and the hashes from there.

        Level 0 comes from the caller; of the levels above, what was there before stands in published tiles.
        """
        start = old_size - old_size % WIDTH
        row = b"".join(hashes(start, new_size))
        if len(row) != (new_size - start) * HASH_LENGTH:
            raise Conflict(
                f"leaves {start} to {new_size} should have {new_size - start} hashes of {HASH_LENGTH} bytes, "
                f"got {len(row)} bytes in all. Run `cim log audit`"
            )
        rows = [(start, row)]
        while new_size >> (HEIGHT * len(rows)):
            start, row, known = start // WIDTH, _tile_roots(row), start // WIDTH % WIDTH
            if known:
                start -= known
                row = self._published(len(rows), start // WIDTH, known) + row
            rows.append((start, row))
        return rows

    def _published(self, level: int, index: int, width: int) -> bytes:
        try:
            return TileReader(self._folder).tile(level, index, width)
        except NotFound as error:
            raise Conflict(f"{error}; run `cim log rebuild`") from None

    def _new(self, files: Iterator[tuple[str, bytes]], there: set[Path]) -> Iterator[tuple[Path, bytes]]:
        """Pass on the files that are not there yet; note the folders of the others.

        One that is there may be the work of a run that was killed before its name was durable.

        Raises
        ------
        Conflict : one is there with other bytes.
        """
        for name, content in files:
            path = self._folder / name
            if not path.exists():
                yield path, content
            elif path.read_bytes() == content:
                there.add(path.parent)
            else:
                raise Conflict(
                    f"{path} is there with other bytes: it was changed, or is another log's. Published tiles "
                    "are never rewritten; move the folder away and run `cim log rebuild`"
                )


def _bundles(old_size: int, new_size: int, row: bytes, entries: Range) -> Iterator[tuple[str, bytes]]:
    """Give path and content of the bundles, each checked against its row of leaf hashes."""
    first = old_size - old_size % WIDTH
    for start in range(first, new_size, STRIDE):
        end = min(start + STRIDE, new_size)
        chunk = entries(start, end)
        if b"".join(leaf_hashes(chunk)) != row[(start - first) * HASH_LENGTH : (end - first) * HASH_LENGTH]:
            raise Conflict(
                f"an entry from leaf {start} to {end - 1} does not hash to its leaf; it is not published. "
                "Run `cim log audit`"
            )
        for place in range(start, end, WIDTH):
            bundle = chunk[place - start : place - start + WIDTH]
            yield tile_path(ENTRIES, place // WIDTH, len(bundle)), write_bundle(bundle)


def _tiles(old_size: int, new_size: int, rows: list[tuple[int, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Give path and content of the hash tiles, level by level."""
    for level, (start, row) in enumerate(rows):
        shift = HEIGHT * level
        for index, width in tile_widths(old_size >> shift, new_size >> shift):
            place = (index * WIDTH - start) * HASH_LENGTH
            yield tile_path(level, index, width), row[place : place + width * HASH_LENGTH]


def _tile_roots(row: bytes) -> bytes:
    """Hash a row that starts at a tile's start to the roots of its full tiles."""
    row = row[: len(row) - len(row) % (WIDTH * HASH_LENGTH)]
    for _ in range(HEIGHT):
        row = parents(row)
    return row


def _root(rows: list[tuple[int, bytes]], size: int) -> bytes:
    """Return the root of the tree, whose right edge lies in the last tile of each level."""

    def node(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        start, row = rows[tile_level]
        first = (index << height) - start
        return subtree_root(row[first * HASH_LENGTH : (first + (1 << height)) * HASH_LENGTH])

    return root_of(node, size)


class TileReader:
    """Answers roots, proofs, leaf hashes and entries from the folder.

    A published file never changes its content, so what was read stays cached.

    Parameters
    ----------
    folder : the log's folder
    cached_tiles : tiles to keep, at most 16 KiB each with the nodes inside them
    cached_bundles : entry bundles to keep, each 256 entries
    """

    def __init__(self, folder: Path, cached_tiles: int = 4096, cached_bundles: int = 64) -> None:
        self._folder = folder
        self._subtree = lru_cache(maxsize=cached_tiles)(self._read_subtree)
        self._bundle = lru_cache(maxsize=cached_bundles)(self._read_bundle)

    def root(self, size: int) -> bytes:
        """Return the root of the tree of `size` leaves.

        Raises
        ------
        NotFound : the folder does not hold so many leaves.
        AuditFailed : a tile is damaged.
        """
        return root_of(self._node_of(size), size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the inclusion proof of a leaf at `size` leaves; raises as `inclusion_proof` and `root`."""
        return inclusion_proof(self._node_of(size), index, size)

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """Return the consistency proof between two sizes; raises as `consistency_proof` and `root`."""
        return consistency_proof(self._node_of(new_size), old_size, new_size)

    def leaf_hash(self, index: int) -> bytes:
        """Return the hash of leaf `index`; raises as `root`."""
        tile, place = divmod(index, WIDTH)
        return self.tile(0, tile, place + 1)[-HASH_LENGTH:]

    def entry(self, index: int) -> bytes:
        """Return the bytes of entry `index`.

        Raises
        ------
        NotFound : the folder does not hold so many leaves.
        AuditFailed : the bundle is damaged.
        """
        tile, place = divmod(index, WIDTH)
        return self._bundle(tile, place + 1)[place]

    def tile(self, level: int, index: int, width: int = WIDTH) -> bytes:
        """Return the first `width` hashes of a tile, flat; raises as `root`."""
        held, data = self._read(level, index, width)
        if len(data) != held * HASH_LENGTH:
            raise AuditFailed(
                f"{self._folder / tile_path(level, index, held)} must have {held * HASH_LENGTH} bytes, "
                f"got {len(data)}; move the folder away and run `cim log rebuild`"
            )
        return data[: width * HASH_LENGTH]

    def bundle(self, index: int, width: int = WIDTH) -> list[bytes]:
        """Return the first `width` entries of a bundle, from the file of that width where there is one; as `entry`."""
        return self._bundle(index, width)[:width]

    def holds(self, index: int, entries: Sequence[bytes]) -> bool:
        """Tell whether there is a bundle of just these entries; NotFound where none holds so many."""
        return self._read(ENTRIES, index, len(entries))[1] == write_bundle(entries)

    def checkpoint(self) -> str:
        """Return the signed checkpoint as published.

        Raises
        ------
        NotFound : nothing was published yet.
        """
        try:
            return (self._folder / CHECKPOINT).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise NotFound(f"no checkpoint in {self._folder}: nothing was published yet") from None

    def _node_of(self, size: int) -> Callable[[int, int], bytes]:
        """Answer the complete subtrees of the tree of `size` leaves."""
        subtree = self._subtree

        def node(level: int, index: int) -> bytes:
            tile_level, height = divmod(level, HEIGHT)
            shift = HEIGHT - height
            tile = index >> shift
            width = (size >> (HEIGHT * tile_level)) - tile * WIDTH
            place = (index - (tile << shift)) * HASH_LENGTH
            return subtree(tile_level, tile, min(width, WIDTH))[height][place : place + HASH_LENGTH]

        return node

    def _read_subtree(self, level: int, index: int, width: int) -> tuple[bytes, ...]:
        """Return the complete nodes inside a tile, a flat row for each of its levels."""
        rows = [self.tile(level, index, width)]
        while len(rows) < HEIGHT:
            rows.append(parents(rows[-1]))
        return tuple(rows)

    def _read_bundle(self, index: int, width: int) -> list[bytes]:
        held, data = self._read(ENTRIES, index, width)
        try:
            entries = read_bundle(data)
        except InvalidData:
            entries = []
        if len(entries) != held:
            raise AuditFailed(
                f"{self._folder / tile_path(ENTRIES, index, held)} must hold {held} whole entries; "
                "move the folder away and run `cim log rebuild`"
            )
        return entries

    def _read(self, level: int | str, index: int, width: int) -> tuple[int, bytes]:
        """Read the narrowest file of a tile that holds at least `width`, as (its own width, content)."""
        path = self._folder / tile_path(level, index, width)
        try:
            return width, path.read_bytes()
        except FileNotFoundError:
            pass
        full = self._folder / tile_path(level, index)
        partials = full.with_name(f"{full.name}.p")
        widths = (int(file.name) for file in partials.glob("*") if file.name.isdecimal())
        held = min((w for w in widths if w >= width), default=WIDTH)
        try:
            return held, (self._folder / tile_path(level, index, held)).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"{path} is not there: the published log does not reach so far") from None
