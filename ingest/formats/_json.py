"""What a GeoJSON text must not hold: a CRS to be fetched, one whose name means nothing, U+0000."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from cim import crs
from cim.errors import CrsError, InvalidData

# A CRS by link, of the specification of 2008, which GDAL goes and fetches. Letters that are escaped, as no writer of
# JSON does, may spell the same.
_SUSPECT = re.compile(rb'"type"\s*:\s*"(?:link|url)"|\\u00[46][1-9a-f]|\\u00[57][0-9a]')
# A CRS as the specification of 2008 has it: an object with one inside.
_SYSTEM = re.compile(rb'"crs"\s*:\s*(\{(?:[^{}]|\{[^{}]*\})*\})')
# What GDAL looks up; of any other name it makes WGS 84, and says nothing.
_LOOKED_UP = re.compile(r"(EPSG|OGC|ESRI):|urn:(x-)?ogc:def:crs:|https?://www\.opengis\.net/", re.IGNORECASE)
# The character at which GDAL ends a text.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_CHUNK = 1 << 24
_OVERLAP = 256


def check_no_link(path: Path) -> None:
    """Refuse a GeoJSON file that states its CRS by a link.

    Raises
    ------
    InvalidData : it does.
    """
    if any(suspect(part) for part in _parts(path)):
        refuse_links(path, path.read_bytes())


def check_known(path: Path) -> None:
    """Refuse a GeoJSON file that names a CRS which nobody knows: its coordinates would be taken for WGS 84.

    Raises
    ------
    InvalidData : it does.
    """
    for part in _parts(path):
        for found in _SYSTEM.finditer(part):
            _check_system(path, found[1])


def check_no_nul(path: Path) -> None:
    """Refuse a GeoJSON file with the character U+0000, where GDAL would end its text and say nothing.

    Raises
    ------
    InvalidData : it has one.
    """
    if any(b"\\u0000" in part and _NUL.search(part) for part in _parts(path)):
        raise InvalidData(f"{path}: holds the character U+0000, which no database text can; remove it")


def _parts(path: Path) -> Iterator[bytes]:
    """Yield the file in parts, each with the end of the one before, so that no short phrase is cut."""
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield rest + chunk
            rest = chunk[-_OVERLAP:]


def _check_system(path: Path, text: bytes) -> None:
    try:
        system = orjson.loads(text)
    except orjson.JSONDecodeError:
        return  # is left to the reader
    said = system.get("properties")
    if not isinstance(said, dict) or str(system.get("type")).lower() in ("link", "url"):
        return
    if str(system.get("type")).lower() == "epsg":
        name = f"EPSG:{said.get('code')}"
    else:
        name = str(said.get("name", said.get("urn", "")))
    try:
        if _LOOKED_UP.match(name):
            crs.parse(name)
            return
    except CrsError:
        pass
    raise InvalidData(
        f"{path}: states its CRS as {name[:80]!r}, which is none that is known: correct it, or say it with --assume-crs"
    )


def suspect(text: bytes) -> bool:
    """Tell whether a text needs a closer look."""
    lower = text.lower()
    # The pattern alone stops at every quotation mark, and takes twice as long.
    return any(word in lower for word in (b'"link"', b'"url"', b"\\u00")) and _SUSPECT.search(lower) is not None


def refuse_links(path: Path, text: bytes) -> None:
    """Refuse a JSON text with a CRS by link anywhere in it; what is no JSON is left to the reader."""
    try:
        document = orjson.loads(text.removeprefix(b"\xef\xbb\xbf").strip(b"\x1e \t\r\n"))
    except orjson.JSONDecodeError as error:
        raise InvalidData(f"{path}: cannot be read as GeoJSON: {error}") from error
    if any(_is_link(system) for system in _systems(document)):
        raise InvalidData(
            f"{path}: states its CRS by a link, and nothing is fetched: remove the member 'crs' and say"
            " the CRS with --crs"
        )


def _systems(document: Any) -> list[Any]:
    found, pending = [], [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            found += [inner for name, inner in value.items() if name.lower() == "crs"]
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return found


def _is_link(system: Any) -> bool:
    kinds = [v for k, v in system.items() if k.lower() == "type"] if isinstance(system, dict) else []
    return any(isinstance(kind, str) and kind.lower() in ("link", "url") for kind in kinds)
