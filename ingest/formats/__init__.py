"""File formats, one module each, found by being here: a module ends in `FORMAT = Format(...)`.

Heavy libraries (GDAL, ifcopenshell) are imported inside `read`, so that naming the formats stays cheap.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from cim.errors import UnknownFormat
from cim.plugins import scan
from ingest.formats._base import Format, Layer, ReadOptions

__all__ = ["Format", "Layer", "ReadOptions", "format_of", "formats"]


@cache
def formats() -> Mapping[str, Format]:
    """Return every format by its name."""
    return MappingProxyType(scan(sys.modules[__name__], "FORMAT"))


def format_of(path: Path) -> Format:
    """Return the format that reads files with this suffix, whatever the letter case.

    Raises
    ------
    UnknownFormat : none does; the message lists the suffixes there are.
    """
    suffix = path.suffix.lower()
    for candidate in formats().values():
        if suffix in candidate.suffixes:
            return candidate
    known = ", ".join(s for f in formats().values() for s in f.suffixes)
    raise UnknownFormat(f"{path}: no format reads {suffix or 'a file without suffix'}; readable are {known}")
