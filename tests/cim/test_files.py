from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from cim.errors import CimError, InvalidData, NotFound
from cim.files import keep, keeping, open_stored, store_at, stored_path

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


def test_a_store_at_a_url_is_no_different(source: Path) -> None:
    store = store_at("memory://bucket/city")
    with pytest.raises(ValueError, match="not committed"), keeping(store, source, DIGEST):
        raise ValueError("not committed")
    with pytest.raises(NotFound, match=DIGEST):
        open_stored(store, DIGEST)
    for content in (source, b"model"):
        with keeping(store, content, DIGEST):
            pass
    with open_stored(store, DIGEST) as file:
        assert file.read() == b"model"
    assert [str(path) for path in store.rglob("*") if path.is_file()] == [f"memory://bucket/city/{DIGEST[:2]}/{DIGEST}"]


def test_bytes_are_kept_under_their_digest(tmp_path: Path) -> None:
    assert keep(tmp_path, b"model") == DIGEST
    assert stored_path(tmp_path, DIGEST).read_bytes() == b"model"


@pytest.mark.parametrize("url", ["nope://bucket", "swift://bucket"])
def test_a_url_nothing_speaks_is_refused(url: str) -> None:
    with pytest.raises(InvalidData, match=url.partition(":")[0]):
        store_at(url)
