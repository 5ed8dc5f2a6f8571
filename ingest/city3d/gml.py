"""Geometry of GML, 3.1 and 3.2, as City Objects have it: vertices with numbers, boundaries, meanings of surfaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Element = Any  # lxml ships no type information

GML = ("http://www.opengis.net/gml", "http://www.opengis.net/gml/3.2")
_HREF = "{http://www.w3.org/1999/xlink}href"
_POLYGONS = frozenset({"Polygon", "Triangle", "Rectangle", "PolygonPatch"})
_CURVES = frozenset({"LineString", "LineStringSegment"})
_SOLIDS = frozenset({"Solid"})
_SHELLS = ("exterior", "interior")
# References are followed so deep: an OrientableSurface of a surface of another, and no circle.
_MAX_DEPTH = 16

Ring = list[int]


def local(element: Element) -> str:
    """Return the name of an element without its namespace, "" for comments and instructions."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def namespace(element: Element) -> str:
    """Return the namespace of an element, "" without."""
    return element.tag[1:].rpartition("}")[0] if isinstance(element.tag, str) else ""


def identity(element: Element) -> str | None:
    """Return the gml:id of an element, None without."""
    return next((element.get(f"{{{uri}}}id") for uri in GML if element.get(f"{{{uri}}}id") is not None), None)


class Shapes:
    """Turns the geometry elements of one city object into boundaries over its own list of vertices.

    Parameters
    ----------
    member : the city object, in which references (`xlink:href="#id"`) are looked up
    dimension : of positions that do not say theirs
    swap : positions have y before x
    """

    def __init__(self, member: Element, dimension: int, *, swap: bool) -> None:
        self._member = member
        self._dimension = dimension
        self._swap = swap
        self._ids: dict[str, Element] | None = None
        self._numbers: dict[tuple[float, float, float], int] = {}
        self.missing = 0

    @property
    def vertices(self) -> list[tuple[float, float, float]]:
        """Return the vertices in the order of their numbers."""
        return list(self._numbers)

    def polygons(self, element: Element, depth: int = 0) -> Iterator[tuple[Element, bool]]:
        """Yield the polygons below an element, and whether each is meant the other way round."""
        for child in element:
            name = local(child)
            if name in _POLYGONS:
                yield child, False
            elif child.get(_HREF) is not None:
                target = self._target(child.get(_HREF))
                if target is None or depth > _MAX_DEPTH:
                    self.missing += 1
                elif local(target) in _POLYGONS:
                    yield target, False
                else:
                    yield from self._turned(target, depth)
            elif name:
                yield from self._turned(child, depth)

    def surface(self, polygon: Element, *, turned: bool = False) -> list[Ring]:
        """Return the rings of a polygon, the outer one first."""
        rings = [self._ring(line) for line in polygon.iter() if local(line) in ("LinearRing", "Ring")]
        return [ring[::-1] for ring in rings] if turned else rings

    def surfaces(self, element: Element) -> list[tuple[Element, list[Ring]]]:
        """Return the polygons below an element with their rings, those without rings left out."""
        found = [(polygon, self.surface(polygon, turned=turned)) for polygon, turned in self.polygons(element)]
        return [(polygon, rings) for polygon, rings in found if rings]

    def solids(self, element: Element) -> list[list[list[tuple[Element, list[Ring]]]]]:
        """Return the solids below an element, each as its shells, each as its surfaces."""
        solids = [one for one in element.iter() if local(one) in _SOLIDS]
        return [[self.surfaces(side) for side in solid if local(side) in _SHELLS] for solid in solids]

    def lines(self, element: Element) -> list[Ring]:
        """Return the lines below an element."""
        return [self._positions(one) for one in element.iter() if local(one) in _CURVES]

    def points(self, element: Element) -> list[int]:
        """Return the points below an element."""
        return [n for one in element.iter() if local(one) == "Point" for n in self._positions(one)]

    def _turned(self, element: Element, depth: int) -> Iterator[tuple[Element, bool]]:
        backwards = local(element) == "OrientableSurface" and element.get("orientation") == "-"
        for polygon, turned in self.polygons(element, depth + 1):
            yield polygon, turned != backwards

    def _target(self, href: str) -> Element | None:
        if self._ids is None:
            self._ids = {name: one for one in self._member.iter() if (name := identity(one)) is not None}
        return self._ids.get(href[1:]) if href.startswith("#") else None

    def _ring(self, ring: Element) -> Ring:
        numbers = self._positions(ring)
        return numbers[:-1] if len(numbers) > 1 and numbers[0] == numbers[-1] else numbers

    def _positions(self, element: Element) -> list[int]:
        numbers: list[int] = []
        for one in element.iter():
            name = local(one)
            if name in ("posList", "pos"):
                values = [float(text) for text in (one.text or "").split()]
                dimension = self._dimension_of(one)
            elif name == "coordinates":  # GML 2: tuples between blanks, values between commas
                tuples = [text.split(",") for text in (one.text or "").split()]
                values = [float(value) for tuple_ in tuples for value in tuple_]
                dimension = len(tuples[0]) if tuples else 3
            else:
                continue
            if dimension not in (2, 3) or len(values) % dimension:
                raise ValueError(f"{len(values)} values are no positions of {dimension}")
            numbers += [self._number(values[i : i + dimension]) for i in range(0, len(values), dimension)]
        return numbers

    def _dimension_of(self, element: Element) -> int:
        while element is not None and element is not self._member:
            if element.get("srsDimension") is not None:
                return int(element.get("srsDimension"))
            element = element.getparent()
        return self._dimension

    def _number(self, position: list[float]) -> int:
        x, y = (position[1], position[0]) if self._swap else (position[0], position[1])
        point = (x, y, position[2] if len(position) == 3 else 0.0)
        return self._numbers.setdefault(point, len(self._numbers))
