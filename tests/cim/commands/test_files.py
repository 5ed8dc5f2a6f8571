"""Files that commands read and write: nothing that is wrong with one is a traceback, and private ones stay private."""

from __future__ import annotations

from pathlib import Path

import pytest

from cim.commands import _files
from cim.errors import InvalidData

TOO_LONG = "a" * 5000  # of a path Linux takes 4096 bytes


def test_what_is_no_name_names_no_file(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    assert _files.is_file(str(tmp_path / "there"))
    assert not any(map(_files.is_file, (str(tmp_path), str(tmp_path / "not"), TOO_LONG, "a\0b", "")))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "not", Path(TOO_LONG)):
        with pytest.raises(InvalidData, match=f"cannot read {path}: "):
            _files.read(path)


def test_text_must_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_bytes("城市\n".encode("gb18030"))
    with pytest.raises(InvalidData, match=r"note is not UTF-8 text: .* at byte 0"):
        _files.read_text(path)
    path.write_text("城市\n", encoding="utf-8")
    assert _files.read_text(path) == "城市\n"


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "not" / "there", Path("/dev/full")):
        with pytest.raises(InvalidData, match=f"cannot write {path}: "):
            _files.write(path, b"proof")


def test_a_private_file_is_its_owners_even_over_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "owner.cim-disclosure"
    path.write_bytes(b"something longer than what follows")
    path.chmod(0o644)
    _files.write(path, b"secret", private=True)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"secret", 0o600)
