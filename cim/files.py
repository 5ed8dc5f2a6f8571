"""The file store: whole files by their SHA-256, for what objects refer to by digest.

A store is a folder, or a place fsspec can write to: `s3://bucket/city` and everything that speaks like it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from hashlib import sha256 as digest_of
from io import BytesIO
from pathlib import Path
from typing import IO, TypeVar

from upath import UPath

from cim.errors import CimError, InvalidData, NotFound
from cim.packs import Packing, Packs

Store = Path | UPath
# Takes the bytes of a file in and returns its digest.
Keep = Callable[[bytes], str]
_Place = TypeVar("_Place", Path, UPath, Path | UPath)
# So many files that a load brings are kept by themselves; more go into a pack, which is two files and a search.
_FEW = 8
_STAGING = ".staging"


def store_at(url: str) -> Store:
    """Return the store that a folder or URL denotes; nothing is opened or made.

    Raises
    ------
    InvalidData : a URL whose scheme fsspec does not know, or whose package is not installed.
    """
    if "://" not in url:
        return Path(url).absolute()
    try:
        place = UPath(url)
        place.fs  # noqa: B018 - finds the package that speaks this protocol
    except (ImportError, ValueError) as error:
        scheme = url.partition("://")[0]
        raise InvalidData(f"no file store speaks {scheme}://: {error}; for S3 `pip install s3fs`") from error
    return place


def stored_path(folder: _Place, sha256: str) -> _Place:
    """Return where a file of that digest (64 hexadecimal digits) lies in the store, whether it is there or not."""
    return folder / sha256[:2] / sha256


def open_stored(folder: Store, sha256: str) -> IO[bytes]:
    """Open a file of the store for reading.

    Raises
    ------
    NotFound : the store has no file of that digest.
    CimError : the store cannot be read.
    """
    packed = None
    try:
        with suppress(FileNotFoundError):
            return stored_path(folder, sha256).open("rb")
        with suppress(FileNotFoundError):  # a store that lost a pack it had
            packed = _packs(folder).read(sha256)
    except OSError as error:
        raise CimError(f"cannot read {folder}: {error.strerror or error}") from error
    if packed is not None:
        return BytesIO(packed)
    for unnamed in (folder / _STAGING).glob(f"{sha256}.*"):
        with suppress(FileNotFoundError):  # has its name by now
            return unnamed.open("rb")
    raise NotFound(f"no file {sha256} is kept here; take its source in again with `cim ingest --force`")


@lru_cache(maxsize=8)
def _packs(folder: Store) -> Packs:
    return Packs(folder)


@contextmanager
def keeping(folder: Store, source: Path | bytes, sha256: str) -> Iterator[None]:
    """Copy a file into the store if the block succeeds; otherwise the store is as it was.

    The copy is durable before the block begins and gets its name after, so that what the block commits never waits
    for disk space. Where something comes between the two, the copy is found where it lies.

    Parameters
    ----------
    folder : the store
    source : the file, or its content
    sha256 : its digest, 64 hexadecimal digits

    Raises
    ------
    CimError : the store cannot be written.
    """
    target = stored_path(folder, sha256)
    staged = folder / _STAGING / f"{sha256}.{uuid.uuid4().hex}"
    name = source.name if isinstance(source, Path) else f"a file of {len(source)} bytes"
    try:
        known = target.exists()
        if not known:
            target.parent.mkdir(parents=True, exist_ok=True)
            _stage(source, staged)
    except OSError as error:
        raise CimError(f"cannot keep {name} in {folder}: {error.strerror or error}; make room") from error
    try:
        yield
    except BaseException:
        with suppress(OSError):
            staged.unlink()
        raise
    if not known:
        with suppress(OSError):  # the block is done; the file stays where it is found, too
            _rename(staged, target)


def keep(folder: Store, data: bytes) -> str:
    """Put bytes into the store and return their digest, 64 hexadecimal digits; what is there already stays."""
    found = digest_of(data).hexdigest()
    with keeping(folder, data, found):
        return found


def digest(data: bytes) -> str:
    """Return the digest of bytes, 64 hexadecimal digits, and keep nothing."""
    return digest_of(data).hexdigest()


class Batch:
    """Many small files on their way into the store: `keep` each, then `settle` all of them; `drop` at the end.

    What is kept lies aside until it is settled: a few files by themselves, many in a pack (see `cim.packs`). A file
    settled whose object is never committed does no harm: it has no name but its digest, and the next load that brings
    it finds it there.
    """

    def __init__(self, folder: Store) -> None:
        self._folder = folder
        self._aside: Path | None = None
        self._packing: Packing | None = None
        self._packs = Packs(folder)

    def keep(self, data: bytes) -> str:
        """Put bytes aside, unless they are there already, and return their digest.

        Raises
        ------
        CimError : there is no room.
        """
        name = digest(data)
        try:
            if self._packing is None:
                self._packs.refresh()
                self._aside = self._make_room()
                self._packing = Packing(self._aside)
            if name not in self._packing and not self._packs.has(name):
                self._packing.add(name, data)
        except OSError as error:
            raise CimError(f"cannot keep a file of {len(data)} bytes: {error.strerror or error}; make room") from error
        return name

    def settle(self) -> None:
        """Make the files durable and give them their names: to be called before what refers to them is committed.

        Raises
        ------
        CimError : the store cannot be written.
        """
        packing, self._packing = self._packing, None
        if packing is None:
            return
        try:
            with closing(packing):
                if len(packing) > _FEW:
                    for path, name in packing.finish():
                        _name(path, self._folder, name)
                    for path, name in self._packs.gather(self._aside) if self._aside else []:
                        _name(path, self._folder, name)
                    return
                for name in packing.digests:
                    with keeping(self._folder, packing.read(name), name):
                        pass
        except OSError as error:
            raise CimError(f"cannot keep files in {self._folder}: {error.strerror or error}; make room") from error

    def drop(self) -> None:
        """Take away what was not settled."""
        if self._packing is not None:
            self._packing.close()
        if self._aside is not None:
            shutil.rmtree(self._aside, ignore_errors=True)

    def _make_room(self) -> Path:
        if not isinstance(self._folder, Path):
            return Path(tempfile.mkdtemp())
        aside = self._folder / _STAGING / uuid.uuid4().hex
        aside.mkdir(parents=True)
        return aside


def _name(path: Path, folder: Store, name: str) -> None:
    """Give a durable local file its name in a store, as durably."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(target, UPath):
        _copy(path, target)
        return
    _rename(path, target)


def _rename(path: Store, target: Store) -> None:
    """Give a file another name in the same store, durably."""
    if isinstance(path, UPath):
        path.rename(target)  # object stores know no renaming over a file; two writers of one digest write the same
        return
    path.replace(str(target))
    handle = os.open(str(target.parent), os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _stage(source: Path | bytes, staged: Store) -> None:
    """Copy a file under a name that says its digest once it is whole."""
    partial = staged.with_name(uuid.uuid4().hex)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        _copy(source, partial)
        _rename(partial, staged)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _copy(source: Path | bytes, staged: Store) -> None:
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as original, staged.open("wb") as copy:
        shutil.copyfileobj(original, copy, 1024 * 1024)
        copy.flush()
        if isinstance(staged, Path):
            os.fsync(copy.fileno())
