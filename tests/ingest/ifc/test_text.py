from __future__ import annotations

import ifcopenshell
import pytest

from cim.errors import InvalidData
from ingest.ifc.text import mend


def test_ascii_is_left_alone() -> None:
    data = b"#1=IFCPERSON('it''s','\\X2\\4E2D\\X0\\');"
    assert mend(data).data is data


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
@pytest.mark.parametrize("text", ["中山路", "誠運", "楼'’号"])
def test_raw_text_comes_back_right(encoding: str, text: str) -> None:
    # 誠 and 運 end in 0x5C, a backslash, in GBK.
    quoted = text.replace("'", "''")
    mended = mend(b"#1=IFCBUILDING('" + quoted.encode(encoding) + b"');")
    expected = "".join(c if ord(c) < 128 else f"\\X2\\{ord(c):04X}\\X0\\" for c in quoted).replace("\\X0\\\\X2\\", "")
    assert mended.data == f"#1=IFCBUILDING('{expected}');".encode()
    assert (mended.encoding, mended.strings) == (encoding, 1)


def test_characters_beyond_the_basic_plane_take_eight_digits() -> None:
    assert mend("'𠮷'".encode()).data == b"'\\X4\\00020BB7\\X0\\'"


def test_named_encoding_goes_before_guessing() -> None:
    raw = b"#1=IFCBUILDING('" + "Дом".encode("cp1251") + b"');"
    assert mend(raw, "cp1251").data == b"#1=IFCBUILDING('\\X2\\0414043E043C\\X0\\');"


def test_apostrophe_in_a_comment_opens_no_string() -> None:
    mended = mend("/* don't 中 */ #1=IFCBUILDING('中');".encode())
    assert mended.data == b"/* */ #1=IFCBUILDING('\\X2\\4E2D\\X0\\');"


def test_bytes_of_no_encoding_are_refused() -> None:
    with pytest.raises(InvalidData, match="utf-8 or gb18030 or cp1251"):
        mend(b"'\xff\x98'")
    with pytest.raises(InvalidData, match="no encoding is called 'klingon'"):
        mend(b"'\xff'", "klingon")


@pytest.mark.parametrize("text", ["Жилой дом №3", "этаж", "«Стена наружная»", "Перекрытие – плита"])
def test_raw_cyrillic_is_not_taken_for_chinese(text: str) -> None:
    mended = mend(b"#1=IFCBUILDING('" + text.encode("cp1251") + b"');")
    assert mended.encoding == "cp1251"
    assert decoded(mended.data) == text


@pytest.mark.parametrize("text", ["Gebäude", "Häuschen für Ämter, Höhe", "École supérieure", "Straße", "Café"])
def test_raw_letters_of_western_europe_are_not_taken_for_chinese_or_cyrillic(text: str) -> None:
    # ISO 8859-1, which is what many write, has these letters where Windows-1252 has them.
    mended = mend(b"#1=IFCBUILDING('" + text.encode("latin-1") + b"');")
    assert mended.encoding == "cp1252"
    assert decoded(mended.data) == text


@pytest.mark.parametrize("text", ["建筑", "外墙一层", "誠運大厦", "钢筋混凝土楼板"])
def test_raw_chinese_is_not_taken_for_cyrillic(text: str) -> None:
    mended = mend(b"#1=IFCBUILDING('" + text.encode("gb18030") + b"');")
    assert mended.encoding == "gb18030"
    assert decoded(mended.data) == text


def test_shifted_characters_follow_the_named_encoding() -> None:
    # \S\d is 0xE4: ä in ISO 8859-1, which the standard means, д in Windows-1251, which the writer meant.
    data = rb"#1=IFCBUILDING('\S\d\S\n\S\l');"
    assert mend(data).data is data
    assert decoded(mend(data, "cp1251").data) == "дом"


def decoded(data: bytes) -> str:
    """What the parser makes of the name."""
    lines = [
        "ISO-10303-21;HEADER;FILE_DESCRIPTION((''),'2;1');FILE_NAME('','',(''),(''),'','','');",
        "FILE_SCHEMA(('IFC4'));ENDSEC;DATA;",
        data.decode("ascii").replace("IFCBUILDING('", "IFCORGANIZATION($,'").replace("');", "',$,$,$);"),
        "ENDSEC;END-ISO-10303-21;",
    ]
    return str(ifcopenshell.file.from_string("\n".join(lines)).by_id(1).Name)
