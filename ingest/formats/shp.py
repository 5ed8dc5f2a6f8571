"""Shapefile: geometry, index, attributes and CRS in files of one stem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from cim.errors import InvalidData
from ingest.encoding import codec_of, detect
from ingest.formats._base import Format, Layer, ReadOptions

# Language driver of a DBF (byte 29) that says nothing about its text: none given, or "ANSI", the code page of the
# machine that wrote it, whichever that was.
_SILENT_DRIVERS = (0x00, 0x57)
# Those of East Asia, by their code pages: 932, 949, 936, 950.
_DRIVERS = {
    0x13: "Shift_JIS", 0x7B: "Shift_JIS", 0x4E: "EUC-KR", 0x79: "EUC-KR",
    0x4D: "GBK", 0x7A: "GBK", 0x4F: "Big5", 0x78: "Big5",
}  # fmt: skip
_KOREAN = ("cp949", "euc_kr", "johab")
_SHP_HEADER = 100
_DBF_HEADER = 32
_NEEDED = (".shx", ".dbf")


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the one layer of a Shapefile, named like the file.

    The encoding of its text is what the operator says, else the `.cpg` file, else the DBF's language driver where
    that is specific; else, or where the text cannot be in what they say, it is found out from the bytes. The report
    says which was taken, and why, unless all is ASCII.

    Raises
    ------
    InvalidData : a part is missing or not of the others, or nothing says what the text is in and it looks like no
        encoding we know.
    """
    from ingest.formats._ogr import read_layers

    parts = {file.suffix.lower(): file for file in path.parent.iterdir() if file.stem == path.stem}
    missing = [suffix for suffix in _NEEDED if suffix not in parts]
    if missing:
        raise InvalidData(f"{path}: its {' and '.join(missing)} is missing; give all files of the Shapefile")
    _check_length(path)
    _check_length(parts[".shx"])
    data = parts[".dbf"].read_bytes()
    deleted = _deleted(parts[".dbf"], data, _shapes(parts[".shx"]))
    encoding, because = _encoding(parts, data, options.encoding)
    for layer in read_layers(path, options, "Shapefile", (b"\x00\x00\x27\x0a",), encoding):
        if because is not None:
            layer.warnings.append(because)
        if deleted:
            layer.warnings.append(f"records that the .dbf marks as deleted are passed over: {deleted:,}")
        yield replace(layer, encoding=encoding)


def _encoding(parts: Mapping[str, Path], data: bytes, told: str | None) -> tuple[str | None, str | None]:
    """Return the encoding to read in, None where GDAL finds it stated, and a sentence on how it is known."""
    text = _text(data)
    if told is not None:
        codec_of(told)
        return told, None
    if text.isascii():
        return None, None
    found = detect(text)
    stated = _stated(parts, data[29])
    if stated is None:
        if found is None:
            raise InvalidData(
                f"{parts['.dbf']}: its text is neither UTF-8 nor GB18030, Big5 or Shift_JIS; name its encoding, as"
                " --encoding ISO-8859-1"
            )
        return codec_of(found), f"no encoding is declared; the text reads as {found}: say --encoding if it is not"
    name, by = stated
    if found is None or _may_be(text, name, found):
        doubt = "" if found is None or _agree(name, found) else f"; it looks like {found}: say --encoding if it is that"
        return None, f"text is read as {name}, as {by} says{doubt}"
    return codec_of(found), f"text is read as {found}, though {by} says {name!r}: say --encoding if it is neither"


def _stated(parts: Mapping[str, Path], driver: int) -> tuple[str, str] | None:
    """Return the name of the encoding that is stated, and by what; None where nothing says it."""
    if ".cpg" in parts:
        return parts[".cpg"].read_bytes()[:40].decode("utf-8-sig", "replace").strip(), "its .cpg"
    if driver not in _SILENT_DRIVERS:
        return _DRIVERS.get(driver, "another code page"), f"language driver {driver:#04x} of its .dbf"
    return None


def _may_be(text: bytes, name: str, found: str) -> bool:
    """Tell whether a text that looks like one encoding may be in the one stated: what is UTF-8 is nothing else.

    But characters of two bytes in it, as those of 楼 and 路 in GBK would be, prove little of an encoding of pairs.
    """
    try:
        codec = codec_of(name)
        text.decode(codec)
    except InvalidData:
        return name == "another code page"
    except UnicodeDecodeError:
        return False
    pairs = len(b"\xc2\xa5".decode(codec, "replace")) == 1
    return found != "UTF-8" or codec == "utf-8" or (pairs and max(text.decode()) < "\u0800")


def _agree(name: str, found: str) -> bool:
    """Tell whether what is stated may well be what is found, as Korean, which looks like GB18030."""
    try:
        return found == "UTF-8" or codec_of(name) in (codec_of(found), *_KOREAN)
    except InvalidData:
        return False


def _check_length(path: Path) -> None:
    """Refuse a .shp or .shx shorter than its header says: GDAL would give what is missing as empty geometry."""
    with path.open("rb") as file:
        header = file.read(28)
    stated = 2 * int.from_bytes(header[24:28], "big")
    _check_size(path, max(stated, _SHP_HEADER))


def _shapes(index: Path) -> int:
    with index.open("rb") as file:
        header = file.read(_SHP_HEADER)
    return (2 * int.from_bytes(header[24:28], "big") - _SHP_HEADER) // 8


def _deleted(path: Path, data: bytes, shapes: int) -> int:
    """Return how many records are marked as deleted; refuse a DBF that is cut off, or not of these shapes."""
    count, start, width = (int.from_bytes(data[a:b], "little") for a, b in ((4, 8), (8, 10), (10, 12)))
    _check_size(path, max(start + count * width, _DBF_HEADER))
    if count != shapes:
        raise InvalidData(f"{path}: has {count:,} records for {shapes:,} shapes: it is of another file; fetch both")
    return data[start : start + count * width : width].count(b"*")


def _check_size(path: Path, stated: int) -> None:
    actual = path.stat().st_size
    if actual < stated:
        raise InvalidData(f"{path}: is cut off: expected {stated} bytes, got {actual}; fetch it again")


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
