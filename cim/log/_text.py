"""Strict readers for the text formats of the log: one spelling per value, everything else is refused."""

from __future__ import annotations

import base64
import binascii
import re

from cim.errors import InvalidProof

# Go's tlog reads sizes as int64; a size beyond it could not be verified by that software.
MAX_SIZE = 2**63 - 1
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


def read_decimal(text: str, what: str) -> int:
    """Read an ASCII decimal without sign or leading zeros, at most 2^63 - 1.

    Raises
    ------
    InvalidProof : any other spelling, or a larger number.
    """
    if not (text.isascii() and text.isdigit() and (text == "0" or text[0] != "0") and len(text) < 20):
        raise InvalidProof(f"{what}: expected a decimal number without leading zeros, got {text[:40]!r}")
    number = int(text)
    if number > MAX_SIZE:
        raise InvalidProof(f"{what}: expected at most {MAX_SIZE}, got {text}")
    return number


def read_base64(text: str, what: str, length: int | None = None) -> bytes:
    """Decode standard base64 with padding, of `length` bytes where given.

    Raises
    ------
    InvalidProof : foreign characters, missing padding, non-zero spare bits, or another length.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if write_base64(data) != text:
        raise InvalidProof(f"{what}: expected canonical base64, got {text[:60]!r}")
    if length is not None and len(data) != length:
        raise InvalidProof(f"{what}: expected {length} bytes, got {len(data)}")
    return data


def write_base64(data: bytes) -> str:
    """Encode as standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def read_utf8(data: str | bytes, what: str) -> str:
    """Decode UTF-8 and refuse control characters other than newline, as signed notes demand.

    Raises
    ------
    InvalidProof : invalid UTF-8, a lone surrogate, or a control character below U+0020.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        text.encode("utf-8")
    except UnicodeError as error:
        raise InvalidProof(f"{what}: expected UTF-8 text: {error}") from None
    if control := _CONTROL.search(text):
        raise InvalidProof(
            f"{what}: control character U+{ord(control[0]):04X} is not allowed; "
            "a transfer that rewrites line ends would do that"
        )
    return text
