"""Japan's National Land Numerical Information (KSJ) in GML: features and geometry side by side, in degrees north, east.

GDAL reads features only where they are members of a collection, and knows a system only where geometry names it.
"""

from __future__ import annotations

import re
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from cim.errors import InvalidData
from ingest.formats._links import is_geometry_name
from ingest.formats._xml import Root

_NAMESPACE = "http://nlftp.mlit.go.jp/ksj/schemas/ksj-app"
# What files of it call the geographic systems of Japan: EPSG codes, whose axes have this order.
_SYSTEMS = {"JGD2011": 6668, "JGD2000": 4612, "TD": 4301}
_STATED = re.compile(r"\s*(\w+)\s*/\s*\(B,\s*L\)\s*")
_NAME = re.compile(rb"</?([^\s/>]+)")
_WAY_OUT = "take the Shapefile or GeoJSON that is delivered with it"


class _Change(NamedTuple):
    start: int
    end: int
    text: bytes


def is_ksj(root: Root) -> bool:
    """Tell whether a root element is that of such a file."""
    return (root.namespace, root.name) == (_NAMESPACE, "Dataset")


def as_collection(path: Path, copy: Path) -> None:
    """Make the copy of such a file, which is sound XML, a collection of features whose geometry names its system.

    Raises
    ------
    InvalidData : it states no system, or one that is none of Japan's geographic ones.
    """
    with copy.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as source:
        result, done = copy.with_name("collection"), 0
        with result.open("wb") as target:
            for change in _changes(path, source):
                target.write(source[done : change.start])
                target.write(change.text)
                done = change.end
            target.write(source[done:])
    result.replace(copy)


def _changes(path: Path, text: mmap) -> list[_Change]:
    """Return what to put in the place of which bytes."""
    parser = expat.ParserCreate(namespace_separator=" ")
    changes: list[_Change] = []
    depth = 0
    system: bytes | None = None

    def name_at(place: int) -> tuple[int, int]:
        found = _NAME.match(text, place)
        assert found is not None  # the parser has seen that a tag is there
        return found.span(1)

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, system
        depth += 1
        if depth == 1:
            changes.append(_Change(*name_at(parser.CurrentByteIndex), b"FeatureCollection"))
        if system is None and "Envelope" in name:
            system = _system(path, attributes.get("srsName", ""))
        if depth != 2:
            return
        changes.append(_Change(parser.CurrentByteIndex, parser.CurrentByteIndex, b"<%b>" % _around(name)))
        if is_geometry_name(name):
            after = name_at(parser.CurrentByteIndex)[1]
            changes.append(_Change(after, after, _named(path, system)))

    def end(name: str) -> None:
        nonlocal depth
        if depth == 1:
            changes.append(_Change(*name_at(parser.CurrentByteIndex), b"FeatureCollection"))
        elif depth == 2:
            after = text.find(b">", parser.CurrentByteIndex) + 1
            changes.append(_Change(after, after, b"</%b>" % _around(name)))
        depth -= 1

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.Parse(text, True)
    return changes


def _around(name: str) -> bytes:
    """Return the element to put around a child of the root: what GDAL takes for a feature, or passes over."""
    return b"featureMember" if name.startswith(_NAMESPACE) else b"boundedBy"


def _system(path: Path, stated: str) -> bytes:
    found = _STATED.fullmatch(stated)
    code = None if found is None else _SYSTEMS.get(found[1])
    if code is None:
        known = ", ".join(f"{name} / (B, L)" for name in _SYSTEMS)
        raise InvalidData(f"{path}: states the system {stated!r}, expected one of {known}; {_WAY_OUT}")
    return f' srsName="urn:ogc:def:crs:EPSG::{code}"'.encode()


def _named(path: Path, system: bytes | None) -> bytes:
    if system is None:
        raise InvalidData(f"{path}: states no coordinate system before its geometry; {_WAY_OUT}")
    return system
