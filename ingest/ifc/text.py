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
GUESSES = ("utf-8", "gb18030")


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
    encoding : the encoding of the raw bytes, where the operator knows it; else UTF-8 and then GB18030 are
        tried

    Raises
    ------
    InvalidData : the encoding is unknown to Python, or no encoding tried fits every string.

    Source
    ------
    ISO 10303-21:2016, encoding of strings. https://www.iso.org/standard/63141.html
    """
    if data.isascii():
        return Mended(data, None, 0)
    tokens = [match.group() for match in _TOKEN.finditer(data)]
    raw = [token for token in tokens if token.startswith(b"'") and not token.isascii()]
    chosen = _encoding_of(raw, (encoding,) if encoding else GUESSES)

    def rewrite(match: re.Match[bytes]) -> bytes:
        token = match.group()
        if token.isascii():
            return token
        if token.startswith(b"/*"):
            return b"/* */"
        return _RAW.sub(_escape, token.decode(chosen)).encode("ascii")

    return Mended(_TOKEN.sub(rewrite, data), chosen, len(raw))


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
