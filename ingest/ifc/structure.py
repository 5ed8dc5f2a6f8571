"""The spatial tree of a model: which storeys, spaces and products belong to which building."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ingest.ifc.geometry import is_fabric
from ingest.ifc.properties import attribute

_BEARING = ("IfcWall", "IfcColumn", "IfcBeam", "IfcSlab")


@dataclass(slots=True)
class StoreyNode:
    """An IfcBuildingStorey with its own spaces and products."""

    entity: Any
    spaces: list[Any] = field(default_factory=list)
    products: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class BuildingNode:
    """An IfcBuilding with all below it; a building nested in it is a building of its own."""

    entity: Any
    site: Any | None
    storeys: list[StoreyNode] = field(default_factory=list)
    spaces: list[Any] = field(default_factory=list)
    products: list[Any] = field(default_factory=list)

    def rooms(self) -> list[Any]:
        """Return every space of the building."""
        return [*self.spaces, *(space for storey in self.storeys for space in storey.spaces)]

    def bearing(self) -> list[Any]:
        """Return the walls, columns, beams and slabs of the building."""
        return [product for product in self.fabric() if any(product.is_a(name) for name in _BEARING)]

    def fabric(self) -> list[Any]:
        """Return every product of the building that has to do with its shape."""
        products = [*self.products, *(product for storey in self.storeys for product in storey.products)]
        return [product for product in products if is_fabric(product)]


def buildings(model: Any) -> list[BuildingNode]:
    """Return the buildings of a model in the order of the file, each with its part of the spatial tree."""
    return [_building(entity) for entity in model.by_type("IfcBuilding")]


def _building(entity: Any) -> BuildingNode:
    node = BuildingNode(entity, _ancestor(entity, "IfcSite"))
    seen = {entity.id()}
    _walk(entity, node, node, seen)
    return node


def _walk(entity: Any, building: BuildingNode, holder: BuildingNode | StoreyNode, seen: set[int]) -> None:
    for product in _contained(entity):
        holder.products.extend(_with_parts(product, seen))
    for part in _parts(entity):
        if part.id() in seen or part.is_a("IfcBuilding"):
            continue
        seen.add(part.id())
        if part.is_a("IfcBuildingStorey"):
            storey = StoreyNode(part)
            building.storeys.append(storey)
            _walk(part, building, storey, seen)
        else:
            if part.is_a("IfcSpace"):
                holder.spaces.append(part)
            _walk(part, building, holder, seen)


def _with_parts(product: Any, seen: set[int]) -> Iterator[Any]:
    if product.id() in seen:
        return
    seen.add(product.id())
    yield product
    for part in _parts(product):
        yield from _with_parts(part, seen)


def _contained(entity: Any) -> Iterator[Any]:
    for relation in getattr(entity, "ContainsElements", ()):
        yield from relation.RelatedElements


def _parts(entity: Any) -> Iterator[Any]:
    for inverse in ("IsDecomposedBy", "IsNestedBy"):
        for relation in attribute(entity, inverse) or ():
            yield from relation.RelatedObjects


def _ancestor(entity: Any, kind: str) -> Any | None:
    # A federation may be linked in a ring; no tree of sites and buildings is this deep.
    for _ in range(32):
        relations = getattr(entity, "Decomposes", ())
        if not relations:
            return None
        entity = relations[0].RelatingObject
        if entity is None or entity.is_a(kind):
            return entity
    return None
