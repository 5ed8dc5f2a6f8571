"""Models in IFC4 of buildings that also stand in the layers: flats in millimetres, a school in metres.

Walls, floors, windows and rooms follow the footprint of the layer. A model's zero is a corner of it, its x
axis the longest wall, and IfcMapConversion leads back to EPSG:4548. Identifiers and times are fixed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ifcopenshell
import ifcopenshell.guid
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from sample_data._models import PARTY_WALL, WALL, Room, Subject, subjects
from sample_data._records import Layers
from sample_data._write import WRITTEN, degrees

Entity = Any
Floats = NDArray[np.float64]

SLAB = 0.12  # thickness, m
WINDOW_WIDTH, WINDOW_HEIGHT, SILL, WINDOW_BAY = 1.5, 1.6, 0.9, 3.3  # m
VERTICAL_DATUM = "EPSG:5737"  # 1985 National Height Datum


def write(folder: Path, layers: Layers) -> None:
    """Write the models into a new folder."""
    folder.mkdir()
    for name, subject, unit in subjects(layers):
        (folder / name).write_text(_Writer(subject, unit).text(name), encoding="utf-8", newline="\n")


@dataclass
class _Writer:
    """Writes one subject; `unit` is metres per unit of length of the model."""

    subject: Subject
    unit: float
    file: Any = field(default_factory=lambda: ifcopenshell.file(schema="IFC4"))
    seen: dict[tuple[Any, ...], Entity] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the model as STEP text."""
        self._header(name)
        body = self._project()
        self._building(body)
        return str(self.file.to_string())

    def _header(self, name: str) -> None:
        header = self.file.header
        header.file_description.description = ("ViewDefinition [ReferenceView_V1.2]",)
        header.file_name.name = name
        header.file_name.time_stamp = f"{WRITTEN}T00:00:00"
        header.file_name.author = ("sample_data.make",)
        header.file_name.organization = ("",)
        header.file_name.preprocessor_version = "ifcopenshell"
        header.file_name.originating_system = "sample_data.make"
        header.file_name.authorization = ""

    def _new(self, kind: str, *values: Any, **named: Any) -> Entity:
        return self.file.create_entity(kind, *values, **named)

    def _guid(self, *path: object) -> str:
        key = "/".join(["cim-sample", self.subject.record["code"], *map(str, path)])
        return str(ifcopenshell.guid.compress(uuid.uuid5(uuid.NAMESPACE_URL, key).hex))

    def _length(self, metres: float) -> float:
        return round(metres / self.unit, 2 if self.unit < 1 else 5)

    def _point(self, *metres: float) -> Entity:
        return self._shared("IfcCartesianPoint", tuple(self._length(value) for value in metres))

    def _direction(self, *ratios: float) -> Entity:
        return self._shared("IfcDirection", tuple(round(ratio, 9) for ratio in ratios))

    def _shared(self, kind: str, values: tuple[float, ...]) -> Entity:
        key = (kind, *values)
        if key not in self.seen:
            self.seen[key] = self._new(kind, values)
        return self.seen[key]

    def _axes(self, x: float, y: float, z: float, along: tuple[float, float] | None = None) -> Entity:
        axis = (self._direction(0.0, 0.0, 1.0), self._direction(*along, 0.0)) if along else (None, None)
        return self._new("IfcAxis2Placement3D", self._point(x, y, z), *axis)

    def _place(self, parent: Entity | None, x: float = 0.0, y: float = 0.0, z: float = 0.0, **turn: Any) -> Entity:
        return self._new("IfcLocalPlacement", parent, self._axes(x, y, z, **turn))

    def _project(self) -> Entity:
        subject = self.subject
        prefix = "MILLI" if self.unit < 1 else None
        units = [
            self._new("IfcSIUnit", None, "LENGTHUNIT", prefix, "METRE"),
            self._new("IfcSIUnit", None, "AREAUNIT", None, "SQUARE_METRE"),
            self._new("IfcSIUnit", None, "VOLUMEUNIT", None, "CUBIC_METRE"),
            self._new("IfcSIUnit", None, "PLANEANGLEUNIT", None, "RADIAN"),
        ]
        context = self._new("IfcGeometricRepresentationContext", None, "Model", 3, 1e-5, self._axes(0, 0, 0))
        body = self._new(
            "IfcGeometricRepresentationSubContext",
            "Body",
            "Model",
            None,
            None,
            None,
            None,
            context,
            None,
            "MODEL_VIEW",
        )
        metre = units[0] if self.unit == 1 else self._new("IfcSIUnit", None, "LENGTHUNIT", None, "METRE")
        crs = self._new(
            "IfcProjectedCRS", "EPSG:4548", "CGCS2000 / 3-degree Gauss-Kruger CM 117E", "CGCS2000",
            VERTICAL_DATUM,
            "Gauss-Kruger", "CM 117E", metre,
        )  # fmt: skip
        # Scale turns lengths of the model into those of the map.
        self._new(
            "IfcMapConversion", context, crs, subject.east, subject.north, subject.record["ground_elevation"],
            round(subject.cos, 12), round(subject.sin, 12), self.unit,
        )  # fmt: skip
        self.project = self._new(
            "IfcProject", self._guid("project"), None, subject.record["name"], None, None, None, None,
            [context],
            self._new("IfcUnitAssignment", units),
        )  # fmt: skip
        return body

    def _building(self, body: Entity) -> None:
        subject, record = self.subject, self.subject.record
        where = degrees(shapely.Point(subject.east, subject.north))
        assert isinstance(where, shapely.Point)
        address = self._new("IfcPostalAddress", "SITE", AddressLines=[record["address"]])
        site_place = self._place(None)
        site = self._new(
            "IfcSite", self._guid("site"), None, f"{record['name']}用地", None, None, site_place, None,
            None, "ELEMENT",
            _sexagesimal(where.y), _sexagesimal(where.x), record["ground_elevation"] / self.unit,
            record["parcel_code"],
        )  # fmt: skip
        building_place = self._place(site_place)
        building = self._new(
            "IfcBuilding", self._guid("building"), None, record["name"], None, None, building_place, None,
            record["name"], "ELEMENT", record["ground_elevation"] / self.unit, None, address,
        )  # fmt: skip
        storeys = [self._storey(body, building_place, n) for n in range(subject.house.storeys)]
        for part, whole in ((site, self.project), (building, site)):
            self._aggregate(whole, [part])
        self._aggregate(building, storeys)
        self._describe(building)

    def _aggregate(self, whole: Entity, parts: list[Entity]) -> None:
        self._new("IfcRelAggregates", self._guid("aggregates", whole.GlobalId), None, None, None, whole, parts)

    def _describe(self, building: Entity) -> None:
        subject, record = self.subject, self.subject.record
        self._properties(building, "CIM_Identity", {"BuildingCode": ("IfcIdentifier", record["code"])})
        self._properties(building, "Pset_BuildingCommon", {
            "OccupancyType": ("IfcLabel", subject.occupancy),
            "NumberOfStoreys": ("IfcInteger", subject.house.storeys),
            "YearOfConstruction": ("IfcLabel", str(record["year_built"])),
        })  # fmt: skip
        self._quantities(building, "Qto_BuildingBaseQuantities", {
            "Height": record["height"], "FootprintArea": record["footprint_area"],
            "GrossFloorArea": record["gross_floor_area"],
        })  # fmt: skip

    def _storey(self, body: Entity, parent: Entity, number: int) -> Entity:
        subject, height = self.subject, self.subject.storey_height
        place = self._place(parent, z=number * height)
        storey = self._new(
            "IfcBuildingStorey", self._guid("storey", number), None, f"{number + 1}F", None, None, place,
            None,
            f"第{'一二三四五六'[number]}层", "ELEMENT", self._length(number * height),
        )  # fmt: skip
        elements = [self._slab(body, place, number, 0.0, "FLOOR"), *self._walls(body, place, number, height)]
        if number == subject.house.storeys - 1:
            elements.append(self._slab(body, place, number, height, "ROOF"))
            rest = subject.record["height"] - (number + 1) * height
            elements += self._parapets(body, place, height, rest)
        self._new(
            "IfcRelContainedInSpatialStructure",
            self._guid("contains", number),
            None,
            None,
            None,
            elements,
            storey,
        )
        spaces = [self._space(body, place, number, room) for room in subject.rooms(number + 1)]
        self._aggregate(storey, spaces)
        area = subject.record["footprint_area"]
        net = round(sum(room.outline.area for room in subject.rooms(number + 1)), 2)
        self._quantities(
            storey, "Qto_BuildingStoreyBaseQuantities",
            {"GrossHeight": height, "GrossFloorArea": area, "NetFloorArea": net},
        )  # fmt: skip
        return storey

    def _profile(self, outline: Polygon) -> Entity:
        rings = [
            self._ring(outline.exterior.coords),
            *(self._ring(hole.coords) for hole in outline.interiors),
        ]
        if len(rings) == 1:
            return self._new("IfcArbitraryClosedProfileDef", "AREA", None, rings[0])
        return self._new("IfcArbitraryProfileDefWithVoids", "AREA", None, rings[0], rings[1:])

    def _ring(self, coordinates: Iterable[Sequence[float]]) -> Entity:
        points = [self._point(x, y) for x, y in coordinates]
        return self._new("IfcPolyline", points)

    def _solid(self, body: Entity, outline: Polygon, low: float, height: float) -> Entity:
        solid = self._new(
            "IfcExtrudedAreaSolid", self._profile(outline), self._axes(0, 0, low), self._direction(0.0, 0.0,
            1.0),
            self._length(height),
        )  # fmt: skip
        shape = self._new("IfcShapeRepresentation", body, "Body", "SweptSolid", [solid])
        return self._new("IfcProductDefinitionShape", None, None, [shape])

    def _slab(self, body: Entity, parent: Entity, number: int, level: float, kind: str) -> Entity:
        shape = self._solid(body, self.subject.outline, level - SLAB, SLAB)
        return self._new(
            "IfcSlab", self._guid("slab", number, kind), None, f"{kind.title()} {number + 1}", None, None,
            self._place(parent), shape, None, kind,
        )  # fmt: skip

    def _edges(self) -> list[tuple[Floats, Floats, Polygon]]:
        """Return start, end and mitred plan of each outer wall."""
        outer = np.array(self.subject.outline.exterior.coords)
        inner = _inset(outer, WALL)
        return [
            (outer[n], outer[n + 1], Polygon([outer[n], outer[n + 1], inner[n + 1], inner[n]]))
            for n in range(len(outer) - 1)
        ]

    def _walls(self, body: Entity, parent: Entity, number: int, height: float) -> list[Entity]:
        elements = []
        for n, (start, end, plan) in enumerate(self._edges()):
            wall = self._new(
                "IfcWall", self._guid("wall", number, n), None, f"W{number + 1}.{n + 1:02d}", None, None,
                self._place(parent), self._solid(body, plan, 0.0, height - SLAB), None, "SOLIDWALL",
            )  # fmt: skip
            elements += [wall, *self._windows(body, wall, (number, n), start, end)]
        return elements

    def _parapets(self, body: Entity, parent: Entity, level: float, height: float) -> list[Entity]:
        return [
            self._new(
                "IfcWall",
                self._guid("parapet", n),
                None,
                f"P.{n + 1:02d}",
                None,
                None,
                self._place(parent),
                self._solid(body, plan, level, height),
                None,
                "PARAPET",
            )
            for n, (_, _, plan) in enumerate(self._edges())
        ]

    def _windows(
        self,
        body: Entity,
        wall: Entity,
        key: tuple[int, int],
        start: Floats,
        end: Floats,
    ) -> list[Entity]:
        length = float(np.hypot(*(end - start)))
        count = int(length // WINDOW_BAY)
        along = (end - start) / length
        windows = []
        for n in range(count):
            x, y = start + along * length * (n + 0.5) / count
            turn = {"along": (float(along[0]), float(along[1]))}
            name = (*key, n)
            opening = self._new(
                "IfcOpeningElement", self._guid("opening", *name), None, None, None, None,
                self._place(wall.ObjectPlacement, x, y, SILL, **turn), self._pane(body, WALL + 0.1), None,
                "OPENING",
            )  # fmt: skip
            window = self._new(
                "IfcWindow", self._guid("window", *name), None, f"C{1510 + 10 * key[0]}", None, None,
                self._place(opening.ObjectPlacement), self._pane(body, 0.08), None,
                self._length(WINDOW_HEIGHT),
                self._length(WINDOW_WIDTH), "WINDOW",
            )  # fmt: skip
            self._new("IfcRelVoidsElement", self._guid("voids", *name), None, None, None, wall, opening)
            self._new("IfcRelFillsElement", self._guid("fills", *name), None, None, None, opening, window)
            windows.append(window)
        return windows

    def _pane(self, body: Entity, depth: float) -> Entity:
        """Return the one shape of all windows, or of all their openings: inward of the wall's outer face."""
        key = ("pane", depth)
        if key not in self.seen:
            box = shapely.box(-WINDOW_WIDTH / 2, (WALL - depth) / 2, WINDOW_WIDTH / 2, (WALL + depth) / 2)
            self.seen[key] = self._solid(body, box, 0.0, WINDOW_HEIGHT)
        return self.seen[key]

    def _space(self, body: Entity, parent: Entity, number: int, room: Room) -> Entity:
        clear = self.subject.storey_height - SLAB
        space = self._new(
            "IfcSpace", self._guid("space", number, room.number), None, room.number, None, None,
            self._place(parent),
            self._solid(body, room.outline, 0.0, clear), room.kind, "ELEMENT", "INTERNAL",
        )  # fmt: skip
        self._quantities(space, "Qto_SpaceBaseQuantities", {
            "Height": round(clear, 2), "NetFloorArea": round(room.outline.area, 2),
            "GrossFloorArea": round(room.outline.buffer(PARTY_WALL / 2, join_style="mitre").area, 2),
        })  # fmt: skip
        return space

    def _properties(self, thing: Entity, name: str, values: dict[str, tuple[str, Any]]) -> None:
        single = [
            self._new("IfcPropertySingleValue", key, None, self._new(kind, value), None)
            for key, (kind, value) in values.items()
        ]
        self._relate(thing, self._new("IfcPropertySet", self._guid(name, thing.GlobalId), None, name, None, single))

    def _quantities(self, thing: Entity, name: str, values: dict[str, float]) -> None:
        found = [
            self._new("IfcQuantityArea", key, None, None, value)
            if key.endswith("Area")
            else self._new("IfcQuantityLength", key, None, None, self._length(value))
            for key, value in values.items()
        ]
        self._relate(
            thing,
            self._new("IfcElementQuantity", self._guid(name, thing.GlobalId), None, name, None, None, found),
        )

    def _relate(self, thing: Entity, definition: Entity) -> None:
        self._new(
            "IfcRelDefinesByProperties",
            self._guid("defines", definition.GlobalId),
            None,
            None,
            None,
            [thing],
            definition,
        )


def _inset(ring: Floats, distance: float) -> Floats:
    """Move the edges of a closed counter-clockwise ring inwards by a distance; neighbours meet again."""
    points = ring[:-1]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    inward = [np.column_stack((-e[:, 1], e[:, 0])) / np.hypot(e[:, 0], e[:, 1])[:, None] for e in (before, after)]
    share = distance / (1 + np.sum(inward[0] * inward[1], axis=1))
    moved = points + (inward[0] + inward[1]) * share[:, None]
    return np.vstack((moved, moved[:1]))


def _sexagesimal(angle: float) -> tuple[int, int, int, int]:
    """Return an angle as IfcCompoundPlaneAngleMeasure: degrees, minutes, seconds, millionths of a second."""
    millionths = round(angle * 3_600_000_000)
    rest, micro = divmod(millionths, 1_000_000)
    rest, seconds = divmod(rest, 60)
    whole, minutes = divmod(rest, 60)
    return whole, minutes, seconds, micro
