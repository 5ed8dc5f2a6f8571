"""Units of a building (dwellings, shops): zones (IfcZone) that group the rooms of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import shapely

from cim import codes
from cim.errors import InvalidCode
from ingest.ifc import properties
from ingest.ifc.meaning import is_unit
from ingest.ifc.properties import text

# Names under which models carry the official code of a unit.
CODE_PROPERTIES = ("UnitCode", "不动产单元代码", "不动产单元号", "BDCDYH")


@dataclass(frozen=True, slots=True)
class Room:
    """A space on its way to be part of units: its entity, number of its storey, net area in m², outline."""

    entity: Any
    storey: int | None
    area: float | None
    outline: shapely.Geometry | None


@dataclass(frozen=True, slots=True)
class Unit:
    """A zone that is a unit: columns, its official code among them, attributes, and a point in its largest room."""

    entity: Any
    columns: dict[str, Any]
    attributes: dict[str, Any]
    point: shapely.Geometry | None


def units_of(rooms: Sequence[Room]) -> list[Unit]:
    """Return the units that the rooms of one building are grouped into.

    A zone is a unit when its type or name says so, or when it carries the real-estate code of one. Other zones, of fire
    protection or heating, are none.
    """
    zones: dict[int, tuple[Any, list[Room]]] = {}
    for room in rooms:
        for relation in getattr(room.entity, "HasAssignments", ()):
            group = relation.RelatingGroup if relation.is_a("IfcRelAssignsToGroup") else None
            if group is not None and group.is_a("IfcZone"):
                zones.setdefault(group.id(), (group, []))[1].append(room)
    found = []
    for zone, members in zones.values():
        sets = properties.property_sets(zone)
        code = _code(zone, sets)
        names = (text(zone.ObjectType), text(getattr(zone, "LongName", None)), text(zone.Name))
        if code is not None or is_unit(*names):
            found.append(_unit(zone, members, sets, code))
    return found


def _unit(zone: Any, rooms: list[Room], sets: dict[str, Any], code: str | None) -> Unit:
    storeys = [room.storey for room in rooms if room.storey]
    known = [room.area for room in rooms if room.area is not None]
    drawn = [room.outline for room in rooms if room.outline is not None]
    largest = max(drawn, key=lambda outline: float(shapely.area(outline)), default=None)
    columns: dict[str, Any] = {
        "code": code,
        "name": text(getattr(zone, "LongName", None)) or text(zone.Name),
        "room_number": text(zone.Name),
        "storey_number": min(storeys, default=None),
        # Not the registered floor area of the dictionary, which counts walls as the law says.
        "net_floor_area": round(sum(known), 3) if len(known) == len(rooms) else None,
        "source_global_id": zone.GlobalId,
    }
    attributes = {
        "object_type": text(zone.ObjectType),
        "rooms": [room.entity.GlobalId for room in rooms],
        "classifications": properties.classifications(zone),
        "property_sets": sets,
    }
    return Unit(zone, columns, attributes, None if largest is None else shapely.point_on_surface(largest))


def _code(zone: Any, sets: dict[str, Any]) -> str | None:
    """Return the first real-estate code of a unit among the values that may be one."""
    values = [properties.find_property(sets, *CODE_PROPERTIES), getattr(zone, "LongName", None), zone.Name]
    values[1:1] = [entry.get("code") for entry in properties.classifications(zone)]
    for value in filter(None, map(text, values)):
        try:
            return codes.check("cn-bdcdyh", value, level="unit")
        except InvalidCode:
            continue
    return None
