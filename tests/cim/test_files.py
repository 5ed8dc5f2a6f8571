from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from cim import files
from cim.errors import CimError, InvalidData, NotFound
from cim.files import Batch, Store, keep, keeping, open_stored, store_at, stored_path
from cim.packs import Packs

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


@pytest.mark.parametrize("url", ["memory://cut-off", None])
def test_a_copy_whose_naming_was_cut_off_is_found(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    store = tmp_path / "files" if url is None else store_at(url)

    def fail(*_: object) -> None:
        raise OSError("power cut")

    with keeping(store, source, DIGEST):
        monkeypatch.setattr(files, "_rename", fail)
    monkeypatch.undo()
    assert not stored_path(store, DIGEST).exists()
    with open_stored(store, DIGEST) as file:
        assert file.read() == b"model"


def test_a_copy_that_is_not_whole_is_not_found(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        with pytest.raises(NotFound):
            open_stored(tmp_path, DIGEST)
        raise OSError("disk full")

    monkeypatch.setattr(files, "_rename", fail)
    with pytest.raises(CimError, match=r"cannot keep a\.ifc .*: disk full"), keeping(tmp_path, source, DIGEST):
        pass
    assert everything(tmp_path) == [source]


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


@pytest.mark.parametrize("url", ["memory://packed", None])
def test_many_files_of_a_batch_lie_in_one_pack_each_under_its_digest(tmp_path: Path, url: str | None) -> None:
    store = tmp_path / "files" if url is None else store_at(url)
    bodies = [b"body %d" % number * number for number in range(1, 101)]
    for batch_of in (bodies[:60], bodies[40:]):
        batch = Batch(store)
        digests = [batch.keep(body) for body in [*batch_of, batch_of[0]]]
        assert digests == [sha256(body).hexdigest() for body in [*batch_of, batch_of[0]]]
        with pytest.raises(NotFound):
            open_stored(store, digests[-2])
        batch.settle()
        batch.drop()
        for digest, body in zip(digests, batch_of, strict=False):
            with open_stored(store, digest) as file:
                assert file.read() == body
    packs = sorted(path for path in store.rglob("*") if path.is_file())
    assert len(packs) == 4
    # What the first batch brought is not there twice.
    assert sum(p.stat().st_size for p in packs if p.suffix == ".pack") == sum(map(len, bodies))
    assert sum(p.stat().st_size for p in packs if p.suffix == ".index") == 48 * len(bodies)
    with pytest.raises(NotFound, match=DIGEST):
        open_stored(store, DIGEST)


def test_the_name_of_a_pack_is_the_digest_of_its_index_which_lists_digest_place_and_length(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    bodies = [b"x" * number for number in range(1, 11)]
    for body in bodies:
        batch.keep(body)
    batch.settle()
    batch.drop()
    (index,) = (tmp_path / "packs").glob("*.index")
    said = index.read_bytes()
    assert index.stem == sha256(said).hexdigest()
    begins = {sha256(b"x" * n).digest(): (n * (n - 1) // 2, n) for n in range(1, 11)}
    listed = [said[at : at + 48] for at in range(0, len(said), 48)]
    expected = [d + b.to_bytes(8, "big") + n.to_bytes(8, "big") for d, (b, n) in sorted(begins.items())]
    assert listed == expected
    assert index.with_suffix(".pack").read_bytes() == b"".join(bodies)


def packed(store: Store, number: int) -> str:
    """Settle a pack of twenty files of its own and return the digest of one."""
    batch = Batch(store)
    digests = [batch.keep(b"%d %d" % (number, n)) for n in range(20)]
    batch.settle()
    batch.drop()
    return digests[7]


@pytest.mark.parametrize("url", ["memory://catalogued", None])
def test_many_indexes_are_read_from_one_catalogue(
    tmp_path: Path, url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "files" if url is None else store_at(url)
    digests = [packed(store, number) for number in range(130)]
    names = [path.name for path in (store / "packs").iterdir()]
    assert [sum(n.endswith(s) for n in names) for s in (".pack", ".index", ".catalogue")] == [130, 130, 2]
    read: list[str] = []
    whole = type(store).read_bytes
    monkeypatch.setattr(type(store), "read_bytes", lambda path: read.append(path.suffix) or whole(path))
    fresh = Packs(store)
    fresh.refresh()
    # Two catalogues of 64 packs each, and two packs that are in none.
    assert sorted(read) == [".catalogue", ".catalogue", ".index", ".index"]
    assert [fresh.read(digest) for digest in digests] == [b"%d 7" % number for number in range(130)]
    again = packed(store, 3)
    assert again == digests[3]
    assert len(list((store / "packs").iterdir())) == len(names)


def test_a_pack_that_is_gone_is_not_found_by_its_catalogue_and_one_that_is_in_two_is_one(tmp_path: Path) -> None:
    digests = [packed(tmp_path, number) for number in range(64)]
    (catalogue,) = (tmp_path / "packs").glob("*.catalogue")
    said = catalogue.read_bytes()
    assert catalogue.stem == sha256(said).hexdigest()
    # Two loads that end at once may both write one: this one says the last pack alone.
    (catalogue.parent / f"{sha256(said[-1000:]).hexdigest()}.catalogue").write_bytes(said[-1000:])
    (catalogue.parent / f"{'0' * 64}.catalogue").write_bytes(said[:-7])  # damaged
    gone = min((tmp_path / "packs").glob("*.pack"))
    gone.unlink()
    gone.with_suffix(".index").unlink()
    packs = Packs(tmp_path)
    found = [packs.read(digest) for digest in digests]
    assert [content is None for content in found].count(True) == 1


def test_a_batch_that_is_dropped_leaves_nothing_and_few_files_are_kept_by_themselves(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    for number in range(20):
        batch.keep(b"%d" % number)
    batch.drop()
    assert everything(tmp_path) == []
    batch = Batch(tmp_path)
    batch.keep(b"model")
    batch.settle()
    batch.drop()
    assert everything(tmp_path) == [stored_path(tmp_path, DIGEST)]


def test_a_store_that_lost_a_pack_says_which_file_is_missing(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    for body in [b"model", *(b"%d" % number for number in range(20))]:
        batch.keep(body)
    batch.settle()
    batch.drop()
    with open_stored(tmp_path, DIGEST) as file:
        assert file.read() == b"model"
    (pack,) = (tmp_path / "packs").glob("*.pack")
    pack.unlink()
    with pytest.raises(NotFound, match=DIGEST):
        open_stored(tmp_path, DIGEST)


@pytest.mark.parametrize("url", ["nope://bucket", "swift://bucket"])
def test_a_url_nothing_speaks_is_refused(url: str) -> None:
    with pytest.raises(InvalidData, match=url.partition(":")[0]):
        store_at(url)
