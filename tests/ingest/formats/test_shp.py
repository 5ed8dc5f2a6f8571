from __future__ import annotations

import struct
from pathlib import Path

import pytest

from cim.errors import InvalidData
from ingest.formats import ReadOptions
from ingest.formats.shp import read


def shapefile(folder: Path, field: bytes, value: bytes, *, driver: int = 0, cpg: str | None = None) -> Path:
    """Write a Shapefile of one point at (1, 2) with one text field of 20 bytes, byte by byte."""
    folder.mkdir(parents=True, exist_ok=True)
    point = struct.pack("<idd", 1, 1.0, 2.0)

    def header(length: int) -> bytes:
        return struct.pack(">i20xi", 9994, length // 2) + struct.pack("<ii4d4d", 1000, 1, 1, 2, 1, 2, 0, 0, 0, 0)

    (folder / "p.shp").write_bytes(header(128) + struct.pack(">ii", 1, 10) + point)
    (folder / "p.shx").write_bytes(header(108) + struct.pack(">ii", 50, 10))
    descriptor = field.ljust(11, b"\0") + b"C" + bytes(4) + bytes([20]) + bytes(15)
    head = struct.pack("<4BIHH", 3, 124, 1, 1, 1, 65, 21) + bytes(17) + bytes([driver]) + bytes(2)
    (folder / "p.dbf").write_bytes(head + descriptor + b"\r" + b" " + value.ljust(20) + b"\x1a")
    if cpg is not None:
        (folder / "p.cpg").write_text(cpg)
    return folder / "p.shp"


@pytest.mark.parametrize(
    ("encoding", "driver", "cpg", "said"),
    [
        ("GB18030", 0x00, None, "no encoding is declared; the text reads as GB18030"),
        ("GB18030", 0x57, None, "no encoding is declared; the text reads as GB18030"),
        ("Big5", 0x00, None, "no encoding is declared; the text reads as Big5"),
        ("Big5", 0x57, None, "no encoding is declared; the text reads as Big5"),
        ("Shift_JIS", 0x00, None, "no encoding is declared; the text reads as Shift_JIS"),
        ("UTF-8", 0x00, None, "no encoding is declared; the text reads as UTF-8"),
        ("UTF-8", 0x57, None, "no encoding is declared; the text reads as UTF-8"),
        ("GBK", 0x4D, None, "text is read as GBK, as language driver 0x4d of its .dbf says"),
        ("Big5", 0x4F, None, "text is read as Big5, as language driver 0x4f of its .dbf says"),
        ("Big5", 0x78, None, "text is read as Big5, as language driver 0x78 of its .dbf says"),
        ("Shift_JIS", 0x13, None, "text is read as Shift_JIS, as language driver 0x13 of its .dbf says"),
        ("UTF-8", 0x00, "UTF-8", "text is read as UTF-8, as its .cpg says"),
        ("Big5", 0x00, "Big5", "text is read as Big5, as its .cpg says"),
        ("GBK", 0x00, "936", "text is read as 936, as its .cpg says"),
        ("GBK", 0x00, "GBK", "text is read as GBK, as its .cpg says"),
    ],
)
def test_text_comes_out_right_and_the_report_says_how_it_was_read(
    tmp_path: Path, encoding: str, driver: int, cpg: str | None, said: str
) -> None:
    # A name of places that all three countries' characters can write.
    path = shapefile(tmp_path, "名字".encode(encoding), "山川公園".encode(encoding), driver=driver, cpg=cpg)
    (layer,) = read(path, ReadOptions())
    assert layer.table().column("名字").to_pylist() == ["山川公園"]
    assert len(layer.warnings) == 1
    assert layer.warnings[0].startswith(said)


def test_ascii_needs_no_guess(tmp_path: Path) -> None:
    (layer,) = read(shapefile(tmp_path, b"NAME", b"Main Street"), ReadOptions())
    assert layer.warnings == []
    assert layer.crs is None
    assert layer.name == "p"


def test_the_operators_word_goes_first(tmp_path: Path) -> None:
    path = shapefile(tmp_path, b"NAME", "Straße".encode("ISO-8859-1"))
    (layer,) = read(path, ReadOptions(encoding="ISO-8859-1"))
    assert layer.table().column("NAME").to_pylist() == ["Straße"]


def test_what_is_neither_asks_for_the_encoding(tmp_path: Path) -> None:
    path = shapefile(tmp_path, b"NAME", b"caf\xff\xff")
    with pytest.raises(InvalidData, match="neither UTF-8 nor GB18030, Big5 or Shift_JIS; name its encoding"):
        list(read(path, ReadOptions()))
    with pytest.raises(InvalidData, match="encoding 'klingon' is unknown"):
        list(read(path, ReadOptions(encoding="klingon")))
    with pytest.raises(InvalidData, match="text of layer 'p' is not in utf-8"):
        [layer.table() for layer in read(path, ReadOptions(encoding="utf-8"))]


def test_a_code_page_file_that_lies_is_found_out(tmp_path: Path) -> None:
    path = shapefile(tmp_path, b"NAME", "名称".encode("GB18030"), cpg="UTF-8")
    with pytest.raises(InvalidData, match="is not in the encoding the file states"):
        [layer.table() for layer in read(path, ReadOptions())]
    (layer,) = read(path, ReadOptions(encoding="GB18030"))
    assert layer.table().column("NAME").to_pylist() == ["名称"]


@pytest.mark.parametrize("part", ["shx", "dbf"])
def test_a_missing_part_is_named(tmp_path: Path, part: str) -> None:
    path = shapefile(tmp_path, b"NAME", b"x")
    (tmp_path / f"p.{part}").unlink()
    with pytest.raises(InvalidData, match=rf"its \.{part} is missing"):
        list(read(path, ReadOptions()))


def test_parts_may_have_capital_suffixes(tmp_path: Path) -> None:
    path = shapefile(tmp_path, b"NAME", b"x")
    for suffix in ("shp", "shx", "dbf"):
        (tmp_path / f"p.{suffix}").rename(tmp_path / f"p.{suffix.upper()}")
    (layer,) = read(path.with_suffix(".SHP"), ReadOptions())
    assert layer.table().num_rows == 1
