"""What a model says about its buildings, storeys, spaces and units: records in the dictionary's columns.

Nothing is placed yet: outlines are in metres in the coordinates of the model. Whatever the dictionary has no
column for goes to `attributes`. Persons named in the model (authors, owners) are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from ingest.footprint import Roof, Triangles, room
from ingest.ifc import properties
from ingest.ifc.drawing import Drawing, Outside, Subject, draw_all
from ingest.ifc.dwellings import Room, units_of
from ingest.ifc.geometry import Meshes, mesh
from ingest.ifc.meaning import room_use_of, storey_use_of, structure_of, usage_of, year_of
from ingest.ifc.properties import Units, text
from ingest.ifc.storeys import Floor, levels
from ingest.ifc.structure import BuildingNode, StoreyNode

# Names under which models carry the official code of a building.
CODE_PROPERTIES = ("BuildingCode", "不动产单元代码", "不动产单元号", "BDCDYH", "UnitCode")
# What the versions of the standard, and the tools, call the area of the footprint.
FOOTPRINT_QUANTITIES = ("FootPrintArea", "FootprintArea", "GrossFootprintArea")
# Heights of the roof over each part of a footprint, metres above the ground; the third is that of an LoD1 block.
_ROOF_HEIGHTS = ("roof_lowest", "roof_middle", "roof_p70", "roof_highest")
# Storeys at least this high count with their whole area, metres.
FULL_HEIGHT = 2.2
# So many elements are named in a warning.
_NAMED = 3
# No building is so large, metres: what lies farther off than this is astray (design).
_ASTRAY = 2000.0
# An area that is so many times another, or one in so many of it, is in another unit: mm², cm², square feet.
_OTHER_UNITS = (1e6, 1e4, 1 / 0.3048**2)


@dataclass(slots=True)
class Record:
    """One object of a model: dictionary columns, attributes, outline or point (metres, model coordinates) or None.

    `building` is the index of its building among the records of buildings; `codes` are values found where
    models carry official codes, with the place they were found in. Buildings have a `roof`, a `shell` (the triangles
    that can be reached from outdoors) and the height of the `ground`, metres in model coordinates.
    """

    source_id: str
    parent: str | None
    building: int
    columns: dict[str, Any]
    attributes: dict[str, Any]
    outline: shapely.Geometry | None = None
    roof: Roof | None = None
    shell: Triangles | None = None
    codes: list[tuple[str, str]] = field(default_factory=list)
    ground: float = 0.0


@dataclass(slots=True)
class Content:
    """All records of a model and what has to be said about them."""

    buildings: list[Record] = field(default_factory=list)
    storeys: list[Record] = field(default_factory=list)
    spaces: list[Record] = field(default_factory=list)
    units: list[Record] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_content(
    model: Any, nodes: list[BuildingNode], units: Units, code_property: str | None = None, cores: int = 1
) -> Content:
    """Read every building of an open model.

    Parameters
    ----------
    model : ifcopenshell.file
    nodes : its buildings
    units : of the model's project
    code_property : name of the property that holds a building's official code, where it is none of the usual
        ones
    cores : how many processes may mesh its products side by side
    """
    content = Content()
    building_ids = properties.unique(node.entity.GlobalId for node in nodes)
    products = [product for node in nodes for product in (*node.fabric(), *node.rooms())]
    meshes = mesh(model, products, units.length, cores=cores)
    readers = [
        _Reader(units, content, meshes, node, source_id, index, code_property)
        for index, (node, source_id) in enumerate(zip(nodes, building_ids, strict=True))
    ]
    drawn = draw_all([reader.subject() for reader in readers], cores)
    for reader, drawing in zip(readers, drawn, strict=True):
        reader.read(drawing)
    listed = zip(readers, content.buildings, strict=True)
    bare = sum(bool(reader.storeys) and "storeys_above" not in record.columns for reader, record in listed)
    if bare:
        content.warnings.append(f"buildings none of whose storeys one can stand on: {bare} of {len(readers)}")
    repeated = sum(1 for r in (*content.buildings, *content.storeys, *content.spaces) if "#" in r.source_id)
    if repeated:
        content.warnings.append(f"objects with the GlobalId of another, told apart by a counter: {repeated}")
    return content


@dataclass(slots=True)
class _Reader:
    """Reads one building into `content`."""

    units: Units
    content: Content
    meshes: Meshes
    node: BuildingNode
    source_id: str
    index: int
    code_property: str | None
    storeys: list[StoreyNode] = field(default_factory=list)
    astray: set[int] = field(default_factory=set)

    def subject(self) -> Subject:
        """Return what there is to draw of the building; from now on, its storeys are in the order of their levels."""
        listed = levels(self.node.storeys, self.units.length)
        self.storeys = [node for node, _ in listed]
        found = self.meshes.triangles
        bodies = {p.id(): found[p.id()] for p in self.node.fabric() if p.id() in found}
        self.astray = _astray(bodies)
        near = [body for key, body in bodies.items() if key not in self.astray]
        return Subject(near, [level for _, level in listed])

    def read(self, drawing: Drawing) -> None:
        self._report_faults()
        built = drawing.floors
        building = self._building(drawing)
        self.content.buildings.append(building)
        storey_ids = properties.unique(f"{self.source_id}/{storey.entity.GlobalId}" for storey in self.storeys)
        spaces: list[tuple[Any, str]] = [(space, self.source_id) for space in self.node.spaces]
        for storey, floor, storey_id in zip(self.storeys, built, storey_ids, strict=True):
            self.content.storeys.append(self._storey(storey.entity, floor, storey_id))
            spaces.extend((space, storey_id) for space in storey.spaces)
        space_ids = properties.unique(f"{self.source_id}/{space.GlobalId}" for space, _ in spaces)
        numbers = dict(zip(storey_ids, (floor.number for floor in built), strict=True))
        rooms = []
        for (space, parent), space_id in zip(spaces, space_ids, strict=True):
            record = self._space(space, space_id, parent)
            self.content.spaces.append(record)
            rooms.append(Room(space, numbers.get(parent), record.columns["net_floor_area"], record.outline))
        self._fill_uses()
        for unit in units_of(rooms):
            source_id = f"{self.source_id}/{unit.entity.GlobalId}"
            record = Record(source_id, self.source_id, self.index, unit.columns, unit.attributes, unit.point)
            self.content.units.append(record)
        self._fill_areas(building, built)

    def _label(self) -> str:
        return f"building {text(self.node.entity.Name) or self.source_id!r}"

    def _report_faults(self) -> None:
        """Report what no kernel meshed, and what one ended badly on."""
        products = self.node.fabric()
        for said, ids in (
            ("meshed by no kernel, boxes taken", self.meshes.boxed),
            ("without usable geometry, left out", self.meshes.missing),
            ("on which a geometry kernel ended badly", self.meshes.faults),
            (f"more than {_ASTRAY / 1000:.0f} km from the others, left out", self.astray),
        ):
            concerned = [p for p in (*products, *self.node.rooms()) if p.id() in ids]
            if concerned:
                named = ", ".join(f"{p.is_a()} {p.GlobalId}" for p in concerned[:_NAMED])
                more = f" and {len(concerned) - _NAMED} more" if len(concerned) > _NAMED else ""
                how = sorted({self.meshes.faults[p.id()] for p in concerned if p.id() in self.meshes.faults})
                why = f" ({'; '.join(how)})" if how else ""
                self.content.warnings.append(f"{self._label()}: elements {said}{why}: {named}{more}")

    def _building(self, drawing: Drawing) -> Record:
        entity = self.node.entity
        sets = properties.property_sets(entity)
        record = self._record(entity, self.source_id, None, sets)
        columns, attributes = record.columns, record.attributes
        columns["name"] = text(entity.Name) or text(entity.LongName)
        columns["address"] = properties.address(entity.BuildingAddress) or properties.address(
            getattr(self.node.site, "SiteAddress", None)
        )
        occupancy = text(properties.find_property(sets, "OccupancyType"))
        columns["usage"] = usage_of(occupancy)
        columns["year_built"] = year_of(properties.find_property(sets, "YearOfConstruction"))
        columns["year_renovated"] = year_of(properties.find_property(sets, "YearOfLastRefurbishment"))
        numbered = {floor.number for floor in drawing.floors if floor.number is not None}
        if numbered:
            columns["storeys_above"] = sum(1 for number in numbered if number > 0)
            columns["storeys_below"] = sum(1 for number in numbered if number < 0)
        used = self._materials()
        columns["structure"] = structure_of(used.elements())
        attributes["materials"] = dict(sorted(used.items()))
        record.codes = self._codes(entity, sets)
        if drawing.outside is not None:
            record.shell = drawing.shell
            self._shape(record, drawing.outside)
        else:
            self.content.warnings.append(f"{self._label()}: no geometry, read without outline and height")
        attributes["long_name"] = text(entity.LongName)
        return record

    def _shape(self, record: Record, outside: Outside) -> None:
        record.ground = outside.ground
        record.columns["height"] = round(outside.top - outside.ground, 3)
        plan = outside.plan
        if plan.outline.is_empty:
            self.content.warnings.append(f"{self._label()}: the cuts above the ground enclose nothing, no footprint")
            return
        record.outline = plan.outline
        self._roof(record, outside.roof)
        amounts = properties.quantities(self.node.entity, self.units)
        stated = _area(amounts, *FOOTPRINT_QUANTITIES)
        if stated is not None and not self._is_credible("footprint", stated, plan.outline.area):
            stated = None
        record.columns["footprint_area"] = round(stated or plan.outline.area, 3)
        record.attributes["footprint_area_source"] = "building_quantities" if stated else "geometry"
        if plan.outline.area < 0.5 * plan.covered_area:
            self.content.warnings.append(
                f"{self._label()}: the footprint ({plan.outline.area:.1f} m²) is less than half of what the"
                f" model covers ({plan.covered_area:.1f} m²); the model may hold only part of the building"
            )

    def _is_credible(self, what: str, stated: float, found: float) -> bool:
        """Say whether a stated area can be in square metres, beside one that was found; tell where the two differ."""
        ratio = stated / found
        credible = not any(0.9 < times * factor < 1.1 for times in (ratio, 1 / ratio) for factor in _OTHER_UNITS)
        if abs(1 / ratio - 1) > 0.1:
            instead = "" if credible else ", which is in another unit and not used"
            self.content.warnings.append(
                f"{self._label()}: {what} from geometry {found:.1f} m², stated {stated:.1f} m²{instead}"
            )
        return credible

    def _roof(self, record: Record, roof: Roof | None) -> None:
        record.roof = roof
        if roof is None:
            return
        record.columns |= {
            "eaves_height": round(roof.eaves - record.ground, 3),
            "ridge_height": round(roof.ridge - record.ground, 3),
        }
        record.attributes |= {
            "roof_area": round(roof.outline.area, 3),
            "blocks": [
                {name: round(z - record.ground, 3) for name, z in zip(_ROOF_HEIGHTS, part, strict=True)}
                for part in roof.parts
            ],
        }

    def _materials(self) -> Counter[str]:
        """Count the walls, columns, beams and slabs by their material, those that have one."""
        named = (properties.material(product) for product in self.node.bearing())
        return Counter(name for name in named if name)

    def _codes(self, entity: Any, sets: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
        wanted = (self.code_property,) if self.code_property else CODE_PROPERTIES
        found = [("property", text(properties.find_property(sets, *wanted)))]
        found += [("classification", entry.get("code")) for entry in properties.classifications(entity)]
        found += [(name, text(properties.attribute(entity, name))) for name in ("LongName", "Tag", "Name")]
        return [(place, value) for place, value in found if value]

    def _storey(self, entity: Any, floor: Floor, source_id: str) -> Record:
        record = self._record(entity, source_id, self.source_id, properties.property_sets(entity))
        amounts = properties.quantities(entity, self.units)
        area = _area(amounts, "GrossFloorArea")
        source = "storey_quantities" if area else None
        if area is None and floor.number is not None and floor.outline is not None:
            area, source = counted_area(floor.outline.area, floor.height), "storey_outline"
        record.columns |= {
            "name": text(entity.Name) or text(entity.LongName),
            "number": floor.number,
            "elevation": round(floor.elevation, 3),
            "height": _rounded(floor.height or amounts.get("GrossHeight")),
            "gross_floor_area": _rounded(area),
        }
        record.attributes |= {"gross_floor_area_source": source, "long_name": text(entity.LongName)}
        record.outline = floor.outline
        return record

    def _space(self, entity: Any, source_id: str, parent: str) -> Record:
        record = self._record(entity, source_id, parent, properties.property_sets(entity))
        amounts = properties.quantities(entity, self.units)
        triangles = self.meshes.triangles.get(entity.id())
        outline = room(triangles) if triangles is not None else None
        net, source = _area(amounts, "NetFloorArea"), "space_quantities"
        if net is None and outline is not None:
            net, source = outline.area, "geometry"
        record.columns |= {
            "name": text(entity.LongName) or text(entity.Name),
            "number": text(entity.Name),
            "usage": room_use_of(text(entity.LongName), text(entity.ObjectType), text(entity.Name)),
            "net_floor_area": _rounded(net),
            "gross_floor_area": _rounded(_area(amounts, "GrossFloorArea")),
            "height": _rounded(amounts.get("FinishCeilingHeight") or amounts.get("Height")),
        }
        record.attributes["net_floor_area_source"] = source if net is not None else None
        record.attributes["zones"] = [
            zone for relation in getattr(entity, "HasAssignments", ()) for zone in _zone(relation)
        ]
        record.outline = outline
        return record

    def _record(self, entity: Any, source_id: str, parent: str | None, sets: dict[str, Any]) -> Record:
        attributes: dict[str, Any] = {
            "description": text(entity.Description),
            "object_type": text(entity.ObjectType),
            "predefined_type": text(properties.attribute(entity, "PredefinedType")),
            "classifications": properties.classifications(entity),
            "quantities": properties.quantities(entity, self.units),
            "property_sets": sets,
        }
        return Record(source_id, parent, self.index, {"source_global_id": entity.GlobalId}, attributes)

    def _fill_uses(self) -> None:
        """Say what each storey is used for: as it says itself, else as its rooms do."""
        rooms: dict[str | None, list[tuple[str | None, float | None]]] = {}
        for record in (r for r in self.content.spaces if r.building == self.index):
            said = record.columns["usage"], record.columns["net_floor_area"]
            rooms.setdefault(record.parent, []).append(said)
        for storey in (r for r in self.content.storeys if r.building == self.index):
            occupancy = properties.find_property(storey.attributes["property_sets"], "OccupancyType")
            stated, told = usage_of(text(occupancy)), storey_use_of(rooms.get(storey.source_id, ()))
            storey.columns["usage"] = stated or told
            storey.attributes["usage_source"] = "occupancy_type" if stated else "rooms" if told else None

    def _fill_areas(self, building: Record, built: list[Floor]) -> None:
        """Add up the floor areas: of storeys where one has any, else of rooms; a building's own total goes first."""
        storeys = [r for r in self.content.storeys if r.building == self.index]
        number_of = {r.source_id: floor.number for r, floor in zip(storeys, built, strict=True) if floor.number}
        areas: dict[int, float] = {}
        for record in storeys:
            number, area = number_of.get(record.source_id), record.columns["gross_floor_area"]
            if number and area:
                areas[number] = areas.get(number, 0.0) + area
        sources = {r.attributes["gross_floor_area_source"] for r in storeys if r.source_id in number_of} - {None}
        source = " and ".join(sorted(sources)).replace("outline", "outlines")
        bare, of_all = set(number_of.values()) - areas.keys(), len(set(number_of.values()))
        if areas and bare:
            self.content.warnings.append(
                f"{self._label()}: floors that enclose no area and add none: {len(bare)} of {of_all}"
            )
        if not areas:
            areas, source = self._room_areas(number_of), "space_quantities"
        above, below = (sum(area for number, area in areas.items() if (number > 0) == up) for up in (True, False))
        has_basement = bool(building.columns.get("storeys_below"))
        stated = _area(building.attributes["quantities"], "GrossFloorArea")
        # A building's own total does not tell what of it lies below ground.
        if stated and not has_basement and (not above or self._is_credible("floor area", stated, above)):
            above, source = stated, "building_quantities"
        if above:
            building.columns["gross_floor_area"] = round(above, 3)
            building.columns["gross_floor_area_below"] = round(below, 3) if has_basement else None
            building.attributes["gross_floor_area_source"] = source

    def _room_areas(self, number_of: Mapping[str, int]) -> dict[int, float]:
        """Return the gross area of the rooms of each floor; nothing where a floor has none."""
        # Rooms modelled on some floors only say nothing of the building; those on a roof are no floor area.
        areas = dict.fromkeys(number_of.values(), 0.0)
        for record in (r for r in self.content.spaces if r.building == self.index):
            number = number_of.get(record.parent or "")
            if number:
                areas[number] += record.columns["gross_floor_area"] or 0.0
        return areas if all(areas.values()) else {}


def counted_area(area: float, height: float | None) -> float:
    """Return how much of the area inside a storey's outer walls counts as gross floor area (m²).

    All of it where the storey is 2.20 m high or its height (metres, floor to floor) is unknown, half of it below.

    Source
    ------
    GB/T 50353-2013, 3.0.1 (likely).
    """
    return area if height is None or height >= FULL_HEIGHT else area / 2


def _zone(relation: Any) -> Iterator[str]:
    group = relation.RelatingGroup if relation.is_a("IfcRelAssignsToGroup") else None
    if group is not None and group.is_a("IfcZone"):
        name = text(group.Name) or text(getattr(group, "LongName", None))
        if name:
            yield name


def _area(amounts: Mapping[str, float], *names: str) -> float | None:
    """Return the first area of one of these names that can be one; None without."""
    return next((amounts[name] for name in names if amounts.get(name, 0.0) > 0), None)


def _astray(bodies: Mapping[int, Triangles]) -> set[int]:
    """Return which of the bodies of a building lie far from most of them: mistakes of modelling, or of units."""
    if not bodies:
        return set()
    corners = np.array([body[0, 0] for body in bodies.values()])
    away = np.abs(corners - np.median(corners, axis=0)).max(axis=1)
    return {key for key, distance in zip(bodies, away.tolist(), strict=True) if distance > _ASTRAY}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 3)
