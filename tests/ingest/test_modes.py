from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
import sqlalchemy as sa

from cim.db.engine import Database
from cim.errors import InvalidData
from ingest import LayerReport, Options, Report, ingest
from ingest.changes import Change, lines
from ingest.rejects import rejects_of
from sample_data import DATA

Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]
Rows = Callable[..., list[dict[str, Any]]]

PARCEL = "130638003001GB00001"
ONE, TWO, THREE = (f"{PARCEL}F000{n}0000" for n in (1, 2, 3))
REPLACE = Options(mode="replace-layer")


@pytest.fixture
def deliver(database: Database, tmp_path: Path, write: Write, square: Shape) -> Callable[..., LayerReport]:
    """Write a layer of buildings at places of their own and take it in."""
    turn = iter(range(100))

    def run(records: list[dict[str, Any]], options: Options = REPLACE, name: str = "building.gpkg") -> LayerReport:
        shapes = [square(20 * int((r.get("code") or "0")[-6])) for r in records]
        path = write(tmp_path / str(next(turn)) / name, records, shapes)
        report = ingest(database, [path], options)
        report.raise_refused()
        (layer,) = report.files[0].layers
        return layer

    return run


def today(database: Database) -> date:
    with database.engine.connect() as connection:
        return connection.execute(sa.text("SELECT CURRENT_DATE")).scalar_one()  # type: ignore[no-any-return]


def revisions(database: Database) -> int:
    with database.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM cim.revision WHERE type <> 'schema'").scalar_one())


def counts(report: Report) -> dict[str, int]:
    return {k: v for k, v in report.total().items() if v and k not in ("provisional", "repaired")}


def test_insert_only_leaves_alone_what_is_there_and_says_how_many(deliver: Any, rows: Rows, database: Database) -> None:
    only = Options(mode="insert-only")
    deliver([{"code": ONE, "height": 5.0}], Options())
    again = [{"code": ONE, "height": 9.0}, {"code": TWO, "height": 7.0}, {"code": ONE, "height": 9.0}]
    layer = deliver(again, only)
    assert (layer.read, layer.inserted, layer.updated, layer.unchanged, layer.rejected) == (3, 1, 0, 1, 1)
    assert "there already, so left as they were: 1" in layer.warnings
    assert [(r["height"], r["rev"]) for r in rows("building")] == [(5.0, 1), (7.0, 1)]
    # The third record repeats the first, though neither says what the object does.
    assert [r.reason.split(" record")[0] for r in rejects_of(database)] == [f"code: {ONE} is a duplicate of"]


def test_what_the_source_no_longer_has_ends_with_the_date_and_lives_again_when_it_is_back(
    deliver: Any, rows: Rows, database: Database
) -> None:
    both = [{"code": ONE, "height": 5.0}, {"code": TWO, "height": 6.0}]
    deliver(both, Options())
    earliest = today(database)
    gone = deliver(both[:1])
    assert (gone.read, gone.unchanged, gone.ended) == (1, 1, 1)
    one, two = rows("building")
    assert (one["code"], one["valid_to"], one["rev"]) == (ONE, None, 1)
    assert (two["code"], two["rev"]) == (TWO, 2)
    assert earliest <= two["valid_to"] <= today(database)
    assert deliver([{"code": ONE, "height": 5.5}]).ended == 0
    back = deliver([{"code": ONE, "height": 5.5}, {"code": TWO, "height": 6.5}])
    assert (back.updated, back.revived) == (1, 1)
    assert [(r["height"], r["valid_to"]) for r in rows("building")] == [(5.5, None), (6.5, None)]
    before = revisions(database)
    assert deliver([{"code": TWO, "height": 6.5}, {"code": ONE, "height": 5.5}]).ended == 0
    assert revisions(database) == before


def test_only_what_the_file_brought_ends(deliver: Any, rows: Rows) -> None:
    deliver([{"code": ONE}, {"code": TWO}], Options())
    deliver([{"code": THREE}, {"code": TWO, "height": 3.0}], Options(type="building"), name="other.gpkg")
    first = deliver([{"code": THREE}], Options(mode="replace-layer", type="building"), name="third.gpkg")
    assert first.ended == 0
    assert any(w.startswith("no earlier delivery of third with building objects is known") for w in first.warnings)
    # Another format is the same layer; TWO belongs to the file that brought it, though another spoke of it since.
    assert deliver([{"code": ONE}], name="building.shp").ended == 1
    assert [(r["code"], r["valid_to"] is None) for r in rows("building")] == [(ONE, True), (TWO, False), (THREE, True)]


def test_a_date_the_source_gives_is_the_source_s(deliver: Any, rows: Rows) -> None:
    deliver([{"code": ONE}, {"code": TWO}], Options())
    deliver([{"code": ONE}])
    layer = deliver([{"code": ONE, "valid_to": "2020-01-02"}, {"code": TWO, "valid_to": "2020-01-03"}])
    assert layer.revived == 0
    assert [r["valid_to"] for r in rows("building")] == [date(2020, 1, 2), date(2020, 1, 3)]


def test_an_object_whose_record_is_rejected_is_not_gone(deliver: Any, rows: Rows) -> None:
    deliver([{"code": ONE, "height": 5.0}, {"code": TWO, "height": 5.0}, {"code": THREE, "height": 5.0}], Options())
    layer = deliver([{"code": ONE, "height": -1.0}, {"code": TWO, "height": 5.0}])
    assert (layer.rejected, layer.ended) == (1, 1)
    assert [r["valid_to"] is None for r in rows("building")] == [True, True, False]
    # A record that does not say whose it is may be about any object.
    unsure = deliver([{"code": ONE, "height": 5.0}, {"code": "13063800300199900", "height": 5.0}])
    assert (unsure.rejected, unsure.ended) == (1, 0)
    assert any(w.startswith("nothing is ended: 1 rejected records name no object") for w in unsure.warnings)


def test_a_rejected_record_known_under_another_name_is_not_gone(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    def deliver(number: int, records: list[dict[str, Any]], options: Options) -> Report:
        shapes = [square(20 * place) for place in range(len(records))]
        return ingest(database, [write(tmp_path / str(number) / "building.gpkg", records, shapes)], options)

    deliver(1, [{"id": "A", "height": 5.0}, {"id": "C", "height": 5.0}], Options())
    deliver(2, [{"id": "B", "height": 5.0}, {"id": "C", "height": 5.0}], Options())  # B is A, by its place
    assert len(rows("building")) == 2
    report = deliver(3, [{"id": "B", "height": -1.0}, {"id": "C", "height": 5.0}], REPLACE)
    assert counts(report) == {"read": 2, "unchanged": 1, "rejected": 1}
    assert [row["valid_to"] for row in rows("building")] == [None, None]


def test_a_type_without_an_end_date_loses_the_object_and_the_log_keeps_it(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    records = [{"id": "a", "name": "clinic"}, {"id": "b", "name": "school"}]
    points = [square().centroid, square(20).centroid]
    ingest(database, [write(tmp_path / "1" / "facility.gpkg", records, points)])
    report = ingest(database, [write(tmp_path / "2" / "facility.gpkg", records[1:], points[1:])], REPLACE)
    assert counts(report) == {"read": 1, "unchanged": 1, "ended": 1}
    assert [row["name"] for row in rows("facility")] == ["school"]
    with database.engine.connect() as connection:
        ops = (
            connection.exec_driver_sql("SELECT op FROM cim.revision WHERE type = 'facility' ORDER BY id")
            .scalars()
            .all()
        )
    assert ops == ["insert", "insert", "delete"]
    back = ingest(database, [write(tmp_path / "3" / "facility.gpkg", records, points)], REPLACE)
    assert counts(back) == {"read": 2, "inserted": 1, "unchanged": 1}


def test_a_delivery_that_is_no_replacement_is_refused(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    whole = write(tmp_path / "1" / "b.gpkg", [{"code": ONE}], [square()], layer="east")
    write(whole, [{"code": TWO}], [square(20)], layer="west", mode="a")
    part = write(tmp_path / "2" / "b.gpkg", [{"code": ONE}], [square()], layer="east")
    empty = write(tmp_path / "3" / "b.gpkg", [{"code": ONE}], [square()], layer="east")
    gpd.GeoDataFrame({"code": []}, geometry=[], crs=4548).to_file(empty, layer="east", driver="GPKG")
    gpd.GeoDataFrame({"code": []}, geometry=[], crs=4548).to_file(empty, layer="west", driver="GPKG", mode="a")
    ingest(database, [whole], Options(type="building")).raise_refused()
    options = Options(type="building", mode="replace-layer")
    report = ingest(database, [part, empty], options)
    errors = [file.error or "" for file in report.files]
    assert "earlier deliveries had west, too, of type building" in errors[0]
    assert "holds no building, and replacing would end all that b.gpkg had" in errors[1]
    assert [row["valid_to"] for row in rows("building")] == [None, None]
    with pytest.raises(InvalidData, match="no mode 'append'"):
        ingest(database, [whole], Options(mode="append"))  # type: ignore[arg-type]


def test_a_dry_run_tells_what_each_object_would_become(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    first = [{"code": ONE, "height": 5.0, "n": 1, "m": "x"}, {"code": TWO, "height": 6.0, "n": 1, "m": "y"}]
    ingest(database, [write(tmp_path / "1" / "building.gpkg", first, [square(), square(20)])])
    second = [{"code": ONE, "height": None, "n": 2, "m": "x"}, {"code": THREE, "height": 1.0, "n": 1, "m": "z"}]
    path = write(tmp_path / "2" / "building.gpkg", second, [square(0, 3), square(40)])
    before, earliest = revisions(database), today(database).isoformat()
    report = ingest(database, [path], Options(mode="replace-layer", dry_run=True))
    day = report.files[0].changes[1].columns["valid_to"][1]
    assert earliest <= day <= today(database).isoformat()
    assert report.files[0].changes == [
        Change(
            "building", ONE, "update", {"height": (5, None), "attributes.n": (1, 2), "geom": ("as it was", "other")}, 3
        ),
        Change("building", TWO, "end", {"valid_to": (None, day)}),
        Change(
            "building",
            THREE,
            "insert",
            {
                "height": (None, 1),
                "attributes.m": (None, "z"),
                "attributes.n": (None, 1),
                "parcel_code": (None, THREE[:19]),
            },
        ),
    ]
    assert list(lines(report.files[0].changes)) == [
        f"~ building {ONE}",
        "    height: 5 → nothing",
        "    attributes.n: 1 → 2",
        "    geom: moves by up to 3.000 m",
        f"- building {TWO}",
        f'    valid_to: nothing → "{day}"',
        f"+ building {THREE}",
        f'    height: 1, parcel_code: "{THREE[:19]}", attributes.m: "z", attributes.n: 1',
    ]
    assert json.loads(json.dumps(report.to_json()))["files"][0]["changes"][1]["columns"] == {"valid_to": [None, day]}
    assert revisions(database) == before


def test_the_list_for_people_is_short() -> None:
    found = [Change("building", str(n), "insert") for n in range(12)]
    assert len(list(lines(found))) == 11
    assert list(lines(found))[-1] == "+ and 2 more; --json lists them"
    wide = Change("building", "1", "insert", {f"c{n}": (None, n) for n in range(9)})
    assert list(lines([wide])) == ["+ building 1", "    c0: 0, c1: 1, c2: 2, c3: 3, c4: 4, c5: 5, and 3 more"]


@pytest.mark.parametrize("column", ["code", "id"])
def test_the_same_data_in_another_order_format_or_crs_with_the_same_coordinates_records_nothing(
    database: Database, tmp_path: Path, column: str
) -> None:
    frame = gpd.read_file(DATA / "district.gpkg", layer="building", engine="pyogrio")
    frame = frame[["code", "name", "usage", "storeys_above", "height", "geometry"]]
    # Names that a Shapefile can hold; `id` is a name of the source's own, so that the codes are provisional ones.
    frame = frame.rename(columns={"code": column, "storeys_above": "floors"})
    shuffled = frame.sample(frac=1, random_state=1)
    others = [
        (".gpkg", frame, 4548),
        (".gpkg", shuffled, 4548),
        (".fgb", shuffled, 4548),
        (".geojson", frame, 4548),
        (".shp", shuffled, 4548),
        (".fgb", frame, 4490),  # degrees of the same datum
        (".gpkg", shuffled, 4527),  # the same projection with the zone's number in the easting
    ]
    paths = []
    for number, (suffix, data, system) in enumerate(others):
        paths.append(tmp_path / str(number) / f"building{suffix}")
        paths[-1].parent.mkdir()
        # GeoJSON in metres needs the member of the 2008 format.
        old = {"RFC7946": "NO"} if suffix == ".geojson" else {}
        data.to_crs(system).to_file(paths[-1], engine="pyogrio", layer="building", **old)
    first = ingest(database, paths[:1])
    assert counts(first) == {"read": len(frame), "inserted": len(frame)}
    before = revisions(database)
    again = ingest(database, paths, Options(force=True, mode="replace-layer"))
    again.raise_refused()
    assert counts(again) == {"read": 7 * len(frame), "unchanged": 7 * len(frame)}
    assert revisions(database) == before == len(frame) == 101


def test_a_run_says_how_many_objects_wait_for_what_they_lie_in(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    one = write(tmp_path / "1" / "building.gpkg", [{"code": ONE}, {"code": TWO}], [square(0), square(20)])
    said = "parcel_code of 2 building objects in the city names no parcel that is there yet"
    assert ingest(database, [one], Options(dry_run=True)).waiting == []
    assert ingest(database, [one]).waiting == [f"{said}: `cim codes orphans` lists them"]
    write(tmp_path / "2" / "building.gpkg", [{"code": THREE}], [square(40)])
    write(tmp_path / "2" / "parcel.gpkg", [{"code": PARCEL}], [square(0)])
    report = ingest(database, [tmp_path / "2"])
    report.raise_refused()
    assert report.waiting == []
