"""Files that survive a crash: whole and durable under their name, or absent."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from cim.errors import CimError

_BATCH = 128  # files open at once; well below the usual limit of 1,024
_SYNCS = 8  # fsyncs under way at once; file systems commit them together


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's exclusive lock; the operating system drops it with the process, however that ends."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_files(staging: Path, files: Iterable[tuple[Path, bytes]], mode: int = 0o644) -> None:
    """Write files so that each is durable before its name appears; existing ones are replaced.

    Parameters
    ----------
    staging : folder on the same file system for unfinished files; the caller holds its lock
    files : target and content; missing folders of the target are made, below the staging folder's parent
    mode : permissions of the files

    Raises
    ------
    CimError : the file system does not allow it; what was there before is there still.
    """
    pending = iter(files)
    with _told(staging.parent), ThreadPoolExecutor(_SYNCS) as pool:
        for left_by_a_crash in staging.iterdir():
            left_by_a_crash.unlink()
        folders: set[Path] = set()
        while batch := list(islice(pending, _BATCH)):
            folders |= _write_batch(staging, batch, mode, pool)
        list(pool.map(_sync_folder, _and_above(folders, staging.parent)))


def _write_batch(staging: Path, batch: list[tuple[Path, bytes]], mode: int, pool: ThreadPoolExecutor) -> set[Path]:
    """Write, sync and rename one batch; return the folders whose own entries are still to be synced."""
    handles = []
    try:
        for number, (_, content) in enumerate(batch):
            handle = os.open(staging / str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            handles.append(handle)
            _write_all(handle, content)
        _sync_all(handles, pool)
    finally:
        for handle in handles:
            os.close(handle)
    for number, (target, _) in enumerate(batch):
        target.parent.mkdir(parents=True, exist_ok=True)
        (staging / str(number)).replace(target)
    return {target.parent for target, _ in batch}


def _sync_all(handles: list[int], pool: ThreadPoolExecutor) -> None:
    def sync(some: list[int]) -> None:
        for handle in some:
            os.fsync(handle)

    if hasattr(os, "posix_fadvise"):
        for handle in handles:  # starts them all on their way, so that one commit of the file system may take many
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    list(pool.map(sync, [handles[first::_SYNCS] for first in range(min(_SYNCS, len(handles)))]))


def _write_all(handle: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder, and those above it, durably.

    Raises
    ------
    CimError : the file system does not allow it.
    """
    with _told(folder):
        folder.mkdir(mode, parents=True, exist_ok=True)
        # A run that was killed may have made any of those above without coming to make it durable. No run makes a
        # mount point, nor a folder in one that its account cannot list.
        device = folder.stat().st_dev
        for above in (folder, *folder.absolute().parents):
            if above.stat().st_dev != device or not os.access(above, os.R_OK):
                break
            _sync_folder(above)


def sync_names(folders: Iterable[Path], root: Path) -> None:
    """Make durable what the folders, and those above them up to `root`, hold by name.

    Raises
    ------
    CimError : the file system does not allow it.
    """
    with _told(root):
        for folder in _and_above(folders, root):
            _sync_folder(folder)


def _and_above(folders: Iterable[Path], root: Path) -> set[Path]:
    """Add the folders above, up to `root`: a run that was killed may have made any of them."""
    return {above for folder in folders for above in (folder, *folder.parents) if above.is_relative_to(root)}


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Tell a full disk or a missing permission as an error of ours, not as a traceback."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or error} ({error.filename or folder})"
        raise CimError(f"{folder} cannot be written: {reason}; free some space or correct it") from error
