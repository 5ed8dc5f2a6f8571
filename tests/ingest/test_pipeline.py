from __future__ import annotations

import json
import math
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import sqlalchemy as sa

from cim import crs
from cim.codes import provisional
from cim.db.engine import Database
from cim.errors import InvalidData, NotFound
from cim.files import stored_path
from ingest import LayerReport, Options, Report, ingest
from ingest.mapping import load
from ingest.rejects import rejects_of
from sample_data import DATA

Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]
Rows = Callable[..., list[dict[str, Any]]]

# Codes of the real-estate scheme: parcel 19 places, building 28.
PARCEL = "130638003001GB00001"
BUILDING = PARCEL + "F00010000"
OTHER = PARCEL + "F00020000"


def counts(report: Report) -> dict[str, int]:
    return {k: v for k, v in report.total().items() if v and k not in ("provisional", "repaired")}


def revisions(database: Database) -> int:
    with database.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM cim.revision WHERE type <> 'schema'").scalar_one())


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".shp"])
def test_a_layer_named_like_a_type_goes_in_by_the_names_of_its_fields(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows, suffix: str
) -> None:
    records = [
        {"Code": BUILDING, "HEIGHT": 9.5, "name": "一号楼", "remark": "old"},
        {"Code": OTHER, "HEIGHT": None, "name": None, "remark": None},
    ]
    path = write(tmp_path / f"building{suffix}", records, [square(), square(20)])
    report = ingest(database, [path])
    assert counts(report) == {"read": 2, "inserted": 2}
    found = rows("building", "code", "rev", "parcel_code", "height", "name", "attributes", "geom")
    assert found == [
        {
            "code": BUILDING,
            "rev": 1,
            "parcel_code": PARCEL,
            "height": 9.5,
            "name": "一号楼",
            "attributes": {"remark": "old"},
            "geom": "MULTIPOLYGON (((421010 4318000, 421010 4318010, 421000 4318010, 421000 4318000, 421010 4318000)))",
        },
        {
            "code": OTHER,
            "rev": 1,
            "parcel_code": PARCEL,
            "height": None,
            "name": None,
            "attributes": None,
            "geom": "MULTIPOLYGON (((421030 4318000, 421030 4318010, 421020 4318010, 421020 4318000, 421030 4318000)))",
        },
    ]


def test_revisions_do_without_their_indexes_meanwhile_only_for_a_file_of_one_layer(
    database: Database, tmp_path: Path, write: Write, square: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second layer may look up what names its records, which would wait for the first for ever."""
    monkeypatch.setattr("cim.db.load._BULK", 1)

    def index() -> int:
        with database.engine.connect() as connection:
            return int(connection.exec_driver_sql("SELECT 'cim.revision_geom'::regclass::oid").scalar_one())

    (old,) = provisional.mint_many("building", "old", ["1"])
    path = write(tmp_path / "two.gpkg", [{"code": PARCEL, "name": "a"}], [square()], layer="parcel")
    write(path, [{"id": 1, "was": old}], [square()], layer="building")
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(
        '[[layers]]\ntype = "parcel"\ncode = "code"\nsource = {file = "two.gpkg", layer = "parcel"}\n'
        '[[layers]]\ntype = "building"\nsource_id = "id"\nsource = {file = "two.gpkg", layer = "building"}\n'
        'identifiers = {provisional = "was"}\n',
        encoding="utf-8",
    )
    before = index()
    report = ingest(database, [path], Options(mappings=load([mapping], database.dictionary)))
    assert (counts(report), index()) == ({"read": 2, "inserted": 2}, before)
    ingest(database, [write(tmp_path / "green_space.gpkg", [{"id": "g1"}], [square()])])
    assert index() != before


def test_the_same_file_again_is_skipped_and_forced_changes_nothing(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    records = [{"code": BUILDING, "height": 9.1, "n": 1}, {"code": None, "height": 0.1 + 0.2, "n": None}]
    path = write(tmp_path / "building.gpkg", records, [square(0.00049), square(20)])
    ingest(database, [path])
    before = revisions(database)
    again = ingest(database, [path])
    assert [f.status for f in again.files] == ["unchanged"]
    assert counts(again) == {"read": 2, "unchanged": 2}
    forced = ingest(database, [path], Options(force=True))
    assert [f.status for f in forced.files] == ["loaded"]
    assert counts(forced) == {"read": 2, "unchanged": 2}
    assert revisions(database) == before == 2


def test_another_format_of_the_same_data_changes_nothing(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    records = [{"code": BUILDING, "height": 9.1, "note": "a"}]
    ingest(database, [write(tmp_path / "building.gpkg", records, [square()])])
    # Shapefile turns rings the other way and closes names after ten characters.
    others = [write(tmp_path / f"building{s}", records, [square()]) for s in (".shp", ".fgb", ".geojson")]
    report = ingest(database, others)
    assert counts(report) == {"read": 3, "unchanged": 3}


def test_columns_a_layer_lacks_stay_and_columns_it_has_are_replaced(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    first = [{"code": BUILDING, "height": 9.0, "name": "A", "x": 1, "y": 2}]
    second = [{"code": BUILDING, "height": None, "y": None, "z": 3}]
    ingest(database, [write(tmp_path / "1" / "building.gpkg", first, [square()])])
    report = ingest(database, [write(tmp_path / "2" / "building.geojson", second, [square(5)])])
    assert counts(report) == {"read": 1, "updated": 1}
    (found,) = rows("building")
    assert (found["height"], found["name"], found["rev"]) == (None, "A", 2)
    assert found["attributes"] == {"x": 1, "z": 3}
    assert found["geom"].startswith("MULTIPOLYGON (((421015 ")


def test_rejects_are_kept_as_they_came_and_counted(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    records = [
        {"code": BUILDING, "usage": "residential", "height": "9"},
        {"code": "1306380030", "usage": "residential", "height": "9"},
        {"code": OTHER, "usage": "castle", "height": "high"},
        {"code": BUILDING, "usage": "office", "height": "9"},
    ]
    path = write(tmp_path / "building.geojson", records, [square(20 * i) for i in range(4)])
    report = ingest(database, [path])
    assert counts(report) == {"read": 4, "inserted": 1, "rejected": 3}
    assert [row["usage"] for row in rows("building")] == ["residential"]
    kept = rejects_of(database)
    assert [r.source_id for r in kept] == ["2", "3", "4"]
    assert kept[0].reason.startswith("code: cn-bdcdyh refuses '1306380030'")
    assert "usage: expected a value of building_usage" in kept[1].reason
    assert kept[1].reason.endswith("height: expected a number, got 'high'")
    assert kept[2].reason == f"code: {BUILDING} contradicts record 1 of this layer, which has it too"
    assert kept[1].record["properties"] == {"code": OTHER, "usage": "castle", "height": "high"}
    assert kept[1].record["crs"] == "EPSG:4548"
    assert shapely.geometry.shape(kept[1].record["geometry"]).equals(square(40))
    assert len(rejects_of(database, dataset="building.geojson", layer="building")) == 3
    with pytest.raises(NotFound, match=r"no file 'other\.geojson' was taken in"):
        rejects_of(database, dataset="other.geojson")


def test_a_record_of_nothing_is_no_object(database: Database, tmp_path: Path, rows: Rows) -> None:
    """A line of commas, as spreadsheets leave behind."""
    path = tmp_path / "building.csv"
    path.write_text(f"code,name,x,y\n{BUILDING},a,,\n,,,\n,b,,\n", encoding="utf-8")
    report = ingest(database, [path])
    assert counts(report) == {"read": 3, "inserted": 2, "rejected": 1}
    (reject,) = rejects_of(database)
    assert (reject.source_id, reject.reason) == ("2", "holds nothing: no field has a value, and there is no geometry")
    assert [row["name"] for row in rows("building", "name")] == ["a", "b"]


@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
def test_digits_that_geojson_loses_are_told(database: Database, tmp_path: Path, suffix: str) -> None:
    features = [
        {"type": "Feature", "properties": {"long": 20_000_000_000_000_000_001, "short": 1.5}, "geometry": None},
        {"type": "Feature", "properties": {"long": 2, "short": 2.5}, "geometry": None},
    ]
    path = tmp_path / f"building{suffix}"
    whole = json.dumps({"type": "FeatureCollection", "features": features})
    path.write_text(whole if suffix == ".geojson" else "\n".join(map(json.dumps, features)), encoding="utf-8")
    ((layer,),) = [file.layers for file in ingest(database, [path]).files]
    assert [said for said in layer.warnings if "altered" in said] == [
        "numbers of 'long' have more digits than are kept, and came altered: write them as text"
    ]


def test_mended_rejects_replace_the_old_ones(database: Database, tmp_path: Path, write: Write, square: Shape) -> None:
    path = write(tmp_path / "building.geojson", [{"code": BUILDING, "height": -1}], [square()])
    ingest(database, [path])
    ingest(database, [path], Options(force=True))
    assert len(rejects_of(database)) == 1


def test_an_identical_record_is_a_duplicate(database: Database, tmp_path: Path, write: Write, square: Shape) -> None:
    path = write(tmp_path / "building.gpkg", [{"code": BUILDING, "height": 9.0}] * 2, [square()] * 2)
    ingest(database, [path])
    assert [r.reason for r in rejects_of(database)] == [
        f"code: {BUILDING} is a duplicate of record 1 of this layer, which has it too"
    ]


def test_provisional_codes_come_from_the_source_id_and_survive_everything_else(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    first = [{"id": "B-7", "height": 5.0}, {"id": "B-8", "height": 6.0}]
    ingest(database, [write(tmp_path / "1" / "building.gpkg", first, [square(), square(20)])])
    codes = [row["code"] for row in rows("building")]
    assert sorted(codes) == sorted(provisional.mint_many("building", "building", ["B-7", "B-8"]))
    # Next delivery: other order, one moved, one higher.
    second = [{"id": "B-8", "height": 6.5}, {"id": "B-7", "height": 5.0}]
    report = ingest(database, [write(tmp_path / "2" / "building.gpkg", second, [square(20), square(1)])])
    assert counts(report) == {"read": 2, "updated": 2}
    assert [row["code"] for row in rows("building")] == codes


def test_without_identifier_the_geometry_names_the_record_whatever_its_attributes_and_place_in_the_file(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    first = [{"height": 5.0}, {"height": 6.0}]
    report = ingest(database, [write(tmp_path / "1" / "building.gpkg", first, [square(), square(20)])])
    assert "without code and identifier: 2;" in report.files[0].layers[0].warnings[0]
    second = [{"height": 6.5}, {"height": 1.0}, {"height": 5.0}]
    shapes = [square(20), square(40), square()]
    report = ingest(database, [write(tmp_path / "2" / "building.gpkg", second, shapes)])
    assert counts(report) == {"read": 3, "inserted": 1, "updated": 1, "unchanged": 1}


def test_records_that_share_a_geometry_are_told_apart_by_their_content(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    point = square().centroid
    records = [{"name": "clinic"}, {"name": "market"}, {"name": "market"}]
    report = ingest(database, [write(tmp_path / "facility.gpkg", records, [point] * 3)])
    assert counts(report) == {"read": 3, "inserted": 2, "rejected": 1}


def test_a_broken_file_leaves_nothing_and_does_not_stop_the_others(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    write(tmp_path / "building.gpkg", [{"code": BUILDING}], [square()], layer="building")
    write(tmp_path / "building.gpkg", [{"a": 1}], [square()], layer="unknown", mode="a")
    write(tmp_path / "parcel.gpkg", [{"code": PARCEL}], [square(side=50)])
    (tmp_path / "road.geojson").write_text('{"type": "FeatureCollection", "features": [')
    (tmp_path / "notes.txt").write_text("read me")
    report = ingest(database, [tmp_path, tmp_path / "missing.gpkg"])
    assert {Path(f.path).name: f.status for f in report.files} == {
        "building.gpkg": "refused",
        "parcel.gpkg": "loaded",
        "road.geojson": "refused",
        "missing.gpkg": "refused",
    }
    assert report.passed_over == [str(tmp_path / "notes.txt")]
    assert rows("building") == []
    assert len(rows("parcel")) == 1
    with pytest.raises(InvalidData, match="3 of 4 files refused"):
        report.raise_refused()
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name FROM cim.dataset").scalars().all() == ["parcel.gpkg"]


def test_a_dry_run_reports_the_same_and_leaves_nothing(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    path = write(tmp_path / "building.gpkg", [{"code": BUILDING}, {"code": "x"}], [square(), square()])
    report = ingest(database, [path], Options(dry_run=True))
    assert counts(report) == {"read": 2, "inserted": 1, "rejected": 1}
    assert [f.status for f in report.files] == ["dry-run"]
    assert (rows("building"), rejects_of(database), revisions(database)) == ([], [], 0)
    assert counts(ingest(database, [path])) == {"read": 2, "inserted": 1, "rejected": 1}


def test_going_back_to_an_earlier_delivery_is_no_repetition(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    old = write(tmp_path / "1" / "building.gpkg", [{"code": BUILDING, "height": 5.0}], [square()])
    new = write(tmp_path / "2" / "building.gpkg", [{"code": BUILDING, "height": 6.0}], [square()])
    assert [counts(ingest(database, [p])) for p in (old, new, old)] == [
        {"read": 1, "inserted": 1},
        {"read": 1, "updated": 1},
        {"read": 1, "updated": 1},
    ]


def test_a_mapping_names_type_code_columns_and_keeps_the_rest(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    records = [{"编号": BUILDING, "用途": "住宅楼", "高_分米": 95, "备注": "旧"}]
    path = write(tmp_path / "survey_2024.gpkg", records, [square()], layer="houses")
    write(path, [{"a": 1}], [square()], layer="sketch", mode="a")
    mapping = tmp_path / "map" / "survey.json"
    mapping.parent.mkdir()
    document = {
        "source": {"file": "SURVEY_*.gpkg", "layer": "houses"},
        "type": "building",
        "code": "编号",
        "columns": {
            "usage": {"field": "用途", "values": {"住宅楼": "residential"}},
            "height": {"field": "高_分米", "factor": 0.1},
            "structure": {"constant": "mixed"},
        },
        "rest": "attributes",
    }
    mapping.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    report = ingest(database, [path], Options(mappings=load([mapping.parent], database.dictionary)))
    houses, sketch = report.files[0].layers
    assert (houses.type, houses.inserted) == ("building", 1)
    assert sketch == LayerReport("sketch", None, warnings=["no mapping takes this layer"])
    (found,) = rows("building", "usage", "height", "structure", "attributes")
    assert found == {"usage": "residential", "height": 9.5, "structure": "mixed", "attributes": {"备注": "旧"}}


def test_nothing_says_what_a_layer_holds(database: Database, tmp_path: Path, write: Write, square: Shape) -> None:
    path = write(tmp_path / "survey.gpkg", [{"a": 1}], [square()])
    (file,) = ingest(database, [path]).files
    assert file.status == "refused"
    assert "nothing says what layer 'survey' holds" in str(file.error)
    assert "or a --mapping, which --suggest proposes" in str(file.error)
    assert counts(ingest(database, [path], Options(type="building"))) == {"read": 1, "inserted": 1}
    with pytest.raises(NotFound, match="no feature type 'castle'"):
        ingest(database, [path], Options(type="castle"))


def test_the_crs_is_never_guessed(database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows) -> None:
    degrees = shapely.Point(116.1, 39.0)
    stated = write(tmp_path / "facility.geojson", [{"name": "clinic"}], [degrees], system=None)
    (file,) = ingest(database, [stated]).files
    assert "no transformation from EPSG:4326" in str(file.error)
    assert "--assume-crs EPSG:4490" in str(file.error)
    report = ingest(database, [stated], Options(assume_crs=crs.parse(4490)))
    assert report.files[0].layers[0].inserted == 1
    assert any("assumed to be EPSG:4490" in w for w in report.files[0].layers[0].warnings)
    silent = write(tmp_path / "building.gpkg", [{"code": BUILDING}], [square()], system=None)
    (file,) = ingest(database, [silent]).files
    assert "states no CRS; say which with --crs" in str(file.error)
    assert "x runs from 421000 to 421010, y from 4318000 to 4318010" in str(file.error)
    assert str(file.error).endswith("CM 117E); if so, --crs EPSG:4548")
    assert counts(ingest(database, [silent], Options(crs=crs.parse(4548)))) == {"read": 1, "inserted": 1}


def test_revisions_name_actor_reason_and_dataset(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    path = write(tmp_path / "building.gpkg", [{"code": BUILDING}], [square()])
    report = ingest(database, [path], Options(actor="survey office", reason="census 2024"))
    with database.engine.connect() as connection:
        found = connection.execute(
            sa.text("SELECT actor, reason, dataset FROM cim.revision WHERE type = 'building'")
        ).one()
    assert tuple(found) == ("survey office", "census 2024", f"sha256:{report.files[0].sha256}")


def test_a_private_value_goes_in_without_standing_in_the_log(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    unit = PARCEL + "F00010001"
    path = write(tmp_path / "unit.gpkg", [{"code": unit, "owner_name": "某某"}], [square().centroid])
    ingest(database, [path])
    (found,) = rows("unit", "owner_name", "building_code", "parcel_code")
    assert found == {"owner_name": "某某", "building_code": BUILDING, "parcel_code": PARCEL}
    with database.engine.connect() as connection:
        body = connection.execute(sa.text("SELECT body FROM cim.revision WHERE type = 'unit'")).scalar_one()
    assert "owner_name" not in body


def test_a_record_too_large_for_the_log_is_rejected_not_the_file(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    records = [{"code": BUILDING, "remark": "x" * 70_000}, {"code": OTHER, "remark": "x"}]
    report = ingest(database, [write(tmp_path / "building.gpkg", records, [square(), square(20)])])
    assert counts(report) == {"read": 2, "inserted": 1, "rejected": 1}
    assert "the log takes at most 65535" in rejects_of(database)[0].reason


def test_nested_values_keep_their_nulls_and_numbers_their_kind(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    record = {"code": BUILDING, "deep": {"a": None, "b": [1, 2.5]}, "whole": 3, "part": 0.1, "yes": True, "none": None}
    ingest(database, [write(tmp_path / "building.geojson", [record], [square()])])
    (found,) = rows("building", "attributes")
    assert found["attributes"] == {"deep": {"a": None, "b": [1, 2.5]}, "whole": 3, "part": 0.1, "yes": True}


def test_a_hundred_and_more_fields_are_all_kept(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    record = {"code": BUILDING} | {f"Field {i} 'quoted\" %s :x": i for i in range(120)}
    ingest(database, [write(tmp_path / "building.geojson", [record], [square()])])
    (found,) = rows("building", "attributes")
    assert found["attributes"] == {k: v for k, v in record.items() if k != "code"}


def test_curves_become_lines(database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows) -> None:
    # A half circle of radius 10 m, put into a GeoPackage as the specification's blob: header, then ISO WKB.
    straight = shapely.LineString(square().exterior)
    path = write(tmp_path / "road.gpkg", [{"name": "bend"}], [straight], SPATIAL_INDEX="NO")
    corners = np.array([[421000, 4318000], [421010, 4318010], [421020, 4318000]], dtype="<f8")
    curve = struct.pack("<BII", 1, 8, 3) + corners.tobytes()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE road SET geom = ?", (b"GP\0\x01" + struct.pack("<i", 4548) + curve,))
    connection.close()
    for force in (False, True):  # as new, and as known from before
        ((layer,),) = [file.layers for file in ingest(database, [path], Options(force=force)).files]
        assert "curves are stored as lines of straight pieces, 32 to a quarter of a circle" in layer.warnings
    (found,) = rows("road", "geom")
    line = shapely.from_wkt(found["geom"])
    assert line.length == pytest.approx(10 * math.pi, rel=1e-3)
    assert (shapely.get_coordinates(line) == shapely.get_coordinates(line).round(3)).all()


def test_types_are_taken_parents_first(database: Database, tmp_path: Path, write: Write, square: Shape) -> None:
    unit = PARCEL + "F00010001"
    write(tmp_path / "a_unit.gpkg", [{"code": unit}], [square().centroid], layer="unit")
    write(tmp_path / "building.gpkg", [{"code": BUILDING}], [square()])
    write(tmp_path / "parcel.gpkg", [{"code": PARCEL}], [square(side=50)])
    report = ingest(database, [tmp_path])
    assert [Path(f.path).name for f in report.files] == ["parcel.gpkg", "building.gpkg", "a_unit.gpkg"]


def test_a_model_is_kept_in_the_file_store_by_the_digest_its_objects_carry(
    database: Database, tmp_path: Path, rows: Rows
) -> None:
    path = DATA / "models" / "red_flag_slab_mm.ifc"
    ingest(database, [path], Options(dry_run=True))
    assert not database.settings.files_dir.exists()
    ingest(database, [path])
    (building,) = rows("building", "model_file")
    assert stored_path(database.settings.files_dir, building["model_file"]).read_bytes() == path.read_bytes()


def test_the_word_that_otherwise_takes_for_another_is_kept(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    path = write(tmp_path / "a.gpkg", [{"id": "1", "use": "住宅"}, {"id": "2", "use": "祠堂"}], [square(), square(20)])
    mapping = tmp_path / "a.toml"
    mapping.write_text(
        'type = "building"\n[source]\nfile = "a.gpkg"\n[columns]\nusage = {field = "use", otherwise = "other"}\n'
    )
    ingest(database, [path], Options(mappings=load([mapping], database.dictionary)))
    table = database.table("building")
    with database.engine.connect() as connection:
        found = connection.execute(sa.select(table.c.usage, table.c.attributes["use"].astext)).all()
    assert sorted(found) == [("other", "祠堂"), ("residential", "住宅")]
