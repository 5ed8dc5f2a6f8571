"""Attribute tables of shapefiles as surveyors deliver them: GBK text, no word about the encoding.

GDAL would write UTF-8 names, cut them in the middle of a character, and say so in a .cpg; hence this writer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Name, dBase type (C text, N number), width in bytes, decimals.
Field = tuple[str, str, int, int]
ENCODING = "gbk"


def write(path: Path, fields: Sequence[Field], rows: Sequence[dict[str, Any]], day: tuple[int, int, int]) -> None:
    """Write a dBase III table. A missing value is blank.

    Raises
    ------
    ValueError : a name is longer than 10 bytes, or a value wider than its field.
    """
    length = 1 + sum(width for _, _, width, _ in fields)
    year, month, date = day
    # Byte 29, the language driver, stays 0: the reader must be told the encoding.
    head = struct.pack("<4BIHH20x", 3, year - 1900, month, date, len(rows), 33 + 32 * len(fields), length)
    parts = [head]
    for name, kind, width, decimals in fields:
        encoded = name.encode(ENCODING)
        if len(encoded) > 10:
            raise ValueError(f"field name {name!r} takes {len(encoded)} bytes in {ENCODING}, at most 10 fit")
        parts.append(struct.pack("<11sc4xBB14x", encoded, kind.encode(), width, decimals))
    parts.append(b"\r")
    parts += (b" " + b"".join(_cell(row.get(field[0]), field) for field in fields) for row in rows)
    path.write_bytes(b"".join(parts) + b"\x1a")


def _cell(value: Any, field: Field) -> bytes:
    name, kind, width, decimals = field
    if value is None:
        return b" " * width
    text = f"{value:.{decimals}f}" if kind == "N" else str(value)
    encoded = text.encode(ENCODING)
    if len(encoded) > width:
        raise ValueError(f"{name}: {text!r} takes {len(encoded)} bytes, the field has {width}")
    return encoded.rjust(width) if kind == "N" else encoded.ljust(width)
