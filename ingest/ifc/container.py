"""From a file on disk to the STEP text of one model: zip and gzip, pointer files, other syntaxes, draft schemas."""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cim.errors import InvalidData, UnknownFormat
from ingest.ifc.text import Mended, mend

# What ifcopenshell 0.9 reads; IFC4X3 as such is the published standard under its working name.
SCHEMAS = ("IFC2X3", "IFC4", "IFC4X3", "IFC4X3_ADD1", "IFC4X3_ADD2", "IFC4X3_TC1")
# STEP text packs five- to tenfold. Beyond a hundredfold it is an attack or an accident.
MAX_RATIO = 100
MAX_BYTES = 4 * 1024**3
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEADER_BYTES = 1024 * 1024
_END = b"END-ISO-10303-21"
# Each on a line of its own; begins with a fixed byte, as that is three times faster to look for.
_INSTANCE = re.compile(rb"\n\s*#\d+\s*=")
# Records of the header that ISO 10303-21 demands, with the emptiest form of each.
_RECORDS = {
    b"FILE_DESCRIPTION": b"FILE_DESCRIPTION((''),'2;1');",
    b"FILE_NAME": b"FILE_NAME('','',(''),(''),'','','');",
}
_SCHEMA = re.compile(rb"FILE_SCHEMA\s*\(\s*\(\s*'([^']*)'", re.IGNORECASE)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ModelText:
    """The STEP text of a model, ASCII only, in a file the parser can open.

    `instances` is how many the text declares; `encoding` and `strings` are as in `text.Mended`. `repaired` says what
    else was done to the text.
    """

    path: Path
    schema: str
    instances: int
    encoding: str | None
    strings: int
    repaired: tuple[str, ...] = ()


def open_container(path: Path, scratch: Path, encoding: str | None = None) -> ModelText:
    """Find the model in an .ifc, .ifczip or .ifc.gz file, check its header and mend its strings.

    The text stays where it is when nothing has to be done, else it is written into the folder `scratch`. What
    the file is, is decided by its content, not its suffix.

    Raises
    ------
    UnknownFormat : not a STEP file, or a schema that cannot be read (drafts, ifcXML, Git LFS pointer).
    InvalidData : an archive with no model or several, one that unpacks to too much, text that is too large, cut off
        or of no known encoding.
    """
    with path.open("rb") as file:
        start = file.read(4)
    packed = start.startswith((b"PK\x03\x04", b"\x1f\x8b"))
    data = _unpack(path, start) if packed else _read_plain(path)
    marked = data.startswith(_BYTE_ORDER_MARK)
    data = data.removeprefix(_BYTE_ORDER_MARK)
    schema = check_header(path, data[:_HEADER_BYTES])
    if _END not in data[-_HEADER_BYTES:]:
        raise InvalidData(f"{path.name}: the text stops before {_END.decode()}; the file was cut off, copy it again")
    data, repaired = _complete_header(data)
    instances = len(_INSTANCE.findall(data))
    try:
        mended: Mended = mend(data, encoding)
    except InvalidData as error:
        raise InvalidData(f"{path.name}: {error}") from error
    if mended.encoding is None and not (packed or marked or repaired):
        return ModelText(path, schema, instances, None, 0)
    target = scratch / "model.ifc"
    target.write_bytes(mended.data)
    return ModelText(target, schema, instances, mended.encoding, mended.strings, repaired)


def check_header(path: Path, start: bytes) -> str:
    """Return the schema identifier that the first bytes of a STEP file state, in capitals.

    Raises
    ------
    UnknownFormat : it is something else, which is named, or a schema outside `SCHEMAS`.
    """
    text = start.lstrip()
    if text.startswith(b"version https://git-lfs"):
        raise UnknownFormat(f"{path.name}: a Git LFS pointer, not the model itself; fetch it with 'git lfs pull'")
    if text.startswith(b"<"):
        raise UnknownFormat(f"{path.name}: ifcXML or other XML; only the STEP form is read, export the model as .ifc")
    if not text.startswith(b"ISO-10303-21"):
        raise UnknownFormat(f"{path.name}: a STEP file begins with ISO-10303-21, this one {_beginning(text)}")
    found = _SCHEMA.search(text)
    if found is None:
        raise UnknownFormat(f"{path.name}: the header has no FILE_SCHEMA; the file is damaged, export it again")
    schema = found.group(1).decode("ascii", "replace").strip().upper()
    if schema not in SCHEMAS:
        raise UnknownFormat(
            f"{path.name}: schema {schema} is a draft or unknown; readable are {', '.join(SCHEMAS)};"
            " export the model as IFC4"
        )
    return schema


def _beginning(text: bytes) -> str:
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is in UTF-16; save it as ASCII or UTF-8"
    return f"with {text[:16]!r}" if text else "is empty; copy it again"


def _complete_header(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Put in the header records that the parser insists on and nothing of ours depends on; say which."""
    end = data.find(b"ENDSEC")
    head = data[: max(end, 0)]
    missing = [name for name in _RECORDS if name not in head.upper()]
    if not missing or end < 0:
        return data, ()
    for name in missing:
        # Their order is fixed: description, name, schema.
        start = b"HEADER;" if name == b"FILE_DESCRIPTION" else b""
        where = head.upper().index(start or b"FILE_SCHEMA") + len(start)
        head = head[:where] + _RECORDS[name] + head[where:]
    names = ", ".join(name.decode() for name in missing)
    return head + data[end:], (f"the header lacks {names}, which the standard asks for; read without",)


def _read_plain(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise InvalidData(f"{path.name}: larger than {MAX_BYTES} bytes, the limit of one model; split it by building")
    return path.read_bytes()


def _unpack(path: Path, start: bytes) -> bytes:
    try:
        if start.startswith(b"\x1f\x8b"):
            with gzip.open(path) as packed:
                return _read_member(path, packed, path.stem)
        with zipfile.ZipFile(path) as archive:
            models = [m for m in archive.infolist() if _is_model(m.filename)]
            if len(models) != 1:
                raise InvalidData(
                    f"{path.name}: a zipped model holds one .ifc file, this one {len(models)}; give several as .zip"
                )
            with archive.open(models[0]) as member:
                return _read_member(path, member, models[0].filename)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise InvalidData(f"{path.name}: the archive cannot be unpacked: {error}; copy it again") from error


def _is_model(name: str) -> bool:
    # What begins with a dot is what macOS notes about a file, under the name of the file.
    return name.lower().endswith((".ifc", ".ifcxml")) and not name.rpartition("/")[2].startswith(".")


def _read_member(path: Path, packed: _Readable, name: str) -> bytes:
    # The sizes an archive states can lie, so what is counted is what comes out.
    limit = min(MAX_BYTES, MAX_RATIO * max(path.stat().st_size, 1024))
    data = packed.read(limit + 1)
    if len(data) > limit:
        raise InvalidData(
            f"{path.name}: {name} unpacks to more than {limit} bytes ({MAX_RATIO} times the archive's"
            " own size, or the limit of one model); unpack it yourself if it is sound"
        )
    return data
