from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import ifcopenshell
import pytest

from cim.errors import InvalidData, UnknownFormat
from ingest.ifc.container import open_container

BARE = b"ISO-10303-21;\nHEADER;\nFILE_SCHEMA(('IFC4'));\nENDSEC;\nDATA;\nENDSEC;\nEND-ISO-10303-21;\n"


STEP = BARE.replace(b"HEADER;\n", b"HEADER;\nFILE_DESCRIPTION((''),'2;1');\nFILE_NAME('','',(''),(''),'','','');\n")


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_", "."), data)
    return path


def test_plain_model_is_opened_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "a.ifc"
    path.write_bytes(STEP)
    assert open_container(path, tmp_path).path == path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b'<?xml version="1.0"?><ifcXML/>', "ifcXML"),
        (STEP.replace(b"IFC4", b"IFC4X3_RC3"), "IFC4X3_RC3"),
        (STEP.replace(b"IFC4", b"IFC2X_FINAL"), "IFC2X_FINAL"),
        (STEP.replace(b"FILE_SCHEMA", b"FILE_SHEMA"), "FILE_SCHEMA"),
        (b"", "is empty"),
        (STEP.decode().encode("utf-16"), "UTF-16"),
        (b"%PDF-1.4", "ISO-10303-21"),
    ],
)
def test_what_is_no_readable_model_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "b.ifc"
    path.write_bytes(content)
    with pytest.raises(UnknownFormat, match=reason):
        open_container(path, tmp_path)


def test_zip_is_known_by_its_content_and_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = zipped(tmp_path / "c.ifc", model_ifc=b"\xef\xbb\xbf" + STEP)
    assert open_container(path, tmp_path).path.read_bytes() == STEP


@pytest.mark.parametrize("members", [{}, {"a_ifc": STEP, "b_ifc": STEP}])
def test_zip_must_hold_one_model(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(InvalidData, match=r"holds one \.ifc file"):
        open_container(zipped(tmp_path / "d.ifczip", readme_txt=b"hello", **members), tmp_path)


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "e.ifczip", bomb_ifc=STEP + b" " * 30_000_000)
    assert path.stat().st_size < 40_000
    with pytest.raises(InvalidData, match="100 times"):
        open_container(path, tmp_path)
    assert not (tmp_path / "model.ifc").exists()


def test_gzip_is_unpacked_and_its_bombs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.ifc.gz"
    path.write_bytes(gzip.compress(STEP))
    assert open_container(path, tmp_path).path.read_bytes() == STEP
    (tmp_path / "model.ifc").unlink()
    path.write_bytes(gzip.compress(STEP + b" " * 30_000_000))
    with pytest.raises(InvalidData, match=r"g\.ifc\.gz.*100 times"):
        open_container(path, tmp_path)
    assert not (tmp_path / "model.ifc").exists()
    path.write_bytes(gzip.compress(STEP)[:40])
    with pytest.raises(InvalidData, match="cannot be unpacked"):
        open_container(path, tmp_path)


def test_header_records_the_parser_insists_on_are_put_in(tmp_path: Path) -> None:
    path = tmp_path / "h.ifc"
    path.write_bytes(BARE)
    text = open_container(path, tmp_path)
    assert "FILE_DESCRIPTION, FILE_NAME" in text.repaired[0]
    assert ifcopenshell.open(str(text.path)).schema == "IFC4"


def test_damaged_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.ifczip", model_ifc=STEP)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InvalidData, match="unpacked"):
        open_container(path, tmp_path)


def test_what_macos_adds_to_a_zip_is_no_second_model(tmp_path: Path) -> None:
    path = tmp_path / "e.ifczip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("house.ifc", STEP)
        archive.writestr("__MACOSX/._house.ifc", b"\0\5\x16\7")
    assert open_container(path, tmp_path).path.read_bytes() == STEP
