"""KML and KMZ: places as a globe viewer shows them, in degrees of WGS 84."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cim.errors import InvalidData
from ingest.formats._base import Format, Layer, ReadOptions, head

_NAMESPACES = ("http://www.opengis.net/kml/", "http://earth.google.com/kml/")
# Fields the driver adds that say how a place is drawn, or repeat what its geometry says.
_DRAWING = frozenset({"altitudeMode", "tessellate", "extrude", "visibility", "drawOrder", "icon", "snippet"})
_DATA = re.compile(r"""(<(?:\w+:)?Data\s[^>]*?\bname\s*=\s*)(["'])([^"'<>]*)\2""")  # a value with a name
# A place with a name of its own, which KML has first in it.
_NAMED_PLACE = re.compile(r"<(?:\w+:)?Placemark\b[^>]*>\s*<(?:\w+:)?name\b")
_CHUNK = 1 << 20


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield a layer for each folder of a KML file, or of the main file of a KMZ.

    Links to other files are not followed; the report counts them. Text whose every value is a number as one would
    write it is a number.

    Raises
    ------
    InvalidData : no KML, a document type, a KMZ without a KML file, no places.
    """
    from ingest.formats._ogr import read_layers_apart
    from ingest.formats._text import identified, renamed, typed, without
    from ingest.formats._xml import stage
    from ingest.scratch import Scratch

    scratch = Scratch()
    folder = scratch.path / "kml"
    folder.mkdir()
    source = _main_file(path, scratch.path / "kmz") if head(path, 4) == b"PK\x03\x04" else path
    copy, root = stage(source, folder, "KML")
    if root.name != "kml" or not (root.namespace.startswith(_NAMESPACES) or not root.namespace):
        raise InvalidData(f"{path}: is not KML: its root element is {root.name!r}")
    names, hidden = _name_plainly(copy)
    links = _count(copy, b"<NetworkLink>") + _count(copy, b"<NetworkLink ")
    said = [f"{links} links to other files are not followed; give those files themselves"] if links else []
    if hidden:
        said.append("values called name are taken in place of the places' own names")
    for layer in read_layers_apart(path, copy, options, "KML", {}):
        name = path.stem if layer.name == "source" else layer.name
        yield replace(
            scratch.hold(typed(renamed(identified(without(layer, _DRAWING), "id"), names))),
            name=name,
            warnings=[*layer.warnings, *said],
        )
        said = []


def _main_file(path: Path, folder: Path) -> Path:
    """Unpack the KML files of a KMZ and return the main one: `doc.kml`, else the first at the top."""
    from ingest.unpack import unpack

    folder.mkdir()
    unpack(path, folder, lambda name: name.lower().endswith(".kml"))
    found = sorted(folder.rglob("*"), key=lambda p: (p.name.lower() != "doc.kml", len(p.parts), p.name))
    files = [p for p in found if p.is_file()]
    if not files:
        raise InvalidData(f"{path}: holds no .kml file, as a KMZ must")
    return files[0]


def _name_plainly(copy: Path) -> tuple[dict[str, str], bool]:
    """Rewrite a KML file with plain names of values instead of those that GDAL would take for others.

    It keeps letters of English in either case, digits and underscores, and writes the rest alike; of values whose names
    then are the same it keeps the last. Returns what each plain name stands for, and whether a value called name hides
    the names of places.
    """
    names: set[str] = set()
    named_places = False
    for text in _texts(copy):
        names.update(html.unescape(found[3]) for found in _DATA.finditer(text))
        named_places = named_places or _NAMED_PLACE.search(text) is not None
    alike = Counter(map(_as_field, names))
    plain = {
        name: f"named_{number}"
        for number, name in enumerate(sorted(names))
        if not name.isascii() or alike[_as_field(name)] > 1
    }

    def name(found: re.Match[str]) -> str:
        said = plain.get(html.unescape(found[3]))
        return found[0] if said is None else f"{found[1]}{found[2]}{said}{found[2]}"

    if plain:
        before = copy.rename(copy.with_suffix(".xml"))
        with copy.open("w", encoding="utf-8", newline="") as target:
            target.writelines(_DATA.sub(name, text) for text in _texts(before))
        before.unlink()
    hidden = named_places and any(_as_field(name) == "name" for name in names - plain.keys())
    return {token: original for original, token in plain.items()}, hidden


def _as_field(name: str) -> str:
    return re.sub(r"\W", "_", name.lower(), flags=re.ASCII)


def _texts(path: Path) -> Iterator[str]:
    """Yield the text of an XML file piece by piece, no tag cut in two."""
    with path.open(encoding="utf-8", newline="") as source:
        rest = ""
        while chunk := source.read(_CHUNK):
            whole, tag, rest = (rest + chunk).rpartition("<")
            yield whole
            rest = tag + rest
        yield rest


def _count(path: Path, text: bytes) -> int:
    total, rest = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total += (rest + chunk).count(text)
            rest = chunk[1 - len(text) :]
    return total


FORMAT = Format(
    name="kml",
    title="Keyhole Markup Language, also zipped",
    suffixes=(".kml", ".kmz"),
    spec="OGC 12-007r2, KML 2.3. https://www.ogc.org/standards/kml/",
    read=read,
)
