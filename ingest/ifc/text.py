"""Raw bytes in the strings of a STEP file, turned into the escapes that ISO 10303-21 asks for.

Many exporters write UTF-8 or a code page where only ASCII and escapes are allowed. The parser does not
complain: it hands out empty text, or stumbles over a second byte that happens to be a backslash. So the bytes
are looked at first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cim.errors import InvalidData

# A quote inside a string is doubled. Comments are matched too, so that an apostrophe in one opens no string.
_TOKEN = re.compile(rb"/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_RAW = re.compile(r"[^\x00-\x7f]+")
# Tried in this order. UTF-8 almost never accepts text of another encoding; GB18030 accepts nearly everything.
GUESSES = ("utf-8", "gb18030", "cp1251")
# A letter of Western Europe in Windows-1252: one byte alone, text after it, as in few hanzi and Cyrillic words.
_WESTERN = re.compile(rb"(?<![\x80-\xff])[\xc0-\xff](?=[A-Za-z ,.'])")
# A character of the upper half of ISO 8859-1, or of the code page the writer had in mind.
_SHIFTED = re.compile(rb"(?:\\S\\[\x20-\x7e])+")
# Cyrillic letters and the typographic signs and numero sign that go with them, in Windows-1251.
_CYRILLIC = frozenset((*range(0xC0, 0x100), 0xA8, 0xB8, 0xB9, 0xAB, 0xBB, 0x84, 0x93, 0x94, 0x96, 0x97))
# Lead bytes of the hanzi in daily use (level 1 of GB 2312); what follows up to 0xF7 is rare.
_DAILY, _RARE = range(0xB0, 0xD8), range(0xD8, 0xF8)


@dataclass(frozen=True, slots=True)
class Mended:
    """A STEP file of ASCII only, with what was done to it: `encoding` is None where nothing had to be."""

    data: bytes
    encoding: str | None
    strings: int


def mend(data: bytes, encoding: str | None = None) -> Mended:
    r"""Rewrite the raw bytes in quoted strings as `\X2\…\X0\` and `\X4\…\X0\` escapes.

    Parameters
    ----------
    data : bytes of a STEP physical file
    encoding : the encoding of the raw bytes, and of `\S\` escapes, where the operator knows it; else UTF-8, GB18030
        and Windows-1251 are tried, in an order that the bytes suggest, and `\S\` escapes stay ISO 8859-1

    Raises
    ------
    InvalidData : the encoding is unknown to Python, or no encoding tried fits every string.

    Source
    ------
    ISO 10303-21:2016, encoding of strings. https://www.iso.org/standard/63141.html
    """
    shifted = encoding is not None and b"\\S\\" in data
    if data.isascii() and not shifted:
        return Mended(data, None, 0)
    tokens = [match.group() for match in _TOKEN.finditer(data)]
    if shifted:
        tokens = [_unshift(token) for token in tokens]
    raw = [token for token in tokens if token.startswith(b"'") and not token.isascii()]
    chosen = _encoding_of(raw, (encoding,) if encoding else _guesses(raw))

    def rewrite(match: re.Match[bytes]) -> bytes:
        token = _unshift(match.group()) if shifted else match.group()
        if token.isascii():
            return token
        if token.startswith(b"/*"):
            return b"/* */"
        return _RAW.sub(_escape, token.decode(chosen)).encode("ascii")

    return Mended(_TOKEN.sub(rewrite, data), chosen, len(raw))


def _unshift(token: bytes) -> bytes:
    r"""Turn `\S\` escapes into the bytes they stand for."""
    if token.startswith(b"/*"):
        return token
    return _SHIFTED.sub(lambda match: bytes(byte | 0x80 for byte in match.group()[3::4]), token)


def _guesses(strings: list[bytes]) -> tuple[str, ...]:
    """Put before GB18030 what the bytes are rather like.

    Windows-1252 where most stand alone, Windows-1251 where all are Cyrillic and few would be hanzi in daily use.
    """
    high = [byte for string in strings for byte in string if byte >= 0x80]
    runs = [run for string in strings for run in re.findall(rb"[\x80-\xff]+", string)]
    if 2 * sum(len(_WESTERN.findall(string)) for string in strings) > len(runs):
        return ("utf-8", "cp1252", "gb18030")
    leads = [byte for run in runs for byte in run[::2]]
    daily, rare = sum(byte in _DAILY for byte in leads), sum(byte in _RARE for byte in leads)
    if all(byte in _CYRILLIC for byte in high) and rare > daily:
        return ("utf-8", "cp1251", "gb18030")
    return GUESSES


def _encoding_of(strings: list[bytes], candidates: tuple[str, ...]) -> str:
    for candidate in candidates:
        try:
            for string in strings:
                string.decode(candidate)
        except UnicodeDecodeError:
            continue
        except LookupError as error:
            raise InvalidData(f"no encoding is called {candidate!r}; try utf-8, gb18030 or cp1251") from error
        return candidate
    raise InvalidData(
        f"{len(strings)} strings hold raw bytes that are not {' or '.join(candidates)}; name their encoding"
    )


def _escape(match: re.Match[str]) -> str:
    # The basic plane takes four hexadecimal digits a character, all else eight.
    text = match.group()
    if all(ord(character) <= 0xFFFF for character in text):
        return "\\X2\\" + "".join(f"{ord(character):04X}" for character in text) + "\\X0\\"
    return "\\X4\\" + "".join(f"{ord(character):08X}" for character in text) + "\\X0\\"
