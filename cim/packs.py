"""Packs: many small files in one, found by their SHA-256.

A delivery of a city model has thousands of bodies. A file system takes longer to name so many files than to write
them, and an object store asks for a call each, so they lie in one file, `packs/NAME.pack`, one after another;
`packs/NAME.index` says where. It has 48 bytes for each, in the order of their digests: the digest, where the file
begins, how long it is (integers of 8 bytes, the greater byte first). NAME is the SHA-256 of the index, hence of all
that is in the pack. What is named is never changed.

Each load that brings bodies makes a pack, and the next one has to know what is there: after years of nightly loads it
would read thousands of indexes. So whenever 64 are in none, `packs/NAME.catalogue` holds them once more: for each the
32 bytes of its name, how many entries it has (8 bytes), and these. NAME is the SHA-256 of all that. Who reads a
catalogue need not read its indexes; who finds none loses nothing but time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from upath import UPath

FOLDER = "packs"
_PACK, _INDEX, _CATALOGUE = ".pack", ".index", ".catalogue"
_MANY = 64
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
        # Catalogues that were read, and names of packs that are in none.
        self._catalogues: set[str] = set()
        self._single: set[str] = set()
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
            new = self._new()
            if not new:
                return
            keys, places = [self._keys], [self._places]
            for number, entries in enumerate(new.values(), start=len(self._names)):
                first = np.ascontiguousarray(entries["digest"]).view(_KEY).reshape(len(entries), -1)[:, 0]
                keys.append(first.astype(np.uint64))
                places.append((number << 32) + np.arange(len(entries), dtype=np.int64))
            joined = np.concatenate(keys)
            order = joined.argsort(kind="stable")
            self._names += new
            self._keys, self._places = joined[order], np.concatenate(places)[order]

    def gather(self, folder: Path) -> list[tuple[Path, str]]:
        """Write a catalogue of the packs that are in none, where there are many, into a local folder.

        Returns
        -------
        Its path, which is durable, with its name in a store; nothing where there are few.

        Raises
        ------
        OSError : the store cannot be read; there is no room.
        """
        self.refresh()
        with self._lock:
            if len(self._single) < _MANY:
                return []
            parts = []
            for name in sorted(self._single):
                entries = (self._folder / f"{name}{_INDEX}").read_bytes()
                parts += [bytes.fromhex(name), (len(entries) // _ENTRY.itemsize).to_bytes(8), entries]
        data = b"".join(parts)
        path = folder / "catalogue"
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return [(path, f"{FOLDER}/{sha256(data).hexdigest()}{_CATALOGUE}")]

    def _new(self) -> dict[str, NDArray[np.void]]:
        """Return the entries of the packs that are not known yet, by their names."""
        try:
            there = {path.name for path in self._folder.iterdir()}
        except (FileNotFoundError, NotADirectoryError):  # nothing was ever packed; fsspec says it either way
            return {}
        known = set(self._names)
        new: dict[str, NDArray[np.void]] = {}
        for file in sorted(name for name in there if name.endswith(_CATALOGUE) and name not in self._catalogues):
            for name, entries in _catalogued((self._folder / file).read_bytes(), file.removesuffix(_CATALOGUE)):
                self._single.discard(name)
                if name not in known and f"{name}{_INDEX}" in there:
                    new[name] = entries
            self._catalogues.add(file)
        for file in sorted(name for name in there if name.endswith(_INDEX)):
            name = file.removesuffix(_INDEX)
            if name not in known and name not in new:
                new[name] = np.frombuffer((self._folder / file).read_bytes(), _ENTRY)
                self._single.add(name)
        return new

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


def _catalogued(data: bytes, called: str) -> Iterator[tuple[str, NDArray[np.void]]]:
    """Yield the packs of a catalogue with their entries; none of one that is not what it is called."""
    if sha256(data).hexdigest() != called:
        return
    at = 0
    while at < len(data):
        name, count = data[at : at + 32].hex(), int.from_bytes(data[at + 32 : at + 40])
        yield name, np.frombuffer(data, _ENTRY, count, at + 40)
        at += 40 + count * _ENTRY.itemsize


def _part(path: _Place, begin: int, length: int) -> bytes:
    if isinstance(path, UPath):
        part: bytes = path.fs.cat_file(path.path, start=begin, end=begin + length)
        return part
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(length)
