"""GeoJSON text sequences: one feature a line, or after a record separator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import orjson

from cim.errors import InvalidData
from ingest.formats._base import Format, Layer, ReadOptions
from ingest.formats._json import check_no_nul, refuse_links, suspect
from ingest.formats._members import LeftOut
from ingest.gdal import check_signature

_SEPARATOR = b"\x1e"
_SIGNATURES = (b"{", _SEPARATOR)
_TITLE = "GeoJSON text sequence"


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the one layer of a sequence, named like the file, in degrees of WGS 84 (RFC 8142 with RFC 7946).

    Attributes are the `properties`; what features say beside them is told in the warnings.

    Raises
    ------
    InvalidData : a line that is no JSON, which GDAL would leave out, states its CRS by a link, or holds U+0000.
    """
    from ingest.formats._ogr import read_layers

    check_signature(path, _SIGNATURES, _TITLE)
    left = _checked(path)
    check_no_nul(path)
    for layer in read_layers(path, options, _TITLE, _SIGNATURES):
        layer.warnings.extend(left.said())
        yield layer


def _checked(path: Path) -> LeftOut:
    """Refuse a file with a text that is no JSON or has a link; return what will be left out of the others."""
    left = LeftOut()
    with path.open("rb") as file:
        separated = file.read(1) == _SEPARATOR
        file.seek(0)
        for number, text in enumerate(_split(file) if separated else file, start=1):
            if not text.strip():
                continue
            try:
                plain = text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text
                orjson.loads(plain)
                left.look(plain.decode().lstrip())
                if suspect(text):
                    refuse_links(path, text)
            except orjson.JSONDecodeError as error:
                kind = "record" if separated else "line"
                raise InvalidData(f"{path}: is no sound {_TITLE}: {kind} {number} is no JSON: {error}") from error
    return left


def _split(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the texts between record separators."""
    rest = b""
    while chunk := file.read(1 << 20):
        *texts, rest = (rest + chunk).split(_SEPARATOR)
        yield from texts
    yield rest


FORMAT = Format(
    name="geojsonseq",
    title="GeoJSON text sequence, newline-delimited GeoJSON",
    suffixes=(".geojsons", ".geojsonl", ".geojsonseq", ".ndgeojson", ".ndjson", ".jsonl"),
    spec="RFC 8142, GeoJSON Text Sequences. https://www.rfc-editor.org/rfc/rfc8142",
    read=read,
)
