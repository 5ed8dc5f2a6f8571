from __future__ import annotations

import struct
from pathlib import Path

import pytest

from cim.errors import InvalidData
from ingest.ahead import ahead
from ingest.formats import ReadOptions
from ingest.formats.shp import read


def shapefile(
    folder: Path, field: bytes, value: bytes, *, driver: int = 0, cpg: str | None = None, records: int = 1
) -> Path:
    """Write a Shapefile of one point at (1, 2) with one text field of 20 bytes, byte by byte; of so many records."""
    folder.mkdir(parents=True, exist_ok=True)
    point = struct.pack("<idd", 1, 1.0, 2.0)

    def header(length: int) -> bytes:
        return struct.pack(">i20xi", 9994, length // 2) + struct.pack("<ii4d4d", 1000, 1, 1, 2, 1, 2, 0, 0, 0, 0)

    (folder / "p.shp").write_bytes(header(128) + struct.pack(">ii", 1, 10) + point)
    (folder / "p.shx").write_bytes(header(108) + struct.pack(">ii", 50, 10))
    descriptor = field.ljust(11, b"\0") + b"C" + bytes(4) + bytes([20]) + bytes(15)
    head = struct.pack("<4BIHH", 3, 124, 1, 1, records, 65, 21) + bytes(17) + bytes([driver]) + bytes(2)
    (folder / "p.dbf").write_bytes(head + descriptor + b"\r" + (b" " + value.ljust(20)) * records + b"\x1a")
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


@pytest.mark.parametrize(
    ("encoding", "cpg", "driver", "found"),
    [
        ("GB18030", "UTF-8", 0x00, "GB18030"),
        ("UTF-8", "GBK", 0x00, "UTF-8"),
        ("UTF-8", "ISO-8859-1", 0x00, "UTF-8"),
        ("UTF-8", None, 0x4D, "UTF-8"),
        ("GB18030", "OEM", 0x00, "GB18030"),
        ("Big5", "", 0x00, "Big5"),
    ],
)
def test_what_is_stated_is_not_followed_where_the_text_cannot_be_in_it(
    tmp_path: Path, encoding: str, cpg: str | None, driver: int, found: str
) -> None:
    path = shapefile(tmp_path, "名字".encode(encoding), "山川公園".encode(encoding), driver=driver, cpg=cpg)
    (layer,) = read(path, ReadOptions())
    assert layer.table().column("名字").to_pylist() == ["山川公園"]
    by = "language driver 0x4d of its .dbf" if cpg is None else "its .cpg"
    assert layer.warnings[0].startswith(f"text is read as {found}, though {by} says")


@pytest.mark.parametrize(("encoding", "cpg"), [("GB18030", "ISO-8859-1"), ("GB18030", "Big5")])
def test_what_is_stated_is_doubted_where_the_text_looks_like_another(tmp_path: Path, encoding: str, cpg: str) -> None:
    (layer,) = read(shapefile(tmp_path, b"NAME", "南山大厦".encode(encoding), cpg=cpg), ReadOptions())
    doubt = f"it looks like {encoding}: say --encoding if it is that"
    assert layer.warnings == [f"text is read as {cpg}, as its .cpg says; {doubt}"]


def test_pairs_that_are_utf_8_by_chance_are_read_as_stated(tmp_path: Path) -> None:
    # 楼 is C2 A5 and 路 is C2 B7 in GBK: U+00A5 and U+00B7 in UTF-8.
    (layer,) = read(shapefile(tmp_path, b"NAME", "楼1路2".encode("gbk"), cpg="GBK"), ReadOptions())
    assert layer.table().column("NAME").to_pylist() == ["楼1路2"]
    assert layer.warnings == ["text is read as GBK, as its .cpg says"]


def test_korean_is_not_doubted(tmp_path: Path) -> None:
    (layer,) = read(shapefile(tmp_path, b"NAME", "서울시청".encode("euc_kr"), cpg="EUC-KR"), ReadOptions())
    assert layer.table().column("NAME").to_pylist() == ["서울시청"]
    assert layer.warnings == ["text is read as EUC-KR, as its .cpg says"]


def test_the_encoding_of_one_file_is_not_that_of_the_next(tmp_path: Path) -> None:
    # As a delivery is read: the stream is begun here and ended by the thread that reads ahead.
    first = shapefile(tmp_path / "a", b"NAME", "臺北市政府".encode("big5"))
    second = shapefile(tmp_path / "b", b"NAME", "南山大厦".encode("gbk"), cpg="GBK")
    found = []
    for path in (first, second, first):
        (layer,) = read(path, ReadOptions())
        found += [batch.column("NAME").to_pylist() for batch in ahead(layer.batches())]
    assert found == [["臺北市政府"], ["南山大厦"], ["臺北市政府"]]


def test_attributes_of_another_number_of_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="has 2 records for 1 shapes: it is of another file"):
        list(read(shapefile(tmp_path, b"NAME", b"x", records=2), ReadOptions()))


def test_records_marked_as_deleted_are_counted(tmp_path: Path) -> None:
    path = shapefile(tmp_path, b"NAME", b"x")
    table = path.with_suffix(".dbf")
    table.write_bytes(table.read_bytes().replace(b"\r x", b"\r*x"))
    (layer,) = read(path, ReadOptions())
    assert layer.table().num_rows == 0
    assert layer.warnings == ["records that the .dbf marks as deleted are passed over: 1"]


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
