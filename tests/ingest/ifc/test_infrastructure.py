"""Roads, railways and networks of a model: lines and points where they are, and nothing that lies in a building."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyproj
import pytest
import shapely
import sqlalchemy as sa

from cim.db.engine import Database
from cim.errors import InvalidData
from ingest.formats import Layer, ReadOptions
from ingest.formats.ifc import read
from ingest.pipeline import Options, ingest

EAST, NORTH = 500_000.0, 4_320_000.0  # of the builder's map conversion


def drainage(builder: Callable[..., Any]) -> Any:
    """Two manholes at (10, 20) and (40, 60), in millimetres, joined by a pipe of 50 m; a road of 100 m along x."""
    model = builder(schema="IFC4X3_ADD2")
    model.map_conversion()
    site = model.site()
    road = model.rooted("IfcRoad", Name="High Street", ObjectPlacement=model.placement())
    model.aggregate(site, road)
    manholes = [
        model.rooted(
            "IfcDistributionChamberElement", Name=name, PredefinedType="MANHOLE", ObjectPlacement=model.placement(at)
        )
        for name, at in (("M1", (10.0, 20.0, -2.0)), ("M2", (40.0, 60.0, -3.0)))
    ]
    pipe = model.rooted(
        "IfcPipeSegment",
        Name="P1",
        ObjectPlacement=model.placement((10.0, 20.0, -2.0)),
        Representation=curve(model, (0.0, 0.0, 0.0), (30.0, 40.0, -1.0)),
    )
    model.properties(pipe, "Pset_PipeSegmentTypeCommon", NominalDiameter=400.0)
    for chamber, ends in zip(manholes, (("SOURCE", "SINK"), ("SINK", "SOURCE")), strict=True):
        ports = [model.rooted("IfcDistributionPort", FlowDirection=direction) for direction in ends]
        model.rooted("IfcRelNests", RelatingObject=chamber, RelatedObjects=[ports[0]])
        model.rooted("IfcRelNests", RelatingObject=pipe, RelatedObjects=[ports[1]])
        model.rooted("IfcRelConnectsPorts", RelatingPort=ports[0], RelatedPort=ports[1])
    system = model.rooted("IfcDistributionSystem", Name="Storm", PredefinedType="STORMWATER")
    model.rooted("IfcRelAssignsToGroup", RelatedObjects=[*manholes, pipe], RelatingGroup=system)
    model.rooted("IfcRelContainedInSpatialStructure", RelatingStructure=site, RelatedElements=[*manholes, pipe])
    axis = model.rooted(
        "IfcAlignment", Name="Axis", Representation=curve(model, (0.0, 0.0, 0.0), (60.0, 0.0, 0.0), (100.0, 0.0, 0.0))
    )
    model.rooted("IfcRelContainedInSpatialStructure", RelatingStructure=road, RelatedElements=[axis])
    return model


def curve(model: Any, *points: tuple[float, float, float]) -> Any:
    corners = [
        model.file.create_entity("IfcCartesianPoint", Coordinates=[v / model.unit for v in point]) for point in points
    ]
    shape = model.file.create_entity(
        "IfcShapeRepresentation",
        ContextOfItems=model.context,
        RepresentationIdentifier="Axis",
        RepresentationType="Curve3D",
        Items=[model.file.create_entity("IfcPolyline", Points=corners)],
    )
    return model.file.create_entity("IfcProductDefinitionShape", Representations=[shape])


def rows(path: Path, **options: Any) -> dict[str, list[dict[str, Any]]]:
    return rows_of(read(path, ReadOptions(**options)))


def rows_of(layers: Iterable[Layer]) -> dict[str, list[dict[str, Any]]]:
    return {str(layer.feature_type): layer.table().to_pylist() for layer in layers}


def coordinates(row: dict[str, Any]) -> list[list[float]]:
    found: list[list[float]] = shapely.get_coordinates(shapely.from_wkb(row["geom"])).tolist()
    return found


def test_pipes_and_manholes(builder: Callable[..., Any], tmp_path: Path) -> None:
    found = rows(drainage(builder).write(tmp_path / "storm.ifc"))
    (pipe,) = found["pipe"]
    assert coordinates(pipe) == [
        pytest.approx([EAST + 10, NORTH + 20], abs=1e-6),
        pytest.approx([EAST + 40, NORTH + 60], abs=1e-6),
    ]
    # Which way the water goes: out of the first chamber's source, into the second one's sink.
    assert (pipe["flow_from"], pipe["flow_to"], pipe["network"]) == ("M1", "M2", "storm")
    assert (pipe["diameter"], pipe["diameter_source"], pipe["label"]) == (400.0, "NominalDiameter", "P1")
    assert (pipe["georeference_method"], pipe["georeference_level"]) == ("map_conversion", 50)
    first, second = found["component"]
    assert coordinates(first) == [pytest.approx([EAST + 10, NORTH + 20], abs=1e-6)]
    assert coordinates(second) == [pytest.approx([EAST + 40, NORTH + 60], abs=1e-6)]
    # 雨水井盖, the storm-water manhole cover, is class 03 of main class 01.
    assert (first["class_code"], first["name"], first["ifc_class"]) == ("0103", "M1", "IfcDistributionChamberElement")


def test_what_lies_outdoors_is_told(builder: Callable[..., Any], tmp_path: Path) -> None:
    (told,) = next(iter(read(drainage(builder).write(tmp_path / "storm.ifc"), ReadOptions()))).understood
    assert told.text == "outside of buildings: 1 road, 1 pipe, 2 components"
    assert [part.text for part in told.parts] == ["placed by map conversion, LoGeoRef 50, ± 0.5 m"]


def test_a_layer_that_needs_no_other_is_taken_alone(builder: Callable[..., Any], house: Any, tmp_path: Path) -> None:
    path = drainage(builder).write(tmp_path / "storm.ifc")
    assert rows(path, layer="pipes").keys() == {"pipe"}
    with pytest.raises(InvalidData, match=r"storm\.ifc: has no layer 'rails' .* it has buildings, roads, pipes, comp"):
        rows(path, layer="rails")
    with pytest.raises(InvalidData, match="has no layer 'spaces' that can be taken alone; it has buildings"):
        rows(house.write(tmp_path / "house.ifc"), layer="spaces")


def test_road_has_the_line_of_its_alignment(builder: Callable[..., Any], tmp_path: Path) -> None:
    (road,) = rows(drainage(builder).write(tmp_path / "road.ifc"))["road"]
    assert shapely.from_wkb(road["geom"]).length == pytest.approx(100.0, abs=1e-6)
    assert (road["name"], road["facility"], road["road_class"]) == ("Axis", "High Street", None)


def test_a_bridge_is_a_component_where_it_stands(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = drainage(builder)
    bridge = model.rooted("IfcBridge", Name="Weir Bridge", ObjectPlacement=model.placement((70.0, 5.0, 3.0)))
    model.aggregate(model.file.by_type("IfcSite")[0], bridge)
    row = next(r for r in rows(model.write(tmp_path / "b.ifc"))["component"] if r["ifc_class"] == "IfcBridge")
    assert (row["name"], row["class_code"]) == ("Weir Bridge", None)
    assert coordinates(row) == [pytest.approx([EAST + 70, NORTH + 5], abs=1e-6)]


def test_what_a_model_leaves_open_stays_open(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = drainage(builder)
    (system,) = model.file.by_type("IfcDistributionSystem")
    system.PredefinedType = "DRAINAGE"  # of rain or of sewage
    (relation,) = [r for r in model.file.by_type("IfcRelContainedInSpatialStructure") if len(r.RelatedElements) == 1]
    model.file.remove(relation)
    model.aggregate(model.file.by_type("IfcSite")[0], model.rooted("IfcRailway", Name="Line 2"))
    path = model.write(tmp_path / "open.ifc")
    found = rows(path)
    assert "road" not in found  # the alignment might be that of the road or of the railway
    assert {row["class_code"] for row in found["component"]} == {None}
    assert found["pipe"][0]["network"] is None
    said = next(iter(read(path, ReadOptions()))).warnings
    assert any("alignments of no road or railway, left out: 1" in warning for warning in said)
    assert any("roads and railways without an alignment, left out: 2" in warning for warning in said)


def test_pipes_in_buildings_are_no_city_pipes(builder: Callable[..., Any], house: Any, tmp_path: Path) -> None:
    storey = house.file.by_type("IfcBuildingStorey")[0]
    house.box("IfcPipeSegment", storey, (1, 1, 0, 1, 0.1, 0.1))
    loose = house.box("IfcFlowTerminal", storey, (1, 1, 0, 1, 0.1, 0.1))
    house.file.remove(loose.ContainedInStructure[0])
    assert rows(house.write(tmp_path / "house.ifc")).keys() == {"building", "storey", "space"}


def test_networks_arrive_and_stay_as_they_are_when_nothing_changed(
    database: Database, builder: Callable[..., Any], tmp_path: Path
) -> None:
    model = drainage(builder)
    path = model.write(tmp_path / "storm.ifc")

    def counts() -> list[int]:
        with database.engine.connect() as connection:
            return [
                int(connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())
                for table in ("city.road", "city.pipe", "city.component", "cim.revision")
            ]

    report = ingest(database, [path])
    assert report.refused == []
    first = counts()
    assert first[:3] == [1, 1, 2]
    ingest(database, [path], Options(force=True))
    assert counts() == first
    with database.engine.connect() as connection:
        said = connection.execute(sa.text("SELECT attributes FROM city.pipe")).scalar_one()
    assert said["source_global_id"] == model.file.by_type("IfcPipeSegment")[0].GlobalId
    assert len(said["model_file"]) == 64


def test_what_a_new_version_lacks_is_removed(database: Database, builder: Callable[..., Any], tmp_path: Path) -> None:
    model = drainage(builder)
    path = model.write(tmp_path / "storm.ifc")
    ingest(database, [path])
    (pipe,) = model.file.by_type("IfcPipeSegment")
    for relation in model.file.get_inverse(pipe):
        if relation.is_a("IfcRelNests"):
            model.file.remove(relation)
    model.file.remove(pipe)
    report = ingest(database, [model.write(path)])
    said = [w for file in report.files for w in file.layers[0].warnings if "earlier version" in w]
    assert said == ["an earlier version of this file had more: 1 pipes removed"]
    with database.engine.connect() as connection:
        deleted = "SELECT type FROM cim.revision WHERE op = 'delete'"
        rows = connection.exec_driver_sql(deleted).all()
    assert [tuple(row) for row in rows] == [("pipe",)]


@pytest.fixture(scope="module")
def road_model(shared: Path) -> list[Layer]:
    """Read once, because it takes seconds on a core until one of its alignments is given up."""
    path = shared / "data/ifc/pass-cls000-classification_present.ifc"
    return list(read(path, ReadOptions(place="-90.5,41.5")))


@pytest.mark.real
def test_an_alignment_that_never_comes_to_an_end_is_named(road_model: list[Layer]) -> None:
    (layer, *_) = road_model
    (said,) = [warning for warning in layer.warnings if "could not be drawn" in warning]
    assert "IfcAlignment " in said
    assert "no answer for 5 s" in said


@pytest.mark.real
def test_real_railway_in_map_coordinates(shared: Path) -> None:
    found = rows(shared / "data/ifc/na-grf003-railway_with_georeferencing.ifc")
    (track,) = found["road"]
    line = shapely.from_wkb(track["geom"])
    # The first segment of its design starts at these coordinates; its ten are 1029.372 m long together.
    assert coordinates(track)[0] == pytest.approx([452270.188, 4539403.947], abs=0.001)
    assert line.length == pytest.approx(1029.372, abs=0.02)
    assert (track["ifc_class"], track["road_class"]) == ("IfcRailway", "other")
    assert all(line.distance(shapely.from_wkb(signal["geom"])) < 10 for signal in found["component"])


@pytest.mark.real
def test_real_road_that_states_its_design_only(road_model: list[Layer]) -> None:
    found = rows_of(road_model)
    assert len(found["road"]) == 14
    line = shapely.from_wkb(next(row["geom"] for row in found["road"] if row["name"] == "GCBC"))
    # Its own property says 1420.099129 feet.
    length = pyproj.Geod(ellps="WGS84").geometry_length(line)
    assert length == pytest.approx(1420.099129 * 0.3048, rel=1e-3)


def test_a_signal_is_one_component_and_repeated_ids_are_told_apart(builder: Callable[..., Any], tmp_path: Path) -> None:
    model = drainage(builder)
    (site,) = model.file.by_type("IfcSite")
    signal = model.rooted("IfcSignal", Name="S1", ObjectPlacement=model.placement((5, 5, 0)))  # a flow terminal, too
    model.rooted("IfcRelContainedInSpatialStructure", RelatingStructure=site, RelatedElements=[signal])
    first, second = model.file.by_type("IfcDistributionChamberElement")
    second.GlobalId = first.GlobalId
    path = model.write(tmp_path / "signal.ifc")
    components = rows(path)["component"]
    assert [row["name"] for row in components] == ["M1", "M2", "S1"]
    assert len({row["_source_id"] for row in components}) == 3
    said = next(iter(read(path, ReadOptions()))).warnings
    assert "roads, pipes and components with the GlobalId of another, told apart by a counter: 1" in said
