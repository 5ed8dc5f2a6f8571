"""Objects in three dimensions, as CityJSON has them: bodies as they were delivered, else blocks and footprints.

A building whose body lies in the file store in the storage CRS keeps it. Of any other the footprint is given, and where
its height is known the block of that height upon it. Ground whose elevation is not known lies at 0. Of a building of
several solids each is a part: CityJSON knows no building that is a MultiSolid.

Source
------
OGC 20-072r5, CityJSON Community Standard 2.0.1. https://www.cityjson.org/specs/2.0.1/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import shapely
from shapely.geometry.polygon import orient

from api.formats import Layer
from cim.bodies import CITYJSON, named_in, read_body
from cim.dictionary import FeatureType
from cim.errors import NotFound

# Of ours, the types that CityJSON knows.
KINDS: Mapping[str, str] = {
    "building": "Building",
    "component": "CityFurniture",
    "green_space": "PlantCover",
    "parcel": "LandUse",
    "road": "Road",
}
_SCALE = 0.001  # storage snaps to 1 mm
_SURFACES = [{"type": "GroundSurface"}, {"type": "RoofSurface"}, {"type": "WallSurface"}]
Point = tuple[int, int, int]


def known(feature_type: FeatureType) -> bool:
    """Return whether CityJSON knows a type."""
    return feature_type.name in KINDS


def head(layer: Layer) -> dict[str, Any]:
    """Return the members that say what coordinates mean, and of which state the objects are."""
    return {
        "type": "CityJSON",
        "version": "2.0",
        "transform": {"scale": [_SCALE] * 3, "translate": [0.0] * 3},
        "metadata": {
            "referenceSystem": _reference(layer),
            "title": f"{layer.feature_type.title} at tree size {layer.state.size}",
        },
    }


def _reference(layer: Layer) -> str:
    return f"https://www.opengis.net/def/crs/EPSG/0/{layer.reference.srid}"


@dataclass(slots=True)
class Shape:
    """City Objects by their id with the vertices they name, in millimetres."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    vertices: list[list[int]] = field(default_factory=list)
    _numbers: dict[Point, int] = field(default_factory=dict)

    def number(self, x: float, y: float, z: float) -> int:
        """Return the number of a vertex at a place in metres."""
        place = (round(x / _SCALE), round(y / _SCALE), round(z / _SCALE))
        found = self._numbers.setdefault(place, len(self.vertices))
        if found == len(self.vertices):
            self.vertices.append(list(place))
        return found


def shapes(layer: Layer) -> Iterator[tuple[str, Shape]]:
    """Yield each object of a layer with its code."""
    for batch in layer.stream:
        for row in batch.to_pylist():
            code, geom = row.pop("code"), row.pop("geom", None)
            properties = {name: value for name, value in row.items() if value is not None}
            if "attributes" in properties:
                properties["attributes"] = orjson.loads(properties["attributes"])
            shape = _delivered(layer, code, properties) or _made(layer, code, properties, geom)
            _part(shape.objects)
            yield code, shape


def _part(objects: dict[str, dict[str, Any]]) -> None:
    """Make a part of each of several solids of a building, or parts beside it where it is one itself."""
    for name, one in list(objects.items()):
        several = [geometry for geometry in one.get("geometry", ()) if geometry["type"] == "MultiSolid"]
        if not several or one["type"] not in ("Building", "BuildingPart"):
            continue
        one["geometry"] = [geometry for geometry in one["geometry"] if geometry["type"] != "MultiSolid"]
        parents = [name] if one["type"] == "Building" else one["parents"]
        for number in range(max(len(geometry["boundaries"]) for geometry in several)):
            solids = [_solid(geometry, number) for geometry in several if number < len(geometry["boundaries"])]
            part = f"{name}/solid-{number + 1}"
            objects[part] = {"type": "BuildingPart", "parents": parents, "geometry": solids}
            for parent in parents:
                objects[parent].setdefault("children", []).append(part)


def _solid(several: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return one of several solids."""
    one = {"type": "Solid", "lod": several["lod"], "boundaries": several["boundaries"][number]}
    semantics = several.get("semantics")
    if semantics is not None:
        values = semantics["values"]
        one["semantics"] = {**semantics, "values": None if values is None else values[number]}
    return one


def _delivered(layer: Layer, code: str, properties: dict[str, Any]) -> Shape | None:
    """Return the body that was delivered; None where there is none in the storage CRS."""
    digest = next((digest for kind, digest in named_in(properties) if kind is CITYJSON), None)
    if digest is None:
        return None
    try:
        first, second = read_body(layer.site.city.settings.files_dir, digest).content.splitlines()[:2]
    except NotFound:  # a store that lost it still has the footprint beside it
        return None
    said, feature = orjson.loads(first), orjson.loads(second)
    transform = {"scale": [_SCALE] * 3, "translate": [0.0] * 3}
    if said.get("metadata", {}).get("referenceSystem") != _reference(layer) or said["transform"] != transform:
        return None
    names = {name: code if name == feature["id"] else f"{code}/{name}" for name in feature["CityObjects"]}
    objects = {}
    for name, one in feature["CityObjects"].items():
        for relation in ("parents", "children"):
            if relation in one:
                one[relation] = [names[other] for other in one[relation] if other in names]
        for geometry in one.get("geometry", ()):
            for look in ("material", "texture"):  # numbers of lists that each body has of its own
                geometry.pop(look, None)
        objects[names[name]] = one
    objects[code] = {**objects[code], "attributes": properties}
    return Shape(objects, feature["vertices"])


def _made(layer: Layer, code: str, properties: dict[str, Any], geom: bytes | None) -> Shape:
    shape = Shape()
    one: dict[str, Any] = {"type": KINDS[layer.feature_type.name], "attributes": properties}
    if geom is not None:
        one["geometry"] = [_geometry(shape, shapely.from_wkb(geom), properties)]
    shape.objects[code] = one
    return shape


def _geometry(shape: Shape, geometry: Any, properties: Mapping[str, Any]) -> dict[str, Any]:
    ground, height = properties.get("ground_elevation", 0.0), properties.get("height")
    parts: list[Any] = [
        orient(part) if part.geom_type == "Polygon" else part for part in getattr(geometry, "geoms", [geometry])
    ]
    kind = parts[0].geom_type
    if kind == "Point":
        return {"type": "MultiPoint", "lod": "0", "boundaries": [shape.number(p.x, p.y, ground) for p in parts]}
    if kind == "LineString":
        lines = [[shape.number(x, y, ground) for x, y in part.coords] for part in parts]
        return {"type": "MultiLineString", "lod": "0", "boundaries": lines}
    if not height:
        surfaces = [_rings(shape, part, ground) for part in parts]
        return {"type": "MultiSurface", "lod": "0", "boundaries": surfaces}
    shells = [_shell(shape, part, ground, ground + height) for part in parts]
    values = [[0, 1] + [2] * (len(shell) - 2) for shell in shells]
    if len(shells) == 1:
        semantics = {"surfaces": _SURFACES, "values": values}
        return {"type": "Solid", "lod": "1", "boundaries": shells, "semantics": semantics}
    semantics = {"surfaces": _SURFACES, "values": [[value] for value in values]}
    return {"type": "MultiSolid", "lod": "1", "boundaries": [[shell] for shell in shells], "semantics": semantics}


def _rings(shape: Shape, polygon: Any, z: float) -> list[list[int]]:
    """Return the rings of a polygon seen from above, the outer one against the clock; none repeats its beginning."""
    rings = (polygon.exterior, *polygon.interiors)
    return [[shape.number(x, y, z) for x, y in ring.coords[:-1]] for ring in rings]


def _shell(shape: Shape, polygon: Any, low: float, high: float) -> list[list[list[int]]]:
    """Return the surfaces of a block, each seen from outside against the clock: ground, roof, walls."""
    ground, roof = _rings(shape, polygon, low), _rings(shape, polygon, high)
    walls = [
        [[below[at - 1], below[at], above[at], above[at - 1]]]
        for below, above in zip(ground, roof, strict=True)
        for at in range(len(below))
    ]
    return [[ring[::-1] for ring in ground], roof, *walls]
