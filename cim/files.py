"""The file store: whole files by their SHA-256, for what objects refer to by digest.

A store is a folder, or a place fsspec can write to: `s3://bucket/city` and everything that speaks like it.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256 as digest_of
from io import BytesIO
from pathlib import Path
from typing import IO, TypeVar

from upath import UPath

from cim.errors import CimError, InvalidData, NotFound

Store = Path | UPath
_Place = TypeVar("_Place", Path, UPath, Path | UPath)


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
    try:
        return stored_path(folder, sha256).open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"no file {sha256} in {folder}; take its source in again with `cim ingest --force`") from error
    except OSError as error:
        raise CimError(f"cannot read {folder}: {error.strerror or error}") from error


@contextmanager
def keeping(folder: Store, source: Path | bytes, sha256: str) -> Iterator[None]:
    """Copy a file into the store if the block succeeds; otherwise the store is as it was.

    The copy is durable before the block begins and gets its name after, so that what the block commits never waits
    for disk space.

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
    staged = folder / ".staging" / uuid.uuid4().hex
    name = source.name if isinstance(source, Path) else f"a file of {len(source)} bytes"
    try:
        try:
            known = target.exists()
            if not known:
                staged.parent.mkdir(parents=True, exist_ok=True)
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(source, staged)
        except OSError as error:
            raise CimError(f"cannot keep {name} in {folder}: {error.strerror or error}; make room") from error
        yield
        if not known:
            # Object stores know no renaming over a file; there two writers of one digest write the same.
            if isinstance(staged, UPath):
                staged.rename(target)
            else:
                staged.replace(str(target))
    finally:
        with suppress(OSError):  # never made, or named by now
            staged.unlink()


def keep(folder: Store, data: bytes) -> str:
    """Put bytes into the store and return their digest, 64 hexadecimal digits; what is there already stays."""
    found = digest_of(data).hexdigest()
    with keeping(folder, data, found):
        return found


def _copy(source: Path | bytes, staged: Store) -> None:
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as original, staged.open("wb") as copy:
        shutil.copyfileobj(original, copy, 1024 * 1024)
        copy.flush()
        if isinstance(staged, Path):
            os.fsync(copy.fileno())
