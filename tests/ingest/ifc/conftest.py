"""A builder of small IFC models whose every measure is known by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ifcopenshell
import ifcopenshell.guid
import pytest

FOOT = 0.3048
Box = tuple[float, float, float, float, float, float]  # x, y, z, dx, dy, dz in metres


class ModelBuilder:
    """An IFC file under construction; all arguments are in metres, whatever the unit of the file."""

    def __init__(self, schema: str = "IFC4", unit: float = 0.001) -> None:
        self.file = ifcopenshell.file(schema=schema)
        self.unit = unit
        self.context = self._context()
        self.project = self.rooted(
            "IfcProject", Name="Test", RepresentationContexts=[self.context], UnitsInContext=self._units()
        )

    def rooted(self, kind: str, **values: Any) -> Any:
        return self.file.create_entity(kind, GlobalId=ifcopenshell.guid.new(), **values)

    def _units(self) -> Any:
        if self.unit == FOOT:
            units = [self._converted("LENGTHUNIT", "METRE", FOOT), self._converted("AREAUNIT", "SQUARE_METRE", FOOT**2)]
        else:
            prefix = {0.001: "MILLI", 1.0: None}[self.unit]
            units = [
                self.file.create_entity("IfcSIUnit", UnitType="LENGTHUNIT", Prefix=prefix, Name="METRE"),
                self.file.create_entity("IfcSIUnit", UnitType="AREAUNIT", Name="SQUARE_METRE"),
                self.file.create_entity("IfcSIUnit", UnitType="VOLUMEUNIT", Name="CUBIC_METRE"),
            ]
        return self.file.create_entity("IfcUnitAssignment", Units=units)

    def _converted(self, kind: str, name: str, factor: float) -> Any:
        metric = self.file.create_entity("IfcSIUnit", UnitType=kind, Name=name)
        one = self.file.create_entity("IfcReal", factor)
        ratio = self.file.create_entity("IfcMeasureWithUnit", ValueComponent=one, UnitComponent=metric)
        powers = [1 if kind == "LENGTHUNIT" else 2, 0, 0, 0, 0, 0, 0]
        dimensions = self.file.create_entity("IfcDimensionalExponents", *powers)
        return self.file.create_entity(
            "IfcConversionBasedUnit",
            Dimensions=dimensions,
            UnitType=kind,
            Name="FOOT" if kind == "LENGTHUNIT" else "SQUARE FOOT",
            ConversionFactor=ratio,
        )

    def _context(self) -> Any:
        return self.file.create_entity(
            "IfcGeometricRepresentationContext",
            ContextType="Model",
            CoordinateSpaceDimension=3,
            Precision=1e-5,
            WorldCoordinateSystem=self.axes((0.0, 0.0, 0.0)),
        )

    def axes(self, at: Sequence[float]) -> Any:
        point = self.file.create_entity("IfcCartesianPoint", Coordinates=[v / self.unit for v in at])
        return self.file.create_entity("IfcAxis2Placement3D", Location=point)

    def placement(self, at: Sequence[float] = (0.0, 0.0, 0.0)) -> Any:
        return self.file.create_entity("IfcLocalPlacement", RelativePlacement=self.axes(at))

    def aggregate(self, whole: Any, *parts: Any) -> None:
        self.rooted("IfcRelAggregates", RelatingObject=whole, RelatedObjects=list(parts))

    def site(self, **values: Any) -> Any:
        site = self.rooted("IfcSite", Name="Site", ObjectPlacement=self.placement(), **values)
        self.aggregate(self.project, site)
        return site

    def building(self, site: Any, name: str = "House", **values: Any) -> Any:
        building = self.rooted("IfcBuilding", Name=name, ObjectPlacement=self.placement(), **values)
        self.aggregate(site, building)
        return building

    def storey(self, building: Any, name: str, z: float) -> Any:
        storey = self.rooted(
            "IfcBuildingStorey", Name=name, ObjectPlacement=self.placement((0, 0, z)), Elevation=z / self.unit
        )
        self.aggregate(building, storey)
        return storey

    def box(self, kind: str, storey: Any, box: Box) -> Any:
        element = self.rooted(kind, ObjectPlacement=self.placement(), Representation=self.shape(box))
        self.rooted("IfcRelContainedInSpatialStructure", RelatingStructure=storey, RelatedElements=[element])
        return element

    def space(self, storey: Any, number: str, name: str, box: Box) -> Any:
        space = self.rooted(
            "IfcSpace", Name=number, LongName=name, ObjectPlacement=self.placement(), Representation=self.shape(box)
        )
        self.aggregate(storey, space)
        return space

    def shape(self, box: Box) -> Any:
        x, y, _, dx, dy, dz = (v / self.unit for v in box)
        corners = [(x, y), (x + dx, y), (x + dx, y + dy), (x, y + dy), (x, y)]
        points = [self.file.create_entity("IfcCartesianPoint", Coordinates=list(corner)) for corner in corners]
        profile = self.file.create_entity(
            "IfcArbitraryClosedProfileDef",
            ProfileType="AREA",
            OuterCurve=self.file.create_entity("IfcPolyline", Points=points),
        )
        up = self.file.create_entity("IfcDirection", DirectionRatios=[0.0, 0.0, 1.0])
        at = self.axes((0.0, 0.0, box[2]))
        solid = self.file.create_entity(
            "IfcExtrudedAreaSolid", SweptArea=profile, Position=at, ExtrudedDirection=up, Depth=dz
        )
        body = self.file.create_entity(
            "IfcShapeRepresentation",
            ContextOfItems=self.context,
            RepresentationIdentifier="Body",
            RepresentationType="SweptSolid",
            Items=[solid],
        )
        return self.file.create_entity("IfcProductDefinitionShape", Representations=[body])

    def shell(
        self, storey: Any, x: float, y: float, z: float, dx: float, dy: float, dz: float, wall: float = 0.3
    ) -> None:
        """Four walls and a floor slab whose outer faces are the rectangle (x, y, dx, dy)."""
        self.box("IfcSlab", storey, (x, y, z - 0.2, dx, dy, 0.2))
        self.box("IfcWall", storey, (x, y, z, dx, wall, dz))
        self.box("IfcWall", storey, (x, y + dy - wall, z, dx, wall, dz))
        self.box("IfcWall", storey, (x, y + wall, z, wall, dy - 2 * wall, dz))
        self.box("IfcWall", storey, (x + dx - wall, y + wall, z, wall, dy - 2 * wall, dz))

    def properties(self, entity: Any, name: str, **values: Any) -> None:
        kinds = {str: "IfcLabel", float: "IfcReal", int: "IfcInteger"}
        properties = [
            self.file.create_entity(
                "IfcPropertySingleValue", Name=key, NominalValue=self.file.create_entity(kinds[type(value)], value)
            )
            for key, value in values.items()
        ]
        definition = self.rooted("IfcPropertySet", Name=name, HasProperties=properties)
        self.rooted("IfcRelDefinesByProperties", RelatedObjects=[entity], RelatingPropertyDefinition=definition)

    def areas(self, entity: Any, name: str, **values: float) -> None:
        quantities = [self.file.create_entity("IfcQuantityArea", Name=k, AreaValue=v) for k, v in values.items()]
        definition = self.rooted("IfcElementQuantity", Name=name, Quantities=quantities)
        self.rooted("IfcRelDefinesByProperties", RelatedObjects=[entity], RelatingPropertyDefinition=definition)

    def map_conversion(self, crs: str = "EPSG:4548", *, metre: bool = True, **values: Any) -> None:
        unit = self.file.create_entity("IfcSIUnit", UnitType="LENGTHUNIT", Name="METRE") if metre else None
        target = self.file.create_entity("IfcProjectedCRS", Name=crs, MapUnit=unit)
        numbers = {"Eastings": 500_000.0, "Northings": 4_320_000.0, "OrthogonalHeight": 8.5} | values
        self.file.create_entity("IfcMapConversion", SourceCRS=self.context, TargetCRS=target, **numbers)

    def write(self, path: Path) -> Path:
        self.file.write(str(path))
        return path


@pytest.fixture
def builder() -> Callable[..., ModelBuilder]:
    """Start a model: `builder(schema=..., unit=metres per unit)`."""
    return ModelBuilder


@pytest.fixture
def house(builder: Callable[..., ModelBuilder]) -> ModelBuilder:
    """A house of 12 × 10 m, walls 0.3 m, in millimetres: ground floor, upper floor, basement, roof with eaves of 0.5 m.

    Floors at -2.8, 0 and 3 m; walls up to 6 m; flat roof 6.0 to 6.3 m over 13 × 11 m. One room, 11.4 × 9.4 m.
    """
    model = builder()
    building = model.building(model.site())
    for name, z, height in (("Basement", -2.8, 2.6), ("Ground floor", 0.0, 2.8), ("Upper floor", 3.0, 3.0)):
        storey = model.storey(building, name, z)
        model.shell(storey, 0, 0, z, 12, 10, height)
        if z == 0:
            model.space(storey, "1", "Hall", (0.3, 0.3, 0, 11.4, 9.4, 2.6))
    roof = model.storey(building, "Roof", 6.0)
    model.box("IfcSlab", roof, (-0.5, -0.5, 6.0, 13, 11, 0.3))
    return model
