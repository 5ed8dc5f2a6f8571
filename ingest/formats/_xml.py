"""XML files, none of which is trusted: a copy in UTF-8 to read from, and what its root element says it is."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from cim.errors import InvalidData
from ingest.encoding import codec_of
from ingest.formats._base import head

# The root element begins within so many bytes, or the file is none of ours.
_PROLOG = 65_536
_CHUNK = 1 << 20
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DECLARATION = re.compile(r"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")
# Names the address of a schema, which readers go and fetch; ours know no such attribute.
_SCHEMA_ADDRESS = re.compile(r"\b(?:noNamespaceS|s)chemaLocation(?=\s*=)")


@dataclass(frozen=True, slots=True)
class Root:
    """The first element: its namespace ("" for none), its name, and the namespaces it declares."""

    namespace: str
    name: str
    declared: frozenset[str]


def stage(path: Path, folder: Path, title: str) -> tuple[Path, Root]:
    """Copy an XML file into an empty folder, in UTF-8 and without schema addresses; return copy and root element.

    There, nothing lies beside it that a reader could take for its schema, and what a reader writes is thrown away. A
    document type is refused: it is where entities come from, those that grow a thousandfold and those that are
    other files. So is a text that ends before its root element does: GDAL would give what it has by then.

    Raises
    ------
    InvalidData : no XML, damaged, not in the encoding it states, or with a document type.
    """
    copy = folder / f"source{path.suffix.lower()}"
    encoding = _encoding_of(path, title)
    try:
        with (
            path.open(encoding=encoding, newline="") as source,
            copy.open("w", encoding="utf-8", newline="") as target,
        ):
            first = source.read(_CHUNK)
            declared = _DECLARATION.match(first)
            if declared is not None:
                first = '<?xml version="1.0" encoding="UTF-8"?>' + first[declared.end() :]
            target.write(_SCHEMA_ADDRESS.sub("ignored", first))
            while chunk := source.read(_CHUNK):
                target.write(chunk)
    except (UnicodeError, OSError) as error:
        raise InvalidData(f"{path}: cannot be read as {title} in {encoding}: {error}") from error
    return copy, _checked(path, copy, title)


def root_of(path: Path) -> Root | None:
    """Return the root element of a file, None where it is no XML or declares a document type: for `claims`."""
    try:
        return _root_of(path, head(path, _PROLOG), "XML")
    except InvalidData:
        return None


def _encoding_of(path: Path, title: str) -> str:
    start = head(path, 1024)
    if start.startswith(b"version https://git-lfs"):
        raise InvalidData(f"{path}: is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`")
    for mark, name in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return name
    if not start.lstrip().startswith(b"<") or b"\0" in start:
        raise InvalidData(f"{path}: is not {title}: it begins with {start[:24] or 'nothing'!r}")
    declared = _DECLARATION.match(start.lstrip().decode("latin-1"))
    name = declared.group(1) if declared else "utf-8"
    try:
        return codec_of(name)
    except InvalidData as error:
        raise InvalidData(f"{path}: states the encoding {name!r}, which is unknown; save it as UTF-8") from error


def _checked(path: Path, copy: Path, title: str) -> Root:
    """Return the root element of a text that is XML to its end."""
    parser, found = _parser(path, title)
    try:
        with copy.open("rb") as file:
            parser.ParseFile(file)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InvalidData(f"{path}: is no sound {title}: {error}") from error
    return found[0]


def _root_of(path: Path, start: bytes, title: str) -> Root:
    """Return the root element that begins in the first bytes of a text, which may be cut off after it."""
    parser, found = _parser(path, title)
    try:
        parser.Parse(start)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if not found:
            raise InvalidData(f"{path}: is not {title}: {error}") from error
    if not found:
        raise InvalidData(f"{path}: is not {title}: no element begins in its first {_PROLOG} bytes")
    return found[0]


def _parser(path: Path, title: str) -> tuple[expat.XMLParserType, list[Root]]:
    """Return a parser that refuses a document type, and a list that it puts the root element into."""
    found: list[Root] = []
    namespaces: set[str] = set()
    parser = expat.ParserCreate(namespace_separator=" ")

    def doctype(*_: object) -> None:
        raise InvalidData(f"{path}: declares a document type (<!DOCTYPE …>); {title} needs none, remove it")

    def element(name: str, _: object) -> None:
        namespace, _, local = name.rpartition(" ")
        found.append(Root(namespace, local, frozenset(namespaces)))
        parser.StartElementHandler = parser.StartNamespaceDeclHandler = None  # the rest goes fast

    def namespace_declared(_: str | None, uri: str | None) -> None:
        namespaces.add(uri or "")

    parser.StartDoctypeDeclHandler = doctype
    parser.StartNamespaceDeclHandler = namespace_declared
    parser.StartElementHandler = element
    return parser, found
