from __future__ import annotations

import json
import random
from datetime import date
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.features import (
    Output,
    Selection,
    select_count,
    select_extents,
    select_item,
    select_named,
    select_page,
    select_rows,
)
from cim.db.spatial import Shape, place
from cim.errors import CrsError, InvalidFilter, NotFound

EVERYTHING = ["A1", "A2", "B1", "B2", "a3"]


def page(
    database: Database, limit: int = 100, after: str | None = None, output: Output | None = None, **asked: Any
) -> Any:
    with database.engine.connect() as connection:
        chosen = connection.execute(select_page(database, "building", Selection(**asked), limit, after)).one()
        revisions = chosen.revisions or []
        size, shown = asked.get("tree_size"), output or Output()
        wanted = [revision.removesuffix(" 1") for revision in revisions[:limit]]  # each was written once
        rows = connection.execute(select_named(database, "building", wanted, size, shown)).all()
    texts = {row.revision: json.loads(row.feature) for row in rows}
    return [texts[one] for one in revisions[:limit]], len(texts), chosen.last, len(revisions) > limit


def codes(database: Database, **asked: Any) -> list[str]:
    features, _, _, _ = page(database, **asked)
    with database.engine.connect() as connection:
        counted = connection.execute(select_count(database, "building", Selection(**asked))).scalar_one()
    assert counted == len(features)
    return [feature["id"] for feature in features]


# 0.00001 degrees are 0.87 m east and 1.11 m north. The origin is 117° E, 38.99546° N; A1 covers 10 m from there.
@pytest.mark.parametrize(
    ("bbox", "srid", "expected"),
    [
        ((116.99, 38.99, 117.02, 39.01), 4326, EVERYTHING),
        ((117.0, 38.995, 117.002, 38.996), 4326, ["A1", "A2", "a3"]),
        ((117.00013, 38.995, 117.001, 38.996), 4326, ["a3"]),  # between A1 and A2: 11.3 m to 86.6 m
        ((117.00011, 38.995, 117.001, 38.996), 4326, ["A1", "a3"]),  # 9.5 m
        ((-180, -90, 180, 90), 4326, EVERYTHING),
        ((0, 0, 120, 60), 4326, EVERYTHING),
        ((0, 40, 10, 50), 4326, ["a3"]),
        ((-180, -90, -179, -89), 4326, ["a3"]),
        ((177, -60, -177, 60), 4326, ["a3"]),
        ((116, -60, -177, 60), 4326, EVERYTHING),
        ((500_000, 4_318_000, 500_005, 4_318_005), 4548, ["A1", "a3"]),
        ((500_010, 4_318_010, 500_020, 4_318_020), 4548, ["A1", "a3"]),  # touching at a corner
        ((500_010.001, 4_318_010, 500_020, 4_318_020), 4548, ["a3"]),
        ((117.0, 38.995, 117.002, 38.996), 4490, ["A1", "A2", "a3"]),
        ((13_024_380, 4_721_000, 13_024_600, 4_722_000), 3857, ["A1", "A2", "a3"]),
        ((117.00005, 38.9955, 117.00005, 38.9955), 4326, ["A1", "a3"]),  # a point
    ],
)
def test_box(town: Database, bbox: tuple[float, ...], srid: int, expected: list[str]) -> None:
    assert codes(town, bbox=bbox, bbox_srid=srid) == expected


def test_box_meets_the_geometry_not_its_envelope(database: Database) -> None:
    triangle = "SRID=4548;MULTIPOLYGON(((500000 4318000,500100 4318000,500000 4318100,500000 4318000)))"
    with database.engine.begin() as connection:
        connection.execute(sa.insert(database.table("building")), [{"code": "T", "geom": triangle}])
    assert codes(database, bbox=(500_060, 4_318_060, 500_090, 4_318_090), bbox_srid=4548) == []
    assert codes(database, bbox=(500_040, 4_318_040, 500_090, 4_318_090), bbox_srid=4548) == ["T"]
    assert codes(database, bbox=(117.0007, 38.99600, 117.0010, 38.99627)) == []
    assert codes(database, bbox=(117.0004, 38.99580, 117.0010, 38.99627)) == ["T"]


@pytest.mark.parametrize("srid", [4326, 3857])
def test_boxes_find_what_meets_them(database: Database, srid: int) -> None:
    """Near the edge of a zone, where boxes stand askew, beside PostGIS' answer about each object."""
    many = sa.text("""
        INSERT INTO city.building (code, geom)
        SELECT 'b' || i, ST_Multi(ST_MakeEnvelope(x, y, x + 2, y + 2, 4548))
        FROM generate_series(0, 19999) i,
            LATERAL (SELECT 640000 + 7.3 * (i * 7919 % 1000) AS x, 4310000 + 7.1 * (i * 104729 % 1013) AS y) at
    """)
    exact = sa.text("""
        SELECT count(*) FROM city.building
        WHERE ST_Intersects(ST_Transform(geom, :srid), ST_MakeEnvelope(:west, :south, :east, :north, :srid))
    """)
    to_box = pyproj.Transformer.from_crs(4548, srid, always_xy=True)
    chosen = random.Random(5)
    with database.engine.connect() as connection:
        connection.execute(many)
        for size in (200, 400, 2_000, 6_000) * 4:
            x, y = 640_000 + chosen.random() * 2_000, 4_310_000 + chosen.random() * 2_000
            (west, south), (east, north) = to_box.transform(x, y), to_box.transform(x + size, y + size)
            bounds = {"west": west, "south": south, "east": east, "north": north}
            selection = Selection(bbox=(west, south, east, north), bbox_srid=srid)
            found = connection.execute(select_count(database, "building", selection)).scalar_one()
            assert found == connection.execute(exact, {"srid": srid, **bounds}).scalar_one() > 0


@pytest.mark.parametrize("size", [300, 2_000, 10_000, 100_000, 1_000_000])
@pytest.mark.parametrize(
    ("storage", "srid", "west", "south"),
    [(4548, 4326, 112, 35), (4548, 3857, 119, 50), (32633, 3857, 10, 70), (2326, 3857, 113, 22)],
)
def test_edges_stay_within_the_margin(storage: int, srid: int, west: float, south: float, size: float) -> None:
    """By half of it at most, between points a fifth of the shape apart: four times as far as the index has them."""
    to_shape = pyproj.Transformer.from_crs("OGC:CRS84", srid, always_xy=True)
    to_storage = pyproj.Transformer.from_crs(srid, storage, always_xy=True)
    x, y = to_shape.transform(west, south)
    shape = shapely.box(x, y, *to_shape.transform(west + size / 111_320, south + size / 111_320))
    found = place(Shape(shape, srid), storage)
    assert found is not None

    def stored(step: float) -> Any:
        along = shapely.get_coordinates(shapely.segmentize(shape, step))
        return np.column_stack(to_storage.transform(*along.T))

    strays = shapely.distance(shapely.points(stored(found.step / 5)), shapely.linestrings(stored(found.step * 4)))
    assert strays.max() < found.margin / 2


def test_small_box_asks_the_indexes(database: Database) -> None:
    many = """
        INSERT INTO city.building (code, name, geom)
        SELECT 'b' || i, repeat('x', 200), ST_Multi(ST_MakeEnvelope(x, 4318000, x + 10, 4318010, 4548))
        FROM generate_series(1, 5000) i, LATERAL (SELECT 500000 + 20 * i AS x) at
    """
    box = (500_100, 4_318_000, 500_200, 4_318_010)
    with database.engine.connect() as connection:
        connection.exec_driver_sql(many)
        connection.exec_driver_sql("ANALYZE city.building, cim.revision")
        for tree_size, table in ((None, "building"), (0, "revision")):
            statement = select_count(database, "building", Selection(bbox=box, bbox_srid=4548, tree_size=tree_size))
            text = statement.compile(dialect=connection.dialect)
            plan = connection.exec_driver_sql(f"EXPLAIN {text}", text.params).scalars().all()
            asked = {line.split()[5] for line in plan if "Bitmap Index Scan" in line}
            # What has no geometry meets every box; the spatial index finds it only by looking at all of itself.
            assert asked == {f"{table}_geom", f"{table}_without_geom"}, plan
        # Of revisions it has none: what the planner thinks it costs to find them there changes from sample to sample.
        connection.exec_driver_sql("SET enable_seqscan = off")
        plan = connection.exec_driver_sql("EXPLAIN SELECT FROM cim.revision WHERE geom IS NULL").scalars().all()
        assert not any("revision_geom" in line for line in plan), plan


@pytest.mark.parametrize(
    ("bbox", "srid", "message"),
    [
        ((1.0, 5.0, 2.0, 4.0), 4326, "minimum 5 is above maximum 4"),
        ((float("nan"), 0, 1, 1), 4326, "finite"),
        ((0, 0, float("inf"), 1), 4326, "finite"),
        ((0, 0, 200, 1), 4326, "range of degrees"),
        ((38, 117, 39, 118), 4326, "check the axis order"),
    ],
)
def test_box_that_is_none(town: Database, bbox: tuple[float, ...], srid: int, message: str) -> None:
    with pytest.raises(InvalidFilter, match=message):
        codes(town, bbox=bbox, bbox_srid=srid)


def test_box_in_a_crs_without_a_known_path(town: Database) -> None:
    with pytest.raises(CrsError, match="Hong Kong 1980"):
        codes(town, bbox=(836_000, 818_000, 837_000, 819_000), bbox_srid=2326)


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ((None, None), EVERYTHING),
        ((date(2020, 6, 29), None), ["A1", "A2", "B1", "B2"]),
        ((date(2020, 6, 30), None), ["A1", "B1", "B2"]),
        ((None, date(1984, 12, 31)), ["A1", "B1", "a3"]),
        ((date(1999, 12, 30), date(1999, 12, 30)), ["A1", "A2", "B1", "a3"]),
        ((date(1999, 12, 31), date(1999, 12, 31)), ["A1", "A2", "B1"]),
    ],
)
def test_period(town: Database, period: tuple[date | None, date | None], expected: list[str]) -> None:
    assert codes(town, period=period) == expected


def test_equal(town: Database) -> None:
    assert codes(town, equal={"year_built": "1960"}) == ["A1", "a3"]
    assert codes(town, equal={"year_built": "1960", "name": "Alpha"}) == ["A1"]
    assert codes(town, equal={"has_lift": "true"}) == ["A2", "B2"]
    assert codes(town, equal={"valid_from": "1985-01-01"}) == ["A2"]
    assert codes(town, equal={"name": "alpha's annex"}) == ["A2"]
    for name, text in {"year_built": "x", "has_lift": "1", "valid_from": "1985-02-30", "year_built ": "1"}.items():
        with pytest.raises(InvalidFilter):
            codes(town, equal={name: text})
    with pytest.raises(InvalidFilter, match="integer"):
        codes(town, equal={"year_built": str(2**63)})


def test_pages_follow_code_points_and_end(town: Database) -> None:
    first = page(town, limit=2)
    assert ([f["id"] for f in first[0]], *first[1:]) == (["A1", "A2"], 2, "A2", True)
    second = page(town, limit=3, after="A2")
    assert ([f["id"] for f in second[0]], *second[1:]) == (["B1", "B2", "a3"], 3, "a3", False)
    assert page(town, limit=2, after="a3") == ([], 0, None, False)
    assert page(town, limit=5)[3] is False
    assert page(town, limit=4)[3] is True


def test_feature(town: Database) -> None:
    features = {f["id"]: f for f in page(town)[0]}
    alpha = features["A1"]
    assert list(alpha) == ["type", "id", "geometry", "properties"]
    assert alpha["type"] == "Feature"
    names = {p.name for p in town.dictionary.type("building").properties}
    assert alpha["properties"].keys() == names | {"code", "attributes"}
    assert {k: v for k, v in alpha["properties"].items() if v is not None} == {
        "code": "A1", "name": "Alpha", "height": 12.5, "year_built": 1960, "has_lift": False,
        "structure": "brick_wood", "valid_from": "1960-05-01",
    }  # fmt: skip
    assert features["a3"]["geometry"] is None
    assert features["B2"]["properties"]["name"] == "贝塔"


def test_geometry_survives_the_way_out_and_back(town: Database) -> None:
    """Nine decimals of a degree come back within a tenth of a millimetre."""
    out = page(town, equal={"code": "B1"})[0][0]["geometry"]
    assert out["type"] == "MultiPolygon"
    assert "crs" not in out
    with town.engine.connect() as connection:
        far = connection.execute(
            sa.text(
                "SELECT max(ST_Distance(ST_Transform(ST_SetSRID(p.geom, 4326), 4548), b.geom)) FROM city.building b, "
                "LATERAL ST_DumpPoints(ST_GeomFromGeoJSON(:g)) p WHERE b.code = 'B1'"
            ),
            {"g": json.dumps(out)},
        ).scalar_one()
    assert far < 1e-4


def test_output_crs_and_axis_order(town: Database) -> None:
    def corner(output: Output) -> list[float]:
        geometry = page(town, output=output, equal={"code": "A1"})[0][0]["geometry"]
        return geometry["coordinates"][0][0][0]  # type: ignore[no-any-return]

    assert corner(Output(4548, False, 3)) == [500_000, 4_318_000]
    assert corner(Output(4548, True, 3)) == [4_318_000, 500_000]
    # 117° E is the central meridian; 38.995460° N from the meridian arc by hand is pyproj's as well.
    assert corner(Output()) == pytest.approx([117.0, 38.99546023], abs=1e-8)
    assert corner(Output(4326, True, 9)) == pytest.approx([38.99546023, 117.0], abs=1e-8)


def test_private_values_never_leave(town: Database) -> None:
    with town.engine.connect() as connection:
        feature = connection.execute(select_item(town, "unit", "U1", None, Output())).one().feature
        row = connection.execute(select_rows(town, "unit")).mappings().one()
    assert b"Li Lei" not in feature
    assert b"owner" not in feature
    assert not [name for name in row if "owner" in name]
    with pytest.raises(NotFound, match="no public property owner_name"):
        select_rows(town, "unit", properties=["owner_name"])


def test_item(town: Database) -> None:
    with town.engine.connect() as connection:
        row = connection.execute(select_item(town, "building", "A2", None, Output(4548, False, 3))).one()
        assert connection.execute(select_item(town, "building", "A9", None, Output())).one_or_none() is None
    assert row.rev == 1
    assert json.loads(row.feature)["properties"]["name"] == "alpha's annex"
    with pytest.raises(NotFound, match="no feature type"):
        select_item(town, "castle", "A2", None, Output())


def test_extent_holds_the_data(town: Database) -> None:
    with town.engine.connect() as connection:
        extents = {row[0]: row[1:] for row in connection.execute(select_extents(town)).all()}  # type: ignore[arg-type]
    west, south, east, north = extents["building"]
    # B2 begins 500 m west, B1 ends 1010 m east: 500/86619 and 1010/86619 degrees.
    assert west == pytest.approx(117 - 0.00577, abs=1e-4)
    assert east == pytest.approx(117 + 0.01166, abs=1e-4)
    assert south < 38.99547
    assert north > 39.0045
    assert extents["parcel"] == (None, None, None, None)


def test_rows(town: Database) -> None:
    with town.engine.connect() as connection:
        rows = (
            connection.execute(select_rows(town, "building", properties=["name", "height"], limit=2)).mappings().all()
        )
        assert list(rows[0]) == ["code", "name", "height", "geom"]
        assert [r["code"] for r in rows] == ["A1", "A2"]
        assert shapely.from_wkb(rows[0]["geom"]).area == 100
        everything = connection.execute(select_rows(town, "building", where="height > 20")).mappings().all()
        assert [r["code"] for r in everything] == ["A2", "B2"]
        here = select_rows(town, "building", bbox=(500_000, 4_318_000, 500_001, 4_318_001))
        assert [r.code for r in connection.execute(here)] == ["A1", "a3"]
        there = select_rows(town, "building", bbox=(117.0, 38.995, 117.0001, 38.996), bbox_crs="OGC:CRS84")
        assert [r.code for r in connection.execute(there)] == ["A1", "a3"]
    with pytest.raises(InvalidFilter, match="limit"):
        select_rows(town, "building", limit=-1)


def test_as_of_reads_the_log_not_the_table(town: Database) -> None:
    """Nothing is sequenced here, so tree size 0 is an empty city, whatever the tables hold."""
    assert codes(town, tree_size=0) == []
    with town.engine.connect() as connection:
        assert connection.execute(select_rows(town, "building", tree_size=0)).all() == []
        assert connection.execute(select_item(town, "building", "A1", 0, Output())).one_or_none() is None
