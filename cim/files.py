"""The file store: whole files by their SHA-256, for what objects refer to by digest."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cim.errors import CimError


def stored_path(folder: Path, sha256: str) -> Path:
    """Return where a file of that digest (64 hexadecimal digits) lies in the store, whether it is there or not."""
    return folder / sha256[:2] / sha256


@contextmanager
def keeping(folder: Path, source: Path, sha256: str) -> Iterator[None]:
    """Copy a file into the store if the block succeeds; otherwise the store is as it was.

    The copy is durable before the block begins and gets its name after, so that what the block commits never waits
    for disk space.

    Raises
    ------
    CimError : the store cannot be written.
    """
    target = stored_path(folder, sha256)
    if target.exists():
        yield
        return
    staged = folder / ".staging" / uuid.uuid4().hex
    try:
        try:
            staged.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, staged)
            with staged.open("rb") as copy:
                os.fsync(copy.fileno())
        except OSError as error:
            raise CimError(f"cannot keep {source.name} in {folder}: {error.strerror or error}; make room") from error
        yield
        staged.replace(target)
    finally:
        with suppress(OSError):  # never made, or named by now
            staged.unlink()
