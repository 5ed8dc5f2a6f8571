"""Packs: many small files in one, found by their SHA-256.

A delivery of a city model has thousands of bodies. A file system takes longer to name so many files than to write
them, and an object store asks for a call each, so they lie in one file, `packs/NAME.pack`, one after another;
`packs/NAME.index` says where. It has 48 bytes for each, in the order of their digests: the digest, where the file
begins, how long it is (integers of 8 bytes, the greater byte first). NAME is the SHA-256 of the index, hence of all
that is in the pack. What is named is never changed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from upath import UPath

FOLDER = "packs"
_PACK, _INDEX = ".pack", ".index"
_ENTRY = np.dtype([("digest", "V32"), ("begin", ">u8"), ("length", ">u8")])
# Of a digest as many bytes as tell all files apart that a city will ever have, but for a rare pair.
_KEY = np.dtype(">u8")
_Place = Path | UPath


class Packs:
    """The packs of one store; others may add to them meanwhile. Safe to use from several threads.

    Memory holds 16 bytes a file, whatever its size.
    """

    def __init__(self, store: _Place) -> None:
        self._folder = store / FOLDER
        self._names: list[str] = []
        self._keys: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._places: NDArray[np.int64] = np.empty(0, np.int64)
        self._lock = Lock()

    def read(self, digest: str) -> bytes | None:
        """Return the file of that digest (64 hexadecimal digits); None where no pack has it.

        Raises
        ------
        OSError : the store cannot be read.
        """
        place = self._find(digest)
        if place is None:
            self.refresh()
            place = self._find(digest)
        return None if place is None else _part(self._folder / f"{place[0]}{_PACK}", place[1], place[2])

    def has(self, digest: str) -> bool:
        """Tell whether a pack that was there at the last `refresh` has the file of that digest.

        Raises
        ------
        OSError : the store cannot be read.
        """
        return self._find(digest) is not None

    def refresh(self) -> None:
        """Take note of packs that came since.

        Raises
        ------
        OSError : the store cannot be read.
        """
        with self._lock:
            try:
                there = sorted(p.name for p in self._folder.iterdir() if p.name.endswith(_INDEX))
            except (FileNotFoundError, NotADirectoryError):  # nothing was ever packed; fsspec says it either way
                return
            new = sorted({name.removesuffix(_INDEX) for name in there}.difference(self._names))
            if not new:
                return
            keys, places = [self._keys], [self._places]
            for number, name in enumerate(new, start=len(self._names)):
                entries = np.frombuffer((self._folder / f"{name}{_INDEX}").read_bytes(), _ENTRY)
                first = np.ascontiguousarray(entries["digest"]).view(_KEY).reshape(len(entries), -1)[:, 0]
                keys.append(first.astype(np.uint64))
                places.append((number << 32) + np.arange(len(entries), dtype=np.int64))
            joined = np.concatenate(keys)
            order = joined.argsort(kind="stable")
            self._names += new
            self._keys, self._places = joined[order], np.concatenate(places)[order]

    def _find(self, digest: str) -> tuple[str, int, int] | None:
        """Return name of the pack, begin and length of a file; None where it is in none."""
        wanted = bytes.fromhex(digest)
        with self._lock:
            keys, places = self._keys, self._places
        key = np.uint64(int.from_bytes(wanted[:8]))
        for at in places[np.searchsorted(keys, key) : np.searchsorted(keys, key, side="right")].tolist():
            name, row = self._names[at >> 32], at & 0xFFFF_FFFF
            said = _part(self._folder / f"{name}{_INDEX}", row * _ENTRY.itemsize, _ENTRY.itemsize)
            (entry,) = np.frombuffer(said, _ENTRY)
            if bytes(entry["digest"]) == wanted:
                return name, int(entry["begin"]), int(entry["length"])
        return None


class Packing:
    """A pack in the making, in a local folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pack"
        self._file = self._path.open("wb")
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0

    def __contains__(self, digest: str) -> bool:
        return digest in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def digests(self) -> Sequence[str]:
        """Return the digests of the files, in the order in which they came."""
        return list(self._places)

    def add(self, digest: str, data: bytes) -> None:
        """Add a file that is not in it.

        Raises
        ------
        OSError : there is no room.
        """
        self._file.write(data)
        self._places[digest] = self._end, len(data)
        self._end += len(data)

    def read(self, digest: str) -> bytes:
        """Return a file that is in it."""
        self._file.flush()
        return _part(self._path, *self._places[digest])

    def close(self) -> None:
        """Add no more."""
        self._file.close()

    def finish(self) -> list[tuple[Path, str]]:
        """Make the pack and its index durable, and return them with their names in a store, the index last.

        Raises
        ------
        OSError : there is no room.
        """
        entries = np.empty(len(self._places), _ENTRY)
        rows = sorted((bytes.fromhex(digest), *place) for digest, place in self._places.items())
        for name, column in zip(entries.dtype.names or (), zip(*rows, strict=True), strict=True):
            entries[name] = column
        said = entries.tobytes()
        index = self._path.with_name("index")
        with self._file as pack, index.open("wb") as file:
            file.write(said)
            for one in (pack, file):
                one.flush()
                os.fsync(one.fileno())
        name = sha256(said).hexdigest()
        return [(self._path, f"{FOLDER}/{name}{_PACK}"), (index, f"{FOLDER}/{name}{_INDEX}")]


def _part(path: _Place, begin: int, length: int) -> bytes:
    if isinstance(path, UPath):
        part: bytes = path.fs.cat_file(path.path, start=begin, end=begin + length)
        return part
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(length)
