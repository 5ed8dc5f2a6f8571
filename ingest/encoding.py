"""Which encoding a text of unknown encoding is in: found by which characters it would hold.

Bytes that are UTF-8 are nothing else. Of the old East Asian encodings one reads almost anything of another as rare
characters, so the one is taken in whose everyday characters most of the text would lie.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from itertools import islice
from types import MappingProxyType

from cim.errors import InvalidData

# First and last pair of each area of everyday characters, as numbers of two bytes, and the least second byte.
# GB 2312-80: punctuation in row 1, letters in row 3, level 1 in rows 16 to 55. Big5 (1984): punctuation, level 1. JIS X
# 0208 as Shift_JIS: punctuation, letters and kana, level 1.
_EVERYDAY: Mapping[str, tuple[tuple[int, int, int], ...]] = MappingProxyType(
    {
        "GB18030": ((0xA1A1, 0xA3FE, 0xA1), (0xB0A1, 0xD7FE, 0xA1)),
        "Big5": ((0xA140, 0xA3BF, 0x40), (0xA440, 0xC67E, 0x40)),
        "Shift_JIS": ((0x8140, 0x8396, 0x40), (0x889F, 0x9872, 0x40)),
    }
)
# Names of places and people hold rare characters, yet more than half of any text is everyday ones.
_LEAST_SHARE = 0.5
_SAMPLE = 20_000
_PAIR = re.compile(rb"[\x80-\xff][\x00-\xff]")
# Bytes A1 to DF of Shift_JIS are characters of their own.
_PAIR_OF_SHIFT_JIS = re.compile(rb"[\xa1-\xdf]|[\x80-\xff][\x00-\xff]")


def codec_of(name: str) -> str:
    """Return Python's codec for an encoding, the one with all its characters where there are several.

    Raises
    ------
    InvalidData : the encoding is unknown.
    """
    wider = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "cp950", "shift_jis": "cp932"}
    try:
        found = codecs.lookup(name).name
    except LookupError as error:
        raise InvalidData(f"encoding {name!r} is unknown; name one such as UTF-8, GB18030, Big5, Shift_JIS") from error
    return wider.get(found, found)


def detect(text: bytes) -> str | None:
    """Return the name of the encoding the bytes are in: `ASCII`, `UTF-8`, `GB18030`, `Big5`, `Shift_JIS`, or None.

    A few words are enough to tell the three apart; a single character may not be. Korean text looks like GB18030, and
    text in an encoding of one byte a character like none of them.
    """
    if text.isascii():
        return "ASCII"
    if _decodes(text, "utf-8"):
        return "UTF-8"
    share = {name: _share(text, name) for name in _EVERYDAY if _decodes(text, codec_of(name))}
    best = max(share, key=lambda name: share[name], default=None)
    return best if best is not None and share[best] > _LEAST_SHARE else None


def _decodes(text: bytes, codec: str) -> bool:
    try:
        text.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _share(text: bytes, name: str) -> float:
    """Return the share of the text's characters of two bytes that are everyday ones; of the first thousands."""
    pattern = _PAIR_OF_SHIFT_JIS if name == "Shift_JIS" else _PAIR
    found = (match.group() for match in islice(pattern.finditer(text), _SAMPLE))
    pairs = [int.from_bytes(pair) for pair in found if len(pair) == 2]
    everyday = sum(
        any(first <= pair <= last and pair & 0xFF >= least for first, last, least in _EVERYDAY[name]) for pair in pairs
    )
    return everyday / len(pairs) if pairs else 0.0
