from __future__ import annotations

import pytest

from cim.errors import InvalidData
from ingest.encoding import codec_of, detect

# Names as they stand in attribute tables; rare characters (垚, 㙟, 鑫) never alone.
SIMPLIFIED = ["南山区建筑", "深圳市南山区粤海街道", "雄县", "教学楼", "用途", "名称", "结构:钢筋混凝土", "国语", "宝",
              "幼儿园", "垚鑫商业服务中心", "翡翠台湾馆"]  # fmt: skip
TRADITIONAL = ["國語", "臺北市信義區", "建築物名稱", "用途", "結構", "鋼筋混凝土", "醫院", "香港特別行政區", "九龍",
               "大廈", "翡翠臺灣館", "鑫龍廣場"]  # fmt: skip
JAPANESE = [
    "東京都",
    "建物ID",
    "墨田区",
    "足立区千住",
    "鉄筋コンクリート造",
    "アパート",
    "住宅",
    "ビル名",
    "さくら公園",
    "ｱﾊﾟｰﾄ名",
]


@pytest.mark.parametrize("text", SIMPLIFIED)
def test_simplified_chinese(text: str) -> None:
    assert detect(text.encode("gb18030")) == "GB18030"


@pytest.mark.parametrize("text", TRADITIONAL)
def test_traditional_chinese(text: str) -> None:
    assert detect(text.encode("cp950")) == "Big5"


@pytest.mark.parametrize("text", JAPANESE)
def test_japanese(text: str) -> None:
    assert detect(text.encode("cp932")) == "Shift_JIS"


@pytest.mark.parametrize("text", [*SIMPLIFIED, *TRADITIONAL, *JAPANESE, "Straße", "São Paulo"])
def test_what_is_utf8_is_nothing_else(text: str) -> None:
    assert detect(text.encode()) == "UTF-8"


@pytest.mark.parametrize("text", ["Straße", "Müller", "café", "Łódź"])
def test_western_text_in_one_byte_a_character_is_not_taken_for_chinese(text: str) -> None:
    assert detect(text.encode("cp1250" if "Ł" in text else "cp1252")) is None


def test_ascii_is_any_of_them() -> None:
    assert detect(b"") == detect(b"Main Street") == "ASCII"


def test_an_encoding_is_read_with_all_its_characters() -> None:
    assert "镕".encode("gb18030").decode(codec_of("GB2312")) == "镕"
    assert codec_of("Big5") == "cp950"
    with pytest.raises(InvalidData, match="encoding 'klingon' is unknown; name one such as UTF-8"):
        codec_of("klingon")
