"""Shapefile: geometry, index, attributes and CRS in files of one stem."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from cim.errors import InvalidData
from ingest.formats._base import Format, Layer, ReadOptions

# Language driver of a DBF (byte 29) that says nothing about its text: none given, or "ANSI", the code page of the
# machine that wrote it, whichever that was.
_SILENT_DRIVERS = (0x00, 0x57)
_SHP_HEADER = 100
_DBF_HEADER = 32
_NEEDED = (".shx", ".dbf")


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the one layer of a Shapefile, named like the file.

    The encoding of its text is what the operator says, else the `.cpg` file, else the DBF's language driver where
    that is specific; else the bytes are tried as UTF-8 and then as GB18030, and the report says which was taken.

    Raises
    ------
    InvalidData : a part is missing, or the text is neither UTF-8 nor GB18030 and nothing says what it is.
    """
    from ingest.formats._ogr import read_layers

    parts = {file.suffix.lower(): file for file in path.parent.iterdir() if file.stem == path.stem}
    missing = [suffix for suffix in _NEEDED if suffix not in parts]
    if missing:
        raise InvalidData(f"{path}: its {' and '.join(missing)} is missing; give all files of the Shapefile")
    _check_length(path)
    _check_length(parts[".shx"])
    _check_records(parts[".dbf"])
    encoding, guess = options.encoding, None
    if encoding is not None:
        _check_encoding(encoding)
    elif ".cpg" not in parts:
        encoding = guess = _detect(parts[".dbf"])
    for layer in read_layers(path, options, "Shapefile", (b"\x00\x00\x27\x0a",), encoding):
        if guess is not None:
            layer.warnings.append(f"no encoding is declared; the text reads as {guess}: say --encoding if it is not")
        yield layer


def _check_encoding(name: str) -> None:
    try:
        codecs.lookup(name)
    except LookupError as error:
        raise InvalidData(f"encoding {name!r} is unknown; name one such as UTF-8, GB18030, Big5, Shift_JIS") from error


def _check_length(path: Path) -> None:
    """Refuse a .shp or .shx shorter than its header says: GDAL would give what is missing as empty geometry."""
    with path.open("rb") as file:
        header = file.read(28)
    stated = 2 * int.from_bytes(header[24:28], "big")
    _check_size(path, max(stated, _SHP_HEADER))


def _check_records(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(_DBF_HEADER)
    count, start, width = (int.from_bytes(header[a:b], "little") for a, b in ((4, 8), (8, 10), (10, 12)))
    _check_size(path, max(start + count * width, _DBF_HEADER))


def _check_size(path: Path, stated: int) -> None:
    actual = path.stat().st_size
    if actual < stated:
        raise InvalidData(f"{path}: is cut off: expected {stated} bytes, got {actual}; fetch it again")


def _detect(dbf: Path) -> str | None:
    """Return the encoding the text can be read in; None where it is ASCII or the file declares one itself."""
    data = dbf.read_bytes()
    text = _text(data)
    if data[29] not in _SILENT_DRIVERS or text.isascii():
        return None
    for encoding in ("UTF-8", "GB18030"):
        try:
            text.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    raise InvalidData(f"{dbf}: its text is neither UTF-8 nor GB18030; name its encoding, as --encoding ISO-8859-1")


def _text(data: bytes) -> bytes:
    """Return field names and records of a DBF, each cut off from the next by the format's own ASCII padding."""
    header = int.from_bytes(data[8:10], "little")
    names = b" ".join(data[start : start + 11].split(b"\0", 1)[0] for start in range(32, header - 1, 32))
    return names + b" " + data[header:]


FORMAT = Format(
    name="shp",
    title="Shapefile",
    suffixes=(".shp",),
    spec="ESRI Shapefile Technical Description, July 1998."
    " https://www.esri.com/content/dam/esrisites/sitecore-archive/Files/Pdfs/library/whitepapers/pdfs/shapefile.pdf",
    read=read,
    sidecars=(".shx", ".dbf", ".prj", ".cpg"),
)
