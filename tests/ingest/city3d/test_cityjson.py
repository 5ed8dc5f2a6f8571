"""CityJSON and CityJSONSeq: footprints, heights, parts, attributes and the files of bodies, checked by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
import sqlalchemy as sa

from cim import crs
from cim.db.engine import Database
from cim.errors import InvalidData
from cim.files import stored_path
from ingest import Options, ingest
from ingest.formats import Layer, ReadOptions, format_of
from sample_data import FORMATS
from sample_data._city3d import EAST, GROUND, IDS, NORTH

SAMPLES = [FORMATS / "houses.city.jsonl", FORMATS / "houses.city.json"]
Records = dict[str, dict[str, Any]]


def layers_of(path: Path, options: ReadOptions | None = None) -> dict[str, Layer]:
    return {layer.name: layer for layer in format_of(path).read(path, options or ReadOptions())}


def records_of(layer: Layer) -> Records:
    found = {}
    for record in layer.table().to_pylist():
        record["geom"] = None if record["geom"] is None else shapely.from_wkb(record["geom"])
        found[record["source_global_id"]] = record
    return found


def write(path: Path, objects: Any, vertices: Any, **members: Any) -> Path:
    document = {
        "type": "CityJSON",
        "version": "2.0",
        "transform": {"scale": [0.001] * 3, "translate": [EAST, NORTH, 0]},
        "metadata": {"referenceSystem": "https://www.opengis.net/def/crs/EPSG/0/4548"},
        "CityObjects": objects,
        "vertices": vertices,
    }
    path.write_text(json.dumps(document | members, ensure_ascii=False), encoding="utf-8")
    return path


def square(**more: Any) -> dict[str, Any]:
    return {
        "type": "Building",
        "geometry": [{"type": "MultiSurface", "lod": "0", "boundaries": [[[0, 1, 2, 3]]]}],
        **more,
    }


GROUND_ONLY = [{"type": "GroundSurface"}]
SQUARE = [[0, 0, 0], [10000, 0, 0], [10000, 10000, 0], [0, 10000, 0]]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.suffix)
def test_the_houses_have_the_ground_and_the_heights_they_were_drawn_with(path: Path) -> None:
    layers = layers_of(path)
    assert list(layers) == ["Building"]
    assert layers["Building"].crs == crs.parse(4548)
    houses = records_of(layers["Building"])
    gable, yard, block = (houses[IDS[name]] for name in ("gable", "courtyard", "block"))
    assert gable["geom"].equals(shapely.box(EAST, NORTH, EAST + 10, NORTH + 8))
    around = shapely.box(EAST + 30, NORTH, EAST + 54, NORTH + 20)
    assert yard["geom"].equals(around - shapely.box(EAST + 36, NORTH + 6, EAST + 44, NORTH + 14))
    assert block["geom"].equals(shapely.box(EAST + 70, NORTH, EAST + 82, NORTH + 12))
    assert [h["footprint_area"] for h in (gable, yard)] == [80.0, 416.0]
    assert [h["height"] for h in (gable, yard, block)] == [9.0, 30.0, 5.0]
    assert [h["ground_elevation"] for h in (gable, yard, block)] == [GROUND] * 3
    assert [h["eaves_elevation"] for h in (gable, yard, block)] == [GROUND + 6, GROUND + 12, None]
    assert [h["roof_elevation"] for h in (gable, yard, block)] == [GROUND + 9, GROUND + 30, GROUND + 5]
    assert [h["storeys_above"] for h in (gable, yard, block)] == [2, 4, None]
    assert [h["lod_max"] for h in (gable, yard, block)] == ["2", "2", "1"]
    assert gable["year_built"] == 1998
    assert yard["function"] == "1000"
    assert yard["name"] == "院落"


def test_a_body_is_kept_the_same_whichever_format_and_order_brings_it(tmp_path: Path) -> None:
    kept: dict[str, dict[str, bytes]] = {}

    def read(path: Path, name: str) -> None:
        files: list[bytes] = []

        def keep(data: bytes) -> str:
            files.append(data)
            return hashlib.sha256(data).hexdigest()

        houses = records_of(layers_of(path, ReadOptions(keep=keep))["Building"])
        by_digest = {hashlib.sha256(data).hexdigest(): data for data in files}
        kept[name] = {one: by_digest[record["body_file"]] for one, record in houses.items()}

    lines, whole = SAMPLES
    read(lines, "lines")
    read(whole, "whole")
    first, *features = lines.read_text(encoding="utf-8").splitlines()
    header = json.loads(first)
    header["transform"]["translate"] = [EAST - 7, NORTH - 7, 0]
    moved = []
    for text in reversed(features):
        feature = json.loads(text)
        feature["vertices"] = [[x + 7000, y + 7000, z + GROUND * 1000] for x, y, z in reversed(feature["vertices"])]
        last = len(feature["vertices"]) - 1
        for one in feature["CityObjects"].values():
            for geometry in one.get("geometry", ()):
                shells = geometry["boundaries"]
                geometry["boundaries"] = [[[[last - n for n in r] for r in s] for s in shell] for shell in shells]
        moved.append(json.dumps(feature))
    path = tmp_path / "moved.jsonl"
    path.write_text("\n".join([json.dumps(header), *moved]), encoding="utf-8")
    read(path, "moved")
    assert kept["lines"] == kept["whole"] == kept["moved"]


def test_the_file_of_a_body_is_itself_cityjsonseq(tmp_path: Path) -> None:
    files: list[bytes] = []
    layers_of(SAMPLES[0], ReadOptions(keep=lambda data: files.append(data) or hashlib.sha256(data).hexdigest()))
    path = tmp_path / "body.city.jsonl"
    path.write_bytes(files[1])
    again = records_of(layers_of(path)["Building"])[IDS["courtyard"]]
    original = records_of(layers_of(SAMPLES[0])["Building"])[IDS["courtyard"]]
    assert {k: v for k, v in again.items() if v is not None} == {k: v for k, v in original.items() if v is not None}


def test_ground_surfaces_side_by_side_in_one_height_all_count(tmp_path: Path) -> None:
    """Where a reader keys them by their height, one replaces the other."""
    vertices = [[x * 1000, y * 1000, 5000] for x in (0, 1, 2) for y in (0, 1)]
    surfaces = [[[0, 2, 3, 1]], [[2, 4, 5, 3]]]
    semantics = {"surfaces": [{"type": "GroundSurface"}], "values": [0, 0]}
    geometry = {"type": "MultiSurface", "lod": "2", "boundaries": surfaces, "semantics": semantics}
    path = write(tmp_path / "two.json", {"b": {"type": "Building", "geometry": [geometry]}}, vertices)
    (record,) = records_of(layers_of(path)["Building"]).values()
    assert record["geom"].area == pytest.approx(2.0, abs=1e-9)
    assert record["geom"].geom_type == "Polygon"


def test_walls_decide_where_a_roof_without_meaning_hangs_over(tmp_path: Path) -> None:
    """A box of 10 × 8 m under a flat roof of 12 × 10 m: the eaves are no ground."""
    low = [(1, 1, 0), (11, 1, 0), (11, 9, 0), (1, 9, 0)]
    high = [(x, y, 6) for x, y, _ in low]
    roof = [(0, 0, 6), (12, 0, 6), (12, 10, 6), (0, 10, 6)]
    vertices = [[1000 * v for v in p] for p in (*low, *high, *roof)]
    walls = [[[n, (n + 1) % 4, (n + 1) % 4 + 4, n + 4]] for n in range(4)]
    geometry = {"type": "MultiSurface", "lod": "2", "boundaries": [[[3, 2, 1, 0]], *walls, [[8, 9, 10, 11]]]}
    path = write(tmp_path / "eaves.json", {"b": {"type": "Building", "geometry": [geometry]}}, vertices)
    layer = layers_of(path)["Building"]
    (record,) = records_of(layer).values()
    assert record["geom"].symmetric_difference(shapely.box(EAST + 1, NORTH + 1, EAST + 11, NORTH + 9)).area < 0.01
    assert layer.warnings == ["1 without semantics: footprint is the floor, or from a cut through the walls"]


def test_attributes_of_every_kind_are_kept(tmp_path: Path) -> None:
    one = square(
        attributes={"n": 3, "mixed": 1, "f": 1.5, "yes": True, "list": [1, {"a": None}], "高度": "十", "height": 2}
    )
    two = square(attributes={"mixed": "x", "big": 2**63, "none": None})
    path = write(tmp_path / "kinds.json", {"1": one, "2": two}, SQUARE)
    layer = layers_of(path)["Building"]
    kinds = {name: layer.table().schema.field(name).type for name in ("n", "mixed", "f", "yes", "big", "none")}
    assert kinds == {
        "n": pa.int64(), "mixed": pa.string(), "f": pa.float64(), "yes": pa.bool_(), "big": pa.string(),
        "none": pa.string(),
    }  # fmt: skip
    first, second = records_of(layer).values()
    assert (first["n"], first["f"], first["yes"], first["高度"], first["source_height"]) == (3, 1.5, True, "十", 2)
    assert json.loads(first["list"]) == [1, {"a": None}]
    assert (first["mixed"], second["mixed"], second["big"]) == ("1", "x", str(2**63))
    assert first["_source_id"] == "kinds/1"


def test_ids_that_hold_a_uuid_name_their_object_in_any_file() -> None:
    houses = records_of(layers_of(SAMPLES[0])["Building"])
    assert houses[IDS["gable"]]["_source_id"] == IDS["gable"]


def test_objects_that_are_no_buildings_have_layers_of_their_own(tmp_path: Path) -> None:
    road = {
        "type": "Road",
        "geometry": [{"type": "MultiSurface", "lod": "1", "boundaries": [[[0, 1, 2]], [[0, 2, 3]]]}],
    }
    tree = {"type": "SolitaryVegetationObject", "geometry": [{"type": "MultiPoint", "lod": "1", "boundaries": [2]}]}
    line = {"type": "Railway", "geometry": [{"type": "MultiLineString", "lod": "0", "boundaries": [[0, 1, 2]]}]}
    path = write(tmp_path / "all.json", {"r": road, "t": tree, "l": line, "b": square()}, SQUARE)
    layers = layers_of(path)
    assert list(layers) == ["Building", "Railway", "Road", "SolitaryVegetationObject"]
    shapes = {name: next(iter(records_of(layer).values()))["geom"] for name, layer in layers.items()}
    assert shapes["Road"].area == pytest.approx(100)
    assert shapes["Railway"].length == pytest.approx(20)
    assert shapes["SolitaryVegetationObject"].equals(shapely.MultiPoint([(EAST + 10, NORTH + 10)]))


def test_the_horizontal_part_of_a_system_is_taken_and_the_heights_are_labelled(tmp_path: Path) -> None:
    path = write(
        tmp_path / "nap.json", {"b": square()}, SQUARE, metadata={"referenceSystem": "urn:ogc:def:crs:EPSG::7415"}
    )
    layer = layers_of(path)["Building"]
    assert layer.crs == crs.parse(28992)
    assert layer.warnings[0] == "heights are kept as they are, in EPSG:5709 (NAP height)"
    assert next(iter(records_of(layer).values()))["height_system"] == "EPSG:5709 (NAP height)"


@pytest.mark.parametrize(
    ("geometry", "said"),
    [
        ({"boundaries": [[[0, 1, 99]]]}, "99 of 4"),
        ({"boundaries": [[[0, -1, 2]]]}, "-1 to 2 of 4"),
        ({"boundaries": [[0, 1, 2]]}, "makes no sense"),
        ({"boundaries": [[["0", "1", "2"]]]}, "makes no sense"),
        ({"boundaries": None}, "makes no sense"),
        ({"boundaries": [[[0, 1, 2]]], "lod": "2", "semantics": {"surfaces": GROUND_ONLY, "values": [0, 0]}}, "sense"),
        ({"boundaries": [[[0, 1, 2]]], "lod": "2", "semantics": {"surfaces": GROUND_ONLY, "values": [7]}}, None),
    ],
)  # fmt: skip
def test_a_geometry_that_makes_no_sense_costs_its_object_only(
    geometry: dict[str, Any], said: str | None, tmp_path: Path
) -> None:
    bad = {"type": "Building", "geometry": [{"type": "MultiSurface", "lod": "0", **geometry}]}
    layer = layers_of(write(tmp_path / "bad.json", {"bad": bad, "good": square()}, SQUARE))["Building"]
    shapes = dict(zip(layer.table()["source_global_id"].to_pylist(), layer.table()["geom"].to_pylist(), strict=True))
    assert shapely.from_wkb(shapes["good"]).area == pytest.approx(100)
    if said is not None:
        assert shapely.from_wkb(shapes["bad"], on_invalid="ignore") is None
        assert any("object 'bad'" in warning and said in warning for warning in layer.warnings)


@pytest.mark.parametrize("vertex", [[0, 0], ["a", 0, 0], None, [0, 0, None]])
def test_a_vertex_that_is_none_costs_its_object_only(vertex: Any, tmp_path: Path) -> None:
    first = {"type": "CityJSON", "version": "2.0", "transform": {"scale": [1] * 3, "translate": [EAST, NORTH, 0]},
             "CityObjects": {}, "vertices": []}  # fmt: skip
    good = {"type": "CityJSONFeature", "id": "good", "CityObjects": {"good": square()}, "vertices": SQUARE}
    bad = {"type": "CityJSONFeature", "id": "bad", "CityObjects": {"bad": square()}, "vertices": [vertex, *SQUARE[1:]]}
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(map(json.dumps, (first, bad, good))), encoding="utf-8")
    layer = layers_of(path)["Building"]
    assert any("object 'bad'" in warning for warning in layer.warnings)
    shapes = dict(zip(layer.table()["source_global_id"].to_pylist(), layer.table()["geom"].to_pylist(), strict=True))
    assert shapely.from_wkb(shapes["bad"], on_invalid="ignore") is None
    assert shapely.from_wkb(shapes["good"]).area == pytest.approx(1e8)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"version": "0.8"}, r"is CityJSON 0\.8; read are 1\.0, 1\.1, 2\.0"),
        ({"transform": None}, "has no transform"),
        ({"transform": {"scale": [1, 1], "translate": [0, 0, 0]}}, "three numbers"),
        ({"transform": {"scale": [0, 1, 1], "translate": [0, 0, 0]}}, "scales not zero"),
        ({"CityObjects": []}, "CityObjects is no object"),
        ({"CityObjects": {"b": 3}}, "a type each"),
        ({"metadata": {"referenceSystem": "EPSG:999999"}}, "referenceSystem"),
        ({"CityObjects": {"b": {"type": "Building", "children": ["gone"]}}}, "a child 'gone' that the file does not"),
        ({"CityObjects": {"b": {"type": "Building", "children": ["b"]}}}, "a child twice, or of itself"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused_with_the_reason(
    members: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "wrong.city.json", {}, [], **members)
    with pytest.raises(InvalidData, match=rf"wrong\.city\.json.*{said}"):
        layers_of(path)


def test_a_part_of_what_is_not_there_stands_for_itself(tmp_path: Path) -> None:
    part = square(type="BuildingPart", parents=["elsewhere"])
    layers = layers_of(write(tmp_path / "a.city.json", {"a": square(), "p": part}, SQUARE))
    assert {name: layer.table().num_rows for name, layer in layers.items()} == {"Building": 1, "BuildingPart": 1}


def test_a_part_that_its_parent_does_not_name_is_not_lost_in_silence(tmp_path: Path) -> None:
    part = square(type="BuildingPart", parents=["a"])
    with pytest.raises(InvalidData, match="object 'p' names a parent that does not name it as its child"):
        layers_of(write(tmp_path / "a.city.json", {"a": square(), "p": part}, SQUARE))


def test_what_is_said_of_objects_may_hold_braces(tmp_path: Path) -> None:
    damaged = square(geometry=[{"type": "MultiSurface", "lod": "0", "boundaries": [[[0, 1, 9]]]}])
    layers = layers_of(write(tmp_path / "a.city.json", {"{0A-1}": damaged}, SQUARE))
    said = "object '{0A-1}' has a geometry that makes no sense: its boundaries name vertices 0 to 9 of 4"
    assert layers["Building"].warnings == [said]


def test_version_1_0_needs_no_transform_and_counts_its_levels(tmp_path: Path) -> None:
    one = square()
    one["geometry"][0]["lod"] = 0
    vertices = [[EAST + x / 1000, NORTH + y / 1000, z] for x, y, z in SQUARE]
    path = tmp_path / "old.json"
    document = {"type": "CityJSON", "version": "1.0", "CityObjects": {"b": one}, "vertices": vertices}
    path.write_text(json.dumps(document), encoding="utf-8")
    (record,) = records_of(layers_of(path)["Building"]).values()
    assert record["geom"].area == pytest.approx(100)
    assert record["body_file"] is None


def test_bodies_are_in_the_store_once_their_objects_are_in_the_database(
    database: Database, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    store = database.settings.files_dir
    ingest(database, [SAMPLES[0]], Options(dry_run=True))
    assert not list(store.rglob("*")) if store.exists() else True
    report = ingest(database, [SAMPLES[0]], Options())
    assert report.total()["inserted"] == 3
    for row in rows("building", "body_file", "attributes"):
        content = stored_path(store, row["body_file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["body_file"]
    assert not [p for p in store.rglob("*") if p.is_file() and ".staging" in p.parts]
    eaves = [row["eaves_height"] for row in rows("building", "eaves_height")]
    assert sorted(eaves, key=str) == [12.0, 6.0, None]  # as drawn; a block has none
    again = ingest(database, [SAMPLES[1]], Options())
    assert (again.total()["updated"], again.total()["inserted"], again.total()["unchanged"]) == (0, 0, 3)


def test_an_object_without_sense_is_rejected_and_counted(database: Database, tmp_path: Path) -> None:
    bad = {"type": "Building", "geometry": [{"type": "MultiSurface", "lod": "0", "boundaries": [[[0, 1, 99]]]}]}
    report = ingest(database, [write(tmp_path / "bad.json", {"bad": bad, "good": square()}, SQUARE)], Options())
    (layer,) = report.files[0].layers
    assert (layer.read, layer.inserted, layer.rejected) == (2, 1, 1)


def test_a_file_that_is_refused_leaves_no_bodies(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_bytes(SAMPLES[0].read_bytes()[:-400])
    report = ingest(database, [path], Options())
    assert report.files[0].status == "refused"
    assert not [p for p in database.settings.files_dir.rglob("*") if p.is_file()]
    with database.engine.connect() as connection:
        table = database.table("building")
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0


def test_a_hundred_thousand_vertices_have_exact_millimetres(tmp_path: Path) -> None:
    """Float arithmetic on the way must not move a coordinate of the grid."""
    path = write(tmp_path / "grid.json", {"b": square()}, [[x + 1, y + 1, z + 1] for x, y, z in SQUARE])
    files: list[bytes] = []
    one = {"type": "Building", "geometry": [{"type": "MultiSurface", "lod": "1", "boundaries": [[[0, 1, 2, 3]]]}]}
    path = write(tmp_path / "grid.json", {"b": one}, [[x + 1, y + 1, z + 1] for x, y, z in SQUARE])
    layers_of(path, ReadOptions(keep=lambda data: files.append(data) or "0" * 64))
    kept = json.loads(files[0].splitlines()[1])["vertices"]
    assert kept == (np.array(SQUARE) + 1 + [EAST * 1000, NORTH * 1000, 0]).tolist()
