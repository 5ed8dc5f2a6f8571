from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from cim.errors import CimError
from cim.files import keeping, stored_path

DIGEST = sha256(b"model").hexdigest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.ifc"
    path.write_bytes(b"model")
    return path


def everything(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_kept_under_its_digest_once(tmp_path: Path, source: Path) -> None:
    store = tmp_path / "files"
    for _ in range(2):
        with keeping(store, source, DIGEST):
            pass
    assert everything(store) == [store / DIGEST[:2] / DIGEST]
    assert stored_path(store, DIGEST).read_bytes() == b"model"


def test_a_block_that_fails_leaves_the_store_as_it_was(tmp_path: Path, source: Path) -> None:
    store = tmp_path / "files"
    with pytest.raises(ValueError, match="not committed"), keeping(store, source, DIGEST):
        raise ValueError("not committed")
    assert everything(store) == []


def test_a_store_that_cannot_be_written_is_named_before_the_block(tmp_path: Path, source: Path) -> None:
    (tmp_path / "files").write_text("in the way", encoding="utf-8")
    entered = False
    with pytest.raises(CimError, match=r"cannot keep a\.ifc"), keeping(tmp_path / "files", source, DIGEST):
        entered = True
    assert not entered
