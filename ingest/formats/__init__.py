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
    """Return the format that reads files whose name ends so, whatever the letter case; the longest ending decides.

    Where formats share an ending, those that know theirs by content are asked, and the one that does not has the rest.

    Raises
    ------
    UnknownFormat : none does; the message lists the suffixes there are.
    """
    name = path.name.lower()
    endings = {suffix: [f for f in formats().values() if suffix in f.suffixes] for suffix in _suffixes()}
    for suffix in sorted(endings, key=len, reverse=True):
        if name.endswith(suffix):
            sharing = sorted(endings[suffix], key=lambda f: f.claims is None)
            for candidate in sharing:
                if candidate.claims is None or len(sharing) == 1 or candidate.claims(path):
                    return candidate
    known = ", ".join(_suffixes())
    raise UnknownFormat(f"{path}: no format reads {path.suffix or 'a file without suffix'}; readable are {known}")


def _suffixes() -> list[str]:
    return list(dict.fromkeys(suffix for f in formats().values() for suffix in f.suffixes))
