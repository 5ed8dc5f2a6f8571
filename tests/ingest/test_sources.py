from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cim.errors import InvalidData
from ingest.sources import find, fingerprint


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_folder_is_searched_and_what_nobody_reads_is_told(tmp_path: Path) -> None:
    for name in ("b.shp", "b.shx", "b.dbf", "sub/a.GPKG", "sub/c.docx", ".hidden.gpkg", "map.json"):
        touch(tmp_path / name)
    sources, passed = find([tmp_path], excluded=[tmp_path / "map.json"])
    assert [s.path.name for s in sources] == ["b.shp", "a.GPKG"]
    assert [p.name for p in passed] == ["c.docx"]


def test_in_a_folder_an_ending_that_means_little_needs_the_content(tmp_path: Path) -> None:
    touch(tmp_path / "a.gpkg")
    touch(tmp_path / "a.shp.xml", b"<metadata/>")
    sources, passed = find([tmp_path])
    assert [s.path.name for s in sources] == ["a.gpkg"]
    assert [p.name for p in passed] == ["a.shp.xml"]
    assert find([tmp_path / "a.shp.xml"])[0][0].format is not None  # named, it is told what is wrong with it


def test_a_file_meant_twice_is_taken_once(tmp_path: Path) -> None:
    file = touch(tmp_path / "a.gpkg")
    (tmp_path / "link.gpkg").symlink_to(file)
    sources, _ = find([file, tmp_path, tmp_path / "link.gpkg"])
    assert [s.path for s in sources] == [file]


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside = touch(tmp_path / "outside" / "a.gpkg")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.gpkg").symlink_to(outside)
    (source,) = find([tmp_path / "in"])[0]
    assert "leads out of" in str(source.error)


def test_a_sidecar_that_links_elsewhere_is_refused(tmp_path: Path) -> None:
    secret = touch(tmp_path / "outside" / "secret")
    shape = touch(tmp_path / "in" / "a.shp")
    (tmp_path / "in" / "a.dbf").symlink_to(secret)
    (source,) = find([shape])[0]
    with pytest.raises(InvalidData, match="leads out of its folder"):
        fingerprint(source)


@pytest.mark.parametrize("name", ["no.gpkg", "no/such/folder"])
def test_what_is_not_there_is_an_error_of_its_own(tmp_path: Path, name: str) -> None:
    (source,) = find([tmp_path / name])[0]
    assert "cannot be opened: No such file" in str(source.error)


def test_an_unknown_suffix_lists_those_known(tmp_path: Path) -> None:
    (source,) = find([touch(tmp_path / "a.docx")])[0]
    assert "no format reads .docx; readable are" in str(source.error)


def test_a_folder_that_is_one_file_is_taken_as_one(tmp_path: Path) -> None:
    inner = touch(tmp_path / "in" / "town.gdb" / "a00000001.gdbtable")
    for place in (tmp_path, inner.parent):
        (source,) = find([place])[0]
        assert (source.path, source.format and source.format.name) == (inner.parent, "gdb")
    before = fingerprint(source).sha256
    touch(inner.parent / "host.sr.lock")
    assert fingerprint(source).sha256 == before
    touch(inner.parent / "gdb")
    assert fingerprint(source).sha256 != before


def test_a_link_in_a_folder_that_is_one_file_is_refused(tmp_path: Path) -> None:
    inner = touch(tmp_path / "town.gdb" / "a00000001.gdbtable")
    (inner.parent / "a00000009.gdbtable").symlink_to(touch(tmp_path / "secret"))
    (source,) = find([inner.parent])[0]
    with pytest.raises(InvalidData, match=r"is a link inside town\.gdb"):
        fingerprint(source)


def test_a_folder_behind_a_link_is_not_searched(tmp_path: Path) -> None:
    touch(tmp_path / "outside" / "a.gpkg")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "more").symlink_to(tmp_path / "outside")
    assert find([tmp_path / "in"]) == ([], [])


def test_the_digest_is_the_files_own_and_counts_sidecars(tmp_path: Path) -> None:
    (alone,) = find([touch(tmp_path / "a.gpkg", b"abc")])[0]
    assert fingerprint(alone).sha256 == hashlib.sha256(b"abc").hexdigest()
    (shape,) = find([touch(tmp_path / "b.shp", b"abc")])[0]
    touch(tmp_path / "b.dbf", b"1")
    before = fingerprint(shape).sha256
    touch(tmp_path / "b.shp.xml", b"metadata")
    assert fingerprint(shape).sha256 == before
    touch(tmp_path / "b.dbf", b"2")
    assert fingerprint(shape).sha256 != before
