"""Geometry of GML that is a link to another element of the file (`xlink:href="#id"`): what it leads to is put there.

Links to anything else, on the network or in other files, are never followed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from cim.errors import InvalidData

_HREF = "http://www.w3.org/1999/xlink href"
# The last is the address of its schemas, by which some files of Japan's call it.
_GML = ("http://www.opengis.net/gml ", "http://www.opengis.net/gml/3.2 ", "http://schemas.opengis.net/gml/3.2.1 ")
_IDS = tuple(f"{namespace}id" for namespace in _GML)
_GEOMETRY = re.compile(
    r"(Oriented|Orientable|Composite)?(Point|Curve|Surface|Solid)|LineString|LinearRing|Polygon|Ring|PolyhedralSurface"
    r"|(Multi|Composite)(Point|LineString|Curve|Polygon|Surface|Solid|Geometry)|GeometricComplex|Tin|TriangulatedSurface"
)
# What holds geometry in GML itself, as properties of features do elsewhere.
_HOLDER = re.compile(
    r"(point|lineString|curve|polygon|surface|solid|geometry|multi\w+)(Members?|Property)|base(Curve|Surface)|(ex|in)terior"
)
_SUSPECT = re.compile(rb"href\s*=")
_TAG = re.compile(rb"""<(?:"[^"]*"|'[^']*'|[^>"'])*>""")
_NOTHING = re.compile(rb"\s*</[^>]*>")
_NAME = re.compile(rb"<([^\s/>]+)")
_ATTRIBUTE = re.compile(rb"""\s[^\s:=]+:href\s*=\s*(?:"[^"]*"|'[^']*')""")
# Parts of parts: a surface of rings of curves; and shared boundaries, which are put in twice or a little more often.
_MAX_DEPTH = 16
_MAX_GROWTH = 16
_SMALL = 1 << 20


class _Link(NamedTuple):
    """An element without content that is a link: its name, what it leads to, and where it stands in the file."""

    name: str
    href: str
    start: int
    end: int


class _Place(NamedTuple):
    start: int
    end: int


def follow(path: Path, copy: Path) -> list[str]:
    """Put into the copy of a GML file, which is sound XML, what links lead to; return sentences for the report.

    Raises
    ------
    InvalidData : what links lead to would make it many times as large.
    """
    with copy.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as text:
        if _SUSPECT.search(text) is None:
            return []
        links, holders = _links(text)
        shapes = _shapes(text, {link.href[1:] for link in links if link.href.startswith("#")})
        holders |= {link.name for link in links if link.href[1:] in shapes}
        linked = _Linked(text, links, shapes)
        most = max(_MAX_GROWTH * len(text), _SMALL)
        result = copy.with_name("followed")
        with result.open("wb") as target:
            for piece in linked.pieces(_Place(0, len(text))):
                target.write(piece)
                if target.tell() > most:
                    raise InvalidData(f"{path}: its links make it more than {_MAX_GROWTH} times as large; resolve them")
    result.replace(copy)
    lost = [link.href for link in links if link in linked.lost and link.name in holders]
    return [f"geometry that is a link out of the file, or to none in it: {len(lost):,}, as {lost[0]!r}"] if lost else []


class _Linked:
    """A text with what its links lead to in their place; `lost` are the links that lead to no geometry of it."""

    def __init__(self, text: mmap, links: list[_Link], shapes: dict[str, _Place]) -> None:
        self._text = text
        self._links = links
        self._shapes = shapes
        self.lost: set[_Link] = set()

    def pieces(self, place: _Place, within: tuple[str, ...] = ()) -> Iterator[bytes]:
        """Yield a part of the text, which lies within these shapes."""
        done = place.start
        first, beyond = (bisect_left(self._links, where, key=attrgetter("start")) for where in place)
        for link in self._links[first:beyond]:
            identity = link.href[1:]
            shape = self._shapes.get(identity) if link.href.startswith("#") else None
            if shape is None or identity in within or len(within) == _MAX_DEPTH:
                self.lost.add(link)
                continue
            yield from self._slices(done, link.start)
            tag = _match(_TAG, self._text, link.start)[0]
            yield _ATTRIBUTE.sub(b"", tag).rstrip(b"/>") + b">"
            yield from self.pieces(shape, (*within, identity))
            yield b"</" + _match(_NAME, tag, 0)[1] + b">"
            done = link.end
        yield from self._slices(done, place.end)

    def _slices(self, start: int, end: int) -> Iterator[bytes]:
        for first in range(start, end, _SMALL):
            yield self._text[first : min(first + _SMALL, end)]


def _links(text: mmap) -> tuple[list[_Link], set[str]]:
    """Return the elements that are but a link, in their order, and the names of elements that hold geometry."""
    parser = expat.ParserCreate(namespace_separator=" ")
    found: list[_Link] = []
    above: list[str] = [""]
    holders: set[str] = set()

    def begin(name: str, attributes: dict[str, str]) -> None:
        if is_geometry_name(name):
            holders.add(above[-1])
        above.append(name)
        href = attributes.get(_HREF)
        if href is None:
            return
        start = parser.CurrentByteIndex
        tag = _match(_TAG, text, start)
        closing = tag if tag[0].endswith(b"/>") else _NOTHING.match(text, tag.end())
        if closing is not None:
            found.append(_Link(name, href, start, closing.end()))

    def end(_: str) -> None:
        above.pop()

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.Parse(text, True)
    return found, holders | {link.name for link in found if _HOLDER.fullmatch(_of_gml(link.name))}


def _shapes(text: mmap, wanted: set[str]) -> dict[str, _Place]:
    """Return where the geometries of these ids stand."""
    parser = expat.ParserCreate(namespace_separator=" ")
    found: dict[str, _Place] = {}
    open_: list[tuple[str | None, int]] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        identity = next((attributes[key] for key in _IDS if key in attributes), None)
        sought = identity in wanted and is_geometry_name(name)
        open_.append((identity if sought else None, parser.CurrentByteIndex if sought else 0))

    def end(_: str) -> None:
        identity, start = open_.pop()
        if identity is not None:
            found.setdefault(identity, _Place(start, _match(_TAG, text, parser.CurrentByteIndex).end()))

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.Parse(text, True)
    return found


def _of_gml(name: str) -> str:
    """Return the name of an element of GML, without its namespace; "" for any other."""
    namespace, _, local = name.rpartition(" ")
    return local if f"{namespace} " in _GML else ""


def is_geometry_name(name: str) -> bool:
    """Tell whether an element of this name, its namespace before it, is geometry of GML."""
    return _GEOMETRY.fullmatch(_of_gml(name)) is not None


def _match(pattern: re.Pattern[bytes], text: mmap | bytes, place: int) -> re.Match[bytes]:
    found = pattern.match(text, place)
    assert found is not None  # the parser has seen that an element is there
    return found
