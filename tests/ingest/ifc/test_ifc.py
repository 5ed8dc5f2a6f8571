"""Models built on purpose, read through the format as ingest does."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import shapely

from cim import crs
from cim.dictionary import load_dictionary
from cim.errors import CrsError, InvalidData
from ingest.formats import Layer, ReadOptions
from ingest.formats.ifc import ATTRIBUTES, COLUMNS, read


def rows(layer: Layer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = layer.table().to_pylist()
    for row in found:
        for name in ("classifications", "quantities", "property_sets"):
            row[name] = None if row[name] is None else json.loads(row[name])
        row["geom"] = None if row["geom"] is None else shapely.from_wkb(row["geom"])
    return found


def read_all(path: Path, **options: Any) -> tuple[Layer, Layer, Layer]:
    building, storey, space = read(path, ReadOptions(**options))
    return building, storey, space


def test_columns_are_those_of_the_dictionary() -> None:
    dictionary = load_dictionary()
    arrow = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64()}
    for feature_type, columns in COLUMNS.items():
        for name, kind in columns:
            assert kind == arrow[dictionary.type(feature_type).property(name).kind]
        assert not ATTRIBUTES.keys() & {p.name for p in dictionary.type(feature_type).properties}


def test_house_in_millimetres_on_the_map(house: Any, tmp_path: Path) -> None:
    house.map_conversion()
    building, storey, space = read_all(house.write(tmp_path / "house.ifc"))
    (row,) = rows(building)
    assert building.crs is not None
    assert building.crs.to_epsg() == 4548
    assert row["geom"].geom_type == "MultiPolygon"
    assert row["geom"].symmetric_difference(shapely.box(500_000, 4_320_000, 500_012, 4_320_010)).area < 1e-3
    assert (row["footprint_area"], row["height"], row["ground_elevation"]) == (120.0, 6.3, 8.5)
    assert (row["storeys_above"], row["storeys_below"]) == (2, 1)
    assert (row["gross_floor_area"], row["gross_floor_area_below"]) == (240.0, 120.0)
    assert row["gross_floor_area_source"] == "storey_outlines"
    assert (row["georeference_method"], row["georeference_level"]) == ("map_conversion", 50)
    assert [(r["name"], r["number"], r["elevation"], r["height"], r["gross_floor_area"]) for r in rows(storey)] == [
        ("Basement", -1, -2.8, 2.8, 120.0),
        ("Ground floor", 1, 0.0, 3.0, 120.0),
        ("Upper floor", 2, 3.0, 3.0, 120.0),
        ("Roof", None, 6.0, None, None),
    ]
    (room,) = rows(space)
    assert (room["name"], room["number"], room["net_floor_area"]) == ("Hall", "1", pytest.approx(11.4 * 9.4))
    assert room["_parent_source_id"] == rows(storey)[1]["_source_id"]
    assert {r["_parent_source_id"] for r in rows(storey)} == {row["_source_id"]}
    assert all(layer.crs == building.crs for layer in (storey, space))


def test_quantities_and_properties_go_before_what_is_computed(house: Any, tmp_path: Path) -> None:
    (building,) = house.file.by_type("IfcBuilding")
    house.properties(building, "Pset_BuildingCommon", YearOfConstruction="1978", OccupancyType="住宅楼")
    house.areas(building, "Qto_BuildingBaseQuantities", GrossFootprintArea=121.0, GrossFloorArea=400.0)
    for storey, area in zip(house.file.by_type("IfcBuildingStorey"), (110.0, 115.0, 117.0), strict=False):
        house.areas(storey, "Qto_BuildingStoreyBaseQuantities", GrossFloorArea=area)
    building.BuildingAddress = house.file.create_entity(
        "IfcPostalAddress", AddressLines=["Renmin Road 8"], Town="Rongcheng", Country="China"
    )
    (row,) = rows(read_all(house.write(tmp_path / "h.ifc"))[0])
    assert (row["year_built"], row["usage"], row["address"]) == (1978, "residential", "Renmin Road 8, Rongcheng, China")
    assert row["footprint_area"] == 121.0
    # The building's own total holds the basement too, so the storeys are asked.
    assert (row["gross_floor_area"], row["gross_floor_area_below"]) == (232.0, 110.0)
    assert row["gross_floor_area_source"] == "storey_quantities"
    assert row["property_sets"]["Pset_BuildingCommon"]["OccupancyType"] == "住宅楼"


def test_a_house_in_feet(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder(unit=0.3048)
    building = model.building(model.site())
    storey = model.storey(building, "Ground floor", 0.0)
    model.shell(storey, 0, 0, 0, 12.192, 9.144, 3.048)
    room = model.space(storey, "1", "Hall", (0.3, 0.3, 0, 11.592, 8.544, 2.7))
    # 40 × 30 feet are 1,200 square feet, or 111.48 m²; the room states 1,000, or 92.90.
    model.areas(building, "Qto_BuildingBaseQuantities", GrossFootprintArea=1200.0)
    model.areas(room, "Qto_SpaceBaseQuantities", NetFloorArea=1000.0)
    model.map_conversion(Scale=0.3048)
    buildings, _, spaces = read_all(model.write(tmp_path / "h.ifc"))
    (row,) = rows(buildings)
    assert shapely.box(500_000, 4_320_000, 500_012.192, 4_320_009.144).symmetric_difference(row["geom"]).area < 1e-3
    assert (row["footprint_area"], row["footprint_area_source"]) == (111.484, "building_quantities")
    assert row["height"] == 3.048
    assert rows(spaces)[0]["net_floor_area"] == 92.903
    assert not any("Scale" in warning or "footprint" in warning for warning in buildings.warnings)


def test_materials_and_classification_of_a_building(house: Any, tmp_path: Path) -> None:
    (building,) = house.file.by_type("IfcBuilding")
    walls = house.file.by_type("IfcWall")
    for name, some in (("Stahlbeton", walls[:11]), ("Ziegel", walls[11:])):
        material = house.file.create_entity("IfcMaterial", Name=name)
        house.rooted("IfcRelAssociatesMaterial", RelatedObjects=some, RelatingMaterial=material)
    system = house.file.create_entity("IfcClassification", Name="Uniclass 2015")
    entry = house.file.create_entity(
        "IfcClassificationReference", Identification="En_20_15", Name="Houses", ReferencedSource=system
    )
    house.rooted("IfcRelAssociatesClassification", RelatedObjects=[building], RelatingClassification=entry)
    house.properties(building, "Pset_BuildingCommon", YearOfLastRefurbishment="2011")
    (row,) = rows(read_all(house.write(tmp_path / "h.ifc"))[0])
    # Three storeys of four walls: what is said of less than a fifth of them is no part of the structure.
    assert json.loads(row["materials"]) == {"Stahlbeton": 11, "Ziegel": 1}
    assert (row["structure"], row["year_renovated"]) == ("reinforced_concrete", 2011)
    assert row["classifications"] == [{"system": "Uniclass 2015", "code": "En_20_15", "name": "Houses"}]


def test_the_floor_area_of_a_building_is_that_of_all_its_storeys(house: Any, tmp_path: Path) -> None:
    _, ground, upper, _ = house.file.by_type("IfcBuildingStorey")
    # One storey states its area, the other has its outline: 118 + 120 m². Rooms are measured inside of the walls.
    house.areas(ground, "Qto_BuildingStoreyBaseQuantities", GrossFloorArea=118.0)
    for storey in (ground, upper):
        room = house.space(storey, "2", "Room", (0.3, 0.3, 3.0, 11.4, 9.4, 2.6))
        house.areas(room, "Qto_SpaceBaseQuantities", GrossFloorArea=107.16)
    (row,) = rows(read_all(house.write(tmp_path / "h.ifc"))[0])
    assert row["gross_floor_area"] == 238.0
    assert row["gross_floor_area_source"] == "storey_outlines and storey_quantities"


def test_storeys_at_one_height_are_one_floor(house: Any, tmp_path: Path) -> None:
    (building,) = house.file.by_type("IfcBuilding")
    east = house.storey(building, "East wing", 3.0)
    house.box("IfcWall", east, (6, 0, 3, 0.3, 10, 2.8))
    buildings, storeys, _ = read_all(house.write(tmp_path / "h.ifc"))
    (row,) = rows(buildings)
    assert (row["storeys_above"], row["storeys_below"], row["gross_floor_area"]) == (2, 1, 240.0)
    assert [(r["name"], r["number"], r["gross_floor_area"]) for r in rows(storeys)] == [
        ("Basement", -1, 120.0),
        ("Ground floor", 1, 120.0),
        ("Upper floor", 2, 120.0),
        ("East wing", 2, None),
        ("Roof", None, None),
    ]


def test_levels_that_are_no_floors_of_the_geometry_are_told(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder()
    # The level is at zero, the walls are at their height above the sea.
    model.shell(model.storey(model.building(model.site()), "EG", 0.0), 0, 0, 450, 12, 10, 3)
    layer = read_all(model.write(tmp_path / "m.ifc"))[0]
    (row,) = rows(layer)
    assert (row["footprint_area"], row["height"], row["storeys_above"], row["gross_floor_area"]) == (
        120.0,
        3.2,
        None,
        None,
    )
    assert "buildings none of whose storeys one can stand on: 1 of 1" in layer.warnings


def test_areas_that_cannot_be_are_not_taken(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder()
    building = model.building(model.site())
    model.shell(model.storey(building, "EG", 0.0), 0, 0, 0, 12, 10, 3)
    # 120 m² in square feet; less than nothing.
    model.areas(building, "Qto_BuildingBaseQuantities", GrossFootprintArea=1291.67, GrossFloorArea=-5.0)
    layer = read_all(model.write(tmp_path / "m.ifc"))[0]
    (row,) = rows(layer)
    assert (row["footprint_area"], row["footprint_area_source"]) == (120.0, "geometry")
    assert (row["gross_floor_area"], row["gross_floor_area_source"]) == (120.0, "storey_outlines")
    said = "building 'House': footprint from geometry 120.0 m², stated 1291.7 m², which is in another unit and not used"
    assert said in layer.warnings


def test_an_element_that_lies_astray_is_left_out_and_named(house: Any, tmp_path: Path) -> None:
    storey = house.file.by_type("IfcBuildingStorey")[1]
    astray = [house.box("IfcWall", storey, box) for box in ((50_000, 0, 0, 5, 0.3, 3), (0, 0, 1e9, 5, 0.3, 3))]
    layer = read_all(house.write(tmp_path / "h.ifc"))[0]
    (row,) = rows(layer)
    assert row["geom"] is None  # the model says no place
    assert (row["footprint_area"], row["height"], row["eaves_height"]) == (120.0, 6.3, 6.3)
    (said,) = (warning for warning in layer.warnings if "more than 2 km" in warning)
    assert said.endswith(f"left out: IfcWall {astray[0].GlobalId}, IfcWall {astray[1].GlobalId}")


def test_a_storey_is_used_as_it_says_else_as_its_rooms_do(house: Any, tmp_path: Path) -> None:
    basement, _, upper, _ = house.file.by_type("IfcBuildingStorey")
    house.properties(basement, "Pset_BuildingStoreyCommon", OccupancyType="Retail shop")
    house.space(basement, "01", "Bedroom", (0.3, 0.3, -2.8, 11.4, 9.4, 2.4))
    # A living room of 9.3 × 9.4 m and an office of 2 × 9.4 m are four fifths and a fifth; the hall below tells nothing.
    house.space(upper, "21", "Living", (0.3, 0.3, 3.0, 9.3, 9.4, 2.6))
    house.space(upper, "22", "Office", (9.7, 0.3, 3.0, 2.0, 9.4, 2.6))
    found = {r["name"]: (r["usage"], r["usage_source"]) for r in rows(read_all(house.write(tmp_path / "h.ifc"))[1])}
    assert found == {
        "Basement": ("commercial", "occupancy_type"),
        "Ground floor": (None, None),
        "Upper floor": ("residential", "rooms"),
        "Roof": (None, None),
    }


CODE = "340123002004GB00011F00010000"


@pytest.mark.parametrize(
    ("place", "said", "expected"),
    [
        ("property", CODE, CODE),
        ("property", "340123 002004 gb00011 f00010000", CODE),
        ("LongName", CODE, CODE),
        ("LongName", "Town hall", None),
        ("property", "not a code", None),
    ],
)
def test_official_code(house: Any, tmp_path: Path, place: str, said: str, expected: str | None) -> None:
    (building,) = house.file.by_type("IfcBuilding")
    if place == "property":
        house.properties(building, "CIM", 不动产单元代码=said)
    else:
        building.LongName = said
    layer = read_all(house.write(tmp_path / "h.ifc"))[0]
    (row,) = rows(layer)
    assert row["code"] == expected
    # A name that is no code is a name; a code property that holds none is worth a word.
    refused = place == "property" and expected is None
    assert any("code in the model is not used" in warning for warning in layer.warnings) == refused
    assert (row["code_as_stated"] == said) == refused


def test_code_property_of_the_operator(house: Any, tmp_path: Path) -> None:
    house.properties(house.file.by_type("IfcBuilding")[0], "Ours", Kennung=CODE)
    path = house.write(tmp_path / "h.ifc")
    assert rows(read_all(path)[0])[0]["code"] is None
    assert rows(read_all(path, extra={"code_property": "Kennung"})[0])[0]["code"] == CODE


def test_model_without_place_keeps_its_measures(house: Any, tmp_path: Path) -> None:
    building, storey, _ = read_all(house.write(tmp_path / "h.ifc"))
    (row,) = rows(building)
    assert row["geom"] is None
    assert building.crs is None
    assert (row["footprint_area"], row["georeference_method"]) == (120.0, None)
    assert any("--place" in warning for warning in building.warnings)
    assert rows(storey)[1]["geom"] is None


def test_place_given_by_the_operator_goes_first(house: Any, tmp_path: Path) -> None:
    house.map_conversion(Scale=1000.0)
    path = house.write(tmp_path / "h.ifc")
    with pytest.raises(CrsError, match="reciprocal"):
        read_all(path)
    building = read_all(path, place="116.1,39.05,30")[0]
    (row,) = rows(building)
    assert building.crs == crs.parse("EPSG:4326")
    assert (row["georeference_method"], row["georeference_level"]) == ("operator", None)
    assert row["geom"].distance(shapely.Point(116.1, 39.05)) < 1e-9


def test_a_rigid_operation_into_a_crs_given_as_text(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder(schema="IFC4X3_ADD2")
    model.shell(model.storey(model.building(model.site()), "Ground", 0.0), 0, 0, 0, 12, 10, 3)
    target = model.file.create_entity("IfcProjectedCRS", Name="city grid")
    model.file.create_entity(
        "IfcWellKnownText", WellKnownText=crs.parse("EPSG:4548").to_wkt(), CoordinateReferenceSystem=target
    )
    east, north = (model.file.create_entity("IfcLengthMeasure", value) for value in (500_000.0, 4_320_000.0))
    model.file.create_entity(
        "IfcRigidOperation",
        SourceCRS=model.context,
        TargetCRS=target,
        FirstCoordinate=east,
        SecondCoordinate=north,
        Height=8.5,
    )
    building = read_all(model.write(tmp_path / "h.ifc"))[0]
    (row,) = rows(building)
    assert building.crs is not None
    assert building.crs.to_epsg() == 4548
    # Metres of the CRS; the model is in millimetres.
    assert row["geom"].symmetric_difference(shapely.box(500_000, 4_320_000, 500_012, 4_320_010)).area < 1e-3
    assert row["ground_elevation"] == 8.5
    assert (row["georeference_method"], row["georeference_level"]) == ("rigid_operation", 50)


def test_latitude_and_longitude_are_a_hint(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder(unit=1.0)
    site = model.site(RefLatitude=(39, 3, 0, 0), RefLongitude=(116, 6, 0, 0), RefElevation=12.0)
    model.shell(model.storey(model.building(site), "EG", 0.0), 0, 0, 0, 12, 10, 3)
    building = read_all(model.write(tmp_path / "m.ifc"))[0]
    (row,) = rows(building)
    assert (row["georeference_method"], row["georeference_level"], row["ground_elevation"]) == (
        "site_lat_lon",
        20,
        12.0,
    )
    assert row["geom"].bounds[:2] == pytest.approx((116.1, 39.05), abs=1e-9)
    # Half a minute, all that is given, is half of 1,853 m.
    assert row["georeference_accuracy"] == pytest.approx(926.6, abs=0.1)
    assert any("a hint, often a default" in warning for warning in building.warnings)


def test_degrees_of_another_continent_are_not_used(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder(unit=1.0)
    site = model.site(RefLatitude=(42, 21, 31, 181945), RefLongitude=(-71, -3, -24, -263305))  # a tool's default
    model.shell(model.storey(model.building(site), "EG", 0.0), 0, 0, 0, 12, 10, 3)
    path = model.write(tmp_path / "m.ifc")
    building = read_all(path, srid=4548)[0]
    assert rows(building)[0]["geom"] is None
    assert "longitude -71.0567 and latitude 42.3587 lie outside" in building.warnings[0]
    assert read_all(path, srid=4548, place="116.1,39.05")[0].crs == crs.parse("EPSG:4490")


def test_many_sites_of_another_continent_are_told_in_one_line(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder(unit=1.0)
    for name, minute in (("A", 21), ("B", 22), ("C", 23)):
        site = model.site(RefLatitude=(42, minute, 0, 0), RefLongitude=(-71, -3, 0, 0))
        model.shell(model.storey(model.building(site, name), "EG", 0.0), 0, 0, 0, 12, 10, 3)
    building = read_all(model.write(tmp_path / "m.ifc"), srid=4548)[0]
    (said,) = (warning for warning in building.warnings if "lie outside" in warning)
    assert "longitude -71.0500 and latitude 42.3500, and those of 2 more buildings, lie outside" in said


def test_georeferenced_twice_is_refused(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder(unit=1.0)
    model.map_conversion(Eastings=1.0, Northings=1.0)
    model.shell(model.storey(model.building(model.site()), "EG", 0.0), 500_000, 4_320_000, 0, 12, 10, 3)
    with pytest.raises(CrsError, match="georeferenced twice"):
        read_all(model.write(tmp_path / "m.ifc"))


def test_eastings_in_millimetres_are_refused_and_explained(house: Any, tmp_path: Path) -> None:
    house.map_conversion(Eastings=5e8, Northings=4.32e9)
    with pytest.raises(CrsError, match="if they were in millimetres"):
        read_all(house.write(tmp_path / "h.ifc"))


def test_map_coordinates_without_a_named_crs(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder(unit=1.0)
    site = model.site(RefLatitude=(39, 3, 0, 0), RefLongitude=(116, 6, 0, 0))
    model.shell(model.storey(model.building(site), "EG", 0.0), 500_000, 4_320_000, 0, 12, 10, 3)
    path = model.write(tmp_path / "m.ifc")
    building = read_all(path)[0]
    assert rows(building)[0]["geom"] is None
    assert "--assume-crs" in building.warnings[0]
    (row,) = rows(read_all(path, assume_crs=crs.parse("EPSG:4548"))[0])
    assert row["geom"].bounds == pytest.approx((500_000, 4_320_000, 500_012, 4_320_010), abs=1e-6)
    assert (row["georeference_method"], row["georeference_level"]) == ("local_coordinates", 30)


def test_property_sets_place_an_ifc2x3_model(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder(schema="IFC2X3", unit=1.0)
    site = model.site()
    model.shell(model.storey(model.building(site), "EG", 0.0), 0, 0, 0, 12, 10, 3)
    model.properties(site, "ePSet_MapConversion", Eastings=500_000.0, Northings=4_320_000.0, OrthogonalHeight=8.5)
    model.properties(site, "ePSet_ProjectedCRS", Name="EPSG:4548", MapUnit="METRE")
    (row,) = rows(read_all(model.write(tmp_path / "m.ifc"))[0])
    assert row["geom"].bounds == pytest.approx((500_000, 4_320_000, 500_012, 4_320_010), abs=1e-6)
    assert row["georeference_method"] == "property_set_map_conversion"


@pytest.mark.parametrize(
    ("values", "unit", "said"),
    [({"Scale": "abc"}, "METRE", "says Scale 'abc', which is no number"), ({}, "ELL", "says MapUnit 'ELL'")],
)
def test_property_sets_that_say_no_number_do_not_place_a_model(
    builder: Callable[..., Any], tmp_path: Path, values: dict[str, str], unit: str, said: str
) -> None:
    model = builder(schema="IFC2X3")
    model.properties(model.project, "ePSet_MapConversion", Eastings="500000.0", Northings="4320000.0", **values)
    model.properties(model.project, "ePSet_ProjectedCRS", Name="EPSG:4548", MapUnit=unit)
    model.shell(model.storey(model.building(model.site()), "EG", 0.0), 0, 0, 0, 8, 6, 3)
    path = model.write(tmp_path / "m.ifc")
    layer = read_all(path)[0]
    assert any(said in warning and "is not used" in warning for warning in layer.warnings)
    assert rows(layer)[0]["georeference_method"] is None
    assert rows(read_all(path, place="116.1,39.05")[0])[0]["georeference_method"] == "operator"


def test_repeated_global_ids_are_told_apart(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = builder(unit=1.0)
    site = model.site()
    for index in (0, 1):
        building = model.building(site, f"House {index}")
        building.GlobalId = "0000000000000000000001"
        storey = model.storey(building, "EG", 0.0)
        storey.GlobalId = "0000000000000000000002"
        model.shell(storey, 20 * index, 0, 0, 12, 10, 3)
    building, storey, _ = read_all(model.write(tmp_path / "m.ifc"))
    assert [row["_source_id"] for row in rows(building)] == ["m/0000000000000000000001", "m/0000000000000000000001#2"]
    assert [row["_source_id"] for row in rows(storey)] == [
        "m/0000000000000000000001/0000000000000000000002",
        "m/0000000000000000000001#2/0000000000000000000002",
    ]
    assert any("with the GlobalId of another" in warning for warning in building.warnings)


def test_chinese_text_written_raw_in_gb18030(house: Any, tmp_path: Path) -> None:
    (building,) = house.file.by_type("IfcBuilding")
    building.Name = "RAW"
    path = house.write(tmp_path / "h.ifc")
    path.write_bytes(path.read_bytes().replace(b"'RAW'", "'誠運大厦'".encode("gb18030")))
    layer = read_all(path)[0]
    assert rows(layer)[0]["name"] == "誠運大厦"
    assert "gb18030" in layer.warnings[0]


def test_same_file_gives_the_same_bytes(house: Any, tmp_path: Path) -> None:
    house.map_conversion()
    path = house.write(tmp_path / "h.ifc")
    assert [layer.table() for layer in read_all(path)] == [layer.table() for layer in read_all(path)]


def test_model_cut_off_in_the_middle(house: Any, tmp_path: Path) -> None:
    path = house.write(tmp_path / "h.ifc")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidData, match=r"h\.ifc.*cut off"):
        read_all(path)


def test_damage_that_the_parser_keeps_to_itself(house: Any, tmp_path: Path) -> None:
    path = house.write(tmp_path / "h.ifc")
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"IFCBUILDING(", b"IFCBUILDING((", 1))
    with pytest.raises(InvalidData, match=r"instances could be parsed|cannot be parsed"):
        read_all(path)
    path.write_bytes(sound.replace(b"IFCRELCONTAINEDINSPATIALSTRUCTURE(", b"IFCRELCONTAINEDINSPACE(", 1))
    assert any("1 of" in warning for warning in read_all(path)[0].warnings)


@pytest.mark.parametrize(
    ("kind", "unit_missing"),
    [
        ("IfcProject", True),
        ("IfcUnitAssignment", True),
        ("IfcSite", False),
        ("IfcGeometricRepresentationContext", False),
    ],
)
def test_model_that_lacks_what_the_schema_demands(house: Any, tmp_path: Path, kind: str, unit_missing: bool) -> None:
    for entity in house.file.by_type(kind):
        house.file.remove(entity)
    building = read_all(house.write(tmp_path / "h.ifc"))[0]
    assert building.table().num_rows == 1
    assert any("metres are assumed" in warning for warning in building.warnings) == unit_missing


def test_ring_of_placements_costs_what_is_in_it(house: Any, tmp_path: Path) -> None:
    first, second = (wall.ObjectPlacement for wall in house.file.by_type("IfcWall")[:2])
    first.PlacementRelTo, second.PlacementRelTo = second, first
    building = read_all(house.write(tmp_path / "h.ifc"))[0]
    # No end of the ring is found, which overflows the kernel's stack; the rest of the house arrives.
    (said,) = (warning for warning in building.warnings if "ended badly" in warning)
    assert "SIGSEGV" in said
    assert first.PlacesObject[0].GlobalId in said
    assert rows(building)[0]["height"] == 6.3


def test_all_bodies_of_an_element_for_one_view_are_parts_of_it(house: Any, tmp_path: Path) -> None:
    wall = house.file.by_type("IfcWall")[0]
    # 2 m² each, apart from the house of 120 m².
    for x in (20, 30):
        (more,) = house.shape((x, 0, 0, 2, 1, 3)).Representations
        wall.Representation.Representations = [*wall.Representation.Representations, more]
    building = read_all(house.write(tmp_path / "h.ifc"))[0]
    assert rows(building)[0]["footprint_area"] == 124.0


def test_form_of_a_building(house: Any, tmp_path: Path) -> None:
    house.map_conversion()
    files: dict[str, bytes] = {}

    def keep(data: bytes) -> str:
        files[hashlib.sha256(data).hexdigest()] = data
        return hashlib.sha256(data).hexdigest()

    (row,) = rows(read_all(house.write(tmp_path / "h.ifc"), srid=4548, keep=keep)[0])
    # A flat roof of 13 × 11 m from 6.0 to 6.3 m.
    assert (row["eaves_height"], row["ridge_height"], row["roof_area"]) == (6.3, 6.3, 143.0)
    outline = json.loads(row["roof_outline"])
    placed = shapely.geometry.shape(outline)
    assert placed.symmetric_difference(shapely.box(499_999.5, 4_319_999.5, 500_012.5, 4_320_010.5)).area < 1e-3
    assert outline["crs"].startswith("EPSG:4548")
    assert json.loads(row["blocks"])[0]["roof_p70"] == 6.3
    head, body = (json.loads(line) for line in files[row["body_file"]].splitlines())
    assert head["metadata"]["referenceSystem"].endswith("EPSG/0/4548")
    block, surface = body["CityObjects"][row["source_global_id"]]["geometry"]
    assert (block["type"], block["lod"], surface["lod"]) == ("Solid", "1.2", "3")
    (faces,) = block["boundaries"]
    assert len(faces) == 6
    numbers = {v for face in faces for ring in face for v in ring}
    corners = {tuple(body["vertices"][number]) for number in numbers}
    # The ground lies 8.5 m above the datum, the block is 6.3 m high.
    assert corners == {
        (x, y, z) for x in (500_000_000, 500_012_000) for y in (4_320_000_000, 4_320_010_000) for z in (8_500, 14_800)
    }
    assert files[row["shell_gltf"]][:4] == b"glTF"
    assert volume(body["vertices"], faces) == pytest.approx(12 * 10 * 6.3, rel=1e-6)


def test_a_building_of_several_blocks_has_them_as_parts(house: Any, tmp_path: Path) -> None:
    house.map_conversion()
    wall = house.file.by_type("IfcWall")[0]
    (more,) = house.shape((20, 0, 0, 2, 1, 3)).Representations
    wall.Representation.Representations = [*wall.Representation.Representations, more]
    files: list[bytes] = []

    def keep(data: bytes) -> str:
        files.append(data)
        return hashlib.sha256(data).hexdigest()

    (row,) = rows(read_all(house.write(tmp_path / "h.ifc"), srid=4548, keep=keep)[0])
    (body,) = (json.loads(data.splitlines()[1]) for data in files if b"CityJSONFeature" in data)
    objects = body["CityObjects"]
    building = objects.pop(row["source_global_id"])
    assert [geometry["type"] for geometry in building["geometry"]] == ["MultiSurface"]
    assert (sorted(objects), {one["type"] for one in objects.values()}) == (building["children"], {"BuildingPart"})
    solids = [geometry for part in building["children"] for geometry in objects[part]["geometry"]]
    assert [(solid["type"], solid["lod"]) for solid in solids] == [("Solid", "1.2")] * 2
    # The house of 12 × 10 × 6.3 m, and beside it a wall of 2 × 1 × 3 m.
    volumes = sorted(volume(body["vertices"], *solid["boundaries"]) for solid in solids)
    assert volumes == pytest.approx([6.0, 756.0], rel=1e-6)


def volume(vertices: list[list[int]], faces: list[Any]) -> float:
    """Volume of a solid whose faces, without holes, look outwards; cubic metres."""
    total = 0.0
    for (ring,) in faces:
        corners = [[c - o for c, o in zip(vertices[v], vertices[faces[0][0][0]], strict=True)] for v in ring]
        for one, two in itertools.pairwise(corners[1:]):
            (a, b, c), (d, e, f), (g, h, i) = corners[0], one, two
            total += a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return total / 6e9
