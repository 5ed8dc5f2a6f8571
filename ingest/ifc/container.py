"""From a file on disk to the STEP text of one model: zips, pointer files, other syntaxes, draft schemas."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

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
_INSTANCE = re.compile(rb"^\s*#\d+\s*=", re.MULTILINE)
_SCHEMA = re.compile(rb"FILE_SCHEMA\s*\(\s*\(\s*'([^']*)'", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ModelText:
    """The STEP text of a model, ASCII only, in a file the parser can open.

    `instances` is how many the text declares; `encoding` and `strings` are as in `text.Mended`.
    """

    path: Path
    schema: str
    instances: int
    encoding: str | None
    strings: int


def open_container(path: Path, scratch: Path, encoding: str | None = None) -> ModelText:
    """Find the model in an .ifc or .ifczip file, check its header and mend its strings.

    The text stays where it is when nothing has to be done, else it is written into the folder `scratch`. What
    the file is, is decided by its content, not its suffix.

    Raises
    ------
    UnknownFormat : not a STEP file, or a schema that cannot be read (drafts, ifcXML, Git LFS pointer).
    InvalidData : a zip with no model or several, one that unpacks to too much, text that is cut off or of no
        known encoding.
    """
    with path.open("rb") as file:
        start = file.read(4)
    packed = start == b"PK\x03\x04"
    data = _unpack(path) if packed else path.read_bytes()
    marked = data.startswith(_BYTE_ORDER_MARK)
    data = data.removeprefix(_BYTE_ORDER_MARK)
    schema = check_header(path, data[:_HEADER_BYTES])
    if _END not in data[-_HEADER_BYTES:]:
        raise InvalidData(f"{path.name}: the text stops before {_END.decode()}; the file was cut off, copy it again")
    instances = sum(1 for _ in _INSTANCE.finditer(data))
    try:
        mended: Mended = mend(data, encoding)
    except InvalidData as error:
        raise InvalidData(f"{path.name}: {error}") from error
    if mended.encoding is None and not (packed or marked):
        return ModelText(path, schema, instances, None, 0)
    target = scratch / "model.ifc"
    target.write_bytes(mended.data)
    return ModelText(target, schema, instances, mended.encoding, mended.strings)


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
        raise UnknownFormat(f"{path.name}: a STEP file begins with ISO-10303-21, this one with {text[:16]!r}")
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


def _unpack(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            models = [m for m in archive.infolist() if m.filename.lower().endswith((".ifc", ".ifcxml"))]
            if len(models) != 1:
                raise InvalidData(f"{path.name}: a zipped model holds one .ifc file, this one {len(models)}")
            return _read_member(path, archive, models[0])
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise InvalidData(f"{path.name}: the zip cannot be unpacked: {error}") from error


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    # The sizes in a zip's directory can lie, so what is counted is what comes out.
    limit = min(MAX_BYTES, MAX_RATIO * max(path.stat().st_size, 1024))
    with archive.open(member) as packed:
        data = packed.read(limit + 1)
    if len(data) > limit:
        raise InvalidData(
            f"{path.name}: {member.filename} unpacks to more than {limit} bytes ({MAX_RATIO} times the zip's"
            " own size, or the limit of one model); unpack it yourself if it is sound"
        )
    return data
