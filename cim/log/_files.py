"""Files that survive a crash: whole and durable under their name, or absent."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

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
    files : target and content; missing folders of the target are made
    mode : permissions of the files
    """
    parents: set[Path] = set()
    batch: list[tuple[Path, bytes]] = []
    with ThreadPoolExecutor(_SYNCS) as pool:
        for file in files:
            batch.append(file)
            if len(batch) == _BATCH:
                parents |= _write_batch(staging, batch, mode, pool)
                batch = []
        parents |= _write_batch(staging, batch, mode, pool)
        list(pool.map(_sync_folder, parents))


def _write_batch(
    staging: Path, batch: list[tuple[Path, bytes]], mode: int, pool: ThreadPoolExecutor
) -> set[Path]:
    """Write, sync and rename one batch; return the folders whose own entries are still to be synced."""
    parents: set[Path] = set()
    handles = []
    try:
        for number, (_, content) in enumerate(batch):
            unfinished = staging / str(number)
            unfinished.unlink(missing_ok=True)  # left by a crash, perhaps with other permissions
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            handles.append(handle)
            _write_all(handle, content)
        list(pool.map(os.fsync, handles))
    finally:
        for handle in handles:
            os.close(handle)
    for number, (target, _) in enumerate(batch):
        parents |= _make_folder(target.parent)
        (staging / str(number)).replace(target)
    return parents


def _write_all(handle: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def _make_folder(folder: Path) -> set[Path]:
    """Make a folder and those above it; return every folder that got a new entry, itself included."""
    changed = {folder}
    while not folder.is_dir():
        changed.add(folder.parent)
        folder = folder.parent
    (max(changed, key=lambda path: len(path.parts))).mkdir(parents=True, exist_ok=True)
    return changed


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
