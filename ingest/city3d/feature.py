"""One city object with all that belongs to it, between the file it comes from and the records we make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pyproj
from numpy.typing import NDArray

from cim import crs as systems

# Millimetres, and a tenth of a millimetre on the equator: how finely files of ours keep coordinates.
METRIC_UNIT = 0.001
DEGREE_UNIT = 1e-9

# City objects whose bodies are a building: itself and its parts. What hangs on or stands in it has no footprint.
BUILDING = "Building"
BODIES = frozenset({"Building", "BuildingPart"})
# What comes of following numbers and lists that are not what the type of a geometry says.
NO_SENSE = (AttributeError, IndexError, KeyError, TypeError, ValueError)
# How deep the rings lie in the boundaries of a geometry (OGC 20-072r5, 3.2); a ring is a list of vertex numbers.
DEPTHS: Mapping[str, int] = {
    "MultiPoint": 0,
    "MultiLineString": 1,
    "MultiSurface": 2,
    "CompositeSurface": 2,
    "Solid": 3,
    "MultiSolid": 4,
    "CompositeSolid": 4,
}

Ring = list[int]
Surface = list[Ring]
CityObject = dict[str, Any]
Vertices = Sequence[Sequence[float]] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Frame:
    """What the coordinates of a file mean: coordinate = vertex × scale + translate, in `system` (None: not stated).

    `crs` is the horizontal part of the system, x before y; `height_system` names the vertical part, None where it
    has none.
    """

    scale: tuple[float, float, float]
    translate: tuple[float, float, float]
    system: pyproj.CRS | None = None
    crs: pyproj.CRS | None = None
    height_system: str | None = None

    @property
    def units(self) -> tuple[float, float, float]:
        """Return the grid of files of ours on the three axes, in the units of the CRS."""
        flat = DEGREE_UNIT if self.crs is not None and self.crs.is_geographic else METRIC_UNIT
        return flat, flat, METRIC_UNIT


@dataclass(frozen=True, slots=True)
class Feature:
    """One object nobody else is part of (`id`), and its parts, by their ids, as City Objects of CityJSON.

    `vertices` may hold more than the objects use; they are numbers of the file's `Frame`. The materials and textures of
    the objects are numbers of `appearance`.
    """

    id: str
    objects: Mapping[str, CityObject]
    vertices: Vertices
    appearance: Mapping[str, Any] | None = None

    @property
    def root(self) -> CityObject:
        """Return the object itself."""
        return self.objects[self.id]


@dataclass
class Notes:
    """What is to be said about a file once it is read: sentences, each once, with how often it holds."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, sentence: str, count: int = 1) -> None:
        """Count one more case of a sentence; its `{n}` becomes their number."""
        self.counts[sentence] = self.counts.get(sentence, 0) + count

    def sentences(self) -> list[str]:
        """Return the sentences in the order in which they first came."""
        # No format string: the names of objects in them may have braces.
        return [sentence.replace("{n}", f"{count:,}") for sentence, count in self.counts.items()]


def frame(scale: Sequence[float], translate: Sequence[float], system: pyproj.CRS | None) -> Frame:
    """Return the frame of a file; the vertical part of its CRS is named and set aside."""
    x, y, z = (float(value) for value in scale)
    east, north, up = (float(value) for value in translate)
    if system is None:
        return Frame((x, y, z), (east, north, up))
    flat = systems.horizontal(system)
    return Frame((x, y, z), (east, north, up), system, flat, systems.vertical(system))


def lod_of(geometry: Mapping[str, Any]) -> str:
    """Return the level of detail as text ("2", "2.2"), which CityJSON 1.0 gives as a number; "" where it is missing."""
    lod = geometry.get("lod")
    return "" if lod is None else f"{lod:g}" if isinstance(lod, int | float) else str(lod)


def surfaces(geometry: Mapping[str, Any]) -> list[Surface]:
    """Return the surfaces of a geometry, those of all its shells one after another; points and lines have none."""
    depth = DEPTHS[geometry["type"]]
    boundaries: list[Any] = geometry["boundaries"]
    for _ in range(depth - 2):  # shells of solids, solids of several
        boundaries = list(chain.from_iterable(boundaries))
    return boundaries if depth >= 2 else []


def of_type(geometry: Mapping[str, Any], *kinds: str) -> list[list[Surface]]:
    """Return, for each of the types, the surfaces that the semantics of a geometry give it."""
    semantics = geometry.get("semantics") or {}
    types = [surface.get("type") for surface in semantics.get("surfaces") or ()]
    values, boundaries = semantics.get("values"), geometry["boundaries"]
    if values is None or not types:
        return [[] for _ in kinds]
    for _ in range(DEPTHS[geometry["type"]] - 2):
        values = [v for group, b in zip(values, boundaries, strict=True) for v in group or [None] * len(b)]
        boundaries = list(chain.from_iterable(boundaries))
    pairs = list(zip(boundaries, values, strict=True))
    wanted = [{number for number, one in enumerate(types) if one == kind} for kind in kinds]
    return [[surface for surface, value in pairs if value in numbers] for numbers in wanted]


def rings(geometry: Mapping[str, Any]) -> list[Ring]:
    """Return the lists of vertex numbers of a geometry: rings, lines, or its points as one list."""
    boundaries: list[Any] = geometry["boundaries"]
    depth = DEPTHS[geometry["type"]]
    if depth == 0:
        return [boundaries]
    for _ in range(depth - 1):
        boundaries = list(chain.from_iterable(boundaries))
    return boundaries
