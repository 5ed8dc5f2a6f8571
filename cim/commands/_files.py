"""Files that commands read and write by name: what goes wrong is an error of ours, on one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cim.errors import InvalidData


def is_file(text: str) -> bool:
    """Tell whether an argument names a file; what the system takes for no name (too long, closed to us) names none."""
    try:
        return Path(text).is_file()
    except OSError:
        return False


def read(path: Path) -> bytes:
    """Return what a file holds.

    Raises
    ------
    InvalidData : it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidData(f"cannot read {path}: {error.strerror}") from error


def read_text(path: Path) -> str:
    """Return the text that a file holds.

    Raises
    ------
    InvalidData : it cannot be read, or is not UTF-8.
    """
    try:
        return read(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidData(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error


def write(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file, over one that is there; a private one is for its owner's eyes only, from its first byte on.

    Raises
    ------
    InvalidData : it cannot be written.
    """
    with written(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o666)
        with os.fdopen(handle, "wb") as file:
            if private:
                os.fchmod(handle, 0o600)  # an older file keeps its mode
            file.write(content)


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Tell a file or folder that cannot be written as an error of ours.

    Raises
    ------
    InvalidData : it cannot.
    """
    try:
        yield
    except OSError as error:
        raise InvalidData(f"cannot write {path}: {error.strerror or error}") from error
