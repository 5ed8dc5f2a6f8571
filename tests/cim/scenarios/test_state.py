from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

import pyproj
import pytest
import rfc8785
import shapely
import sqlalchemy as sa

from cim.db.engine import SPARE, Database
from cim.db.script import query
from cim.errors import CimError, CrsError, InvalidData, NotFound
from cim.log.tree import leaf_hash
from cim.scenarios import _reads, canonical, run
from cim.scenarios._kept import ANSWERS
from cim.scenarios._state import snapshot
from tests.cim.scenarios.conftest import box, building

DISTRICT = "RD-TEST-01"
P1, P2 = "130629001001GB00001", "130629001001GB00002"
SQUARE = shapely.box(500_000, 4_320_000, 500_100, 4_320_100)
OPTIONS: dict[str, dict[str, Any]] = {
    "district-inventory": {"list_objects": True, "group_by": ["decade", "structure", "usage"]},
    "density-indicators": {"level": "parcel", "gfa_rule": "with_basement"},
    "service-coverage": {"list_objects": True},
}

everywhere = pytest.mark.parametrize("scenario_id", OPTIONS)


def demolish(database: Database, number: int) -> None:
    buildings = database.table("building")
    with database.engine.begin() as connection:
        code = f"{P1}F{number:04d}0000"
        connection.execute(sa.update(buildings).where(buildings.c.code == code).values(status="demolished"))


def size_of(database: Database) -> int:
    with database.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT size FROM cim.tree_state").scalar_one())


@everywhere
@pytest.mark.parametrize("membership", ["clip", "point_on_surface", "intersects"])
def test_live_tables_and_log_give_the_same_bytes(unchanging: Database, scenario_id: str, membership: str) -> None:
    inputs = {"scope": DISTRICT, "membership": membership, **OPTIONS[scenario_id]}
    live = run(unchanging, scenario_id, inputs)
    logged = run(unchanging, scenario_id, inputs, use_live=False)
    assert canonical(live) == canonical(logged)
    assert canonical(live) == rfc8785.dumps(live)


@everywhere
def test_an_old_state_answers_with_the_same_bytes_after_edits(
    city: Database, put: Callable[..., int], building: Any, box: Any, scenario_id: str
) -> None:
    inputs = {"scope": DISTRICT, **OPTIONS[scenario_id]}
    size = size_of(city)
    before = run(city, scenario_id, inputs)
    demolish(city, 1)
    put(city, {"building": [building(41, box(60, 60, 10, 10), gross_floor_area=200.0, storeys_above=2)]})
    after = run(city, scenario_id, inputs)
    assert before["assessment"]["tree_size"] == size
    assert after["assessment"]["tree_size"] == size + 2
    for part in ("result", "assessment"):
        assert before[part] != after[part]
    assert after["assessment"]["read_set"] != before["assessment"]["read_set"]
    assert canonical(run(city, scenario_id, inputs | {"as_of": size})) == canonical(before)
    assert canonical(run(city, scenario_id, inputs | {"as_of": str(size)})) == canonical(before)


@everywhere
def test_an_edit_that_the_log_has_not_reached_is_not_seen(
    city: Database, put: Callable[..., int], scenario_id: str
) -> None:
    inputs = {"scope": DISTRICT, **OPTIONS[scenario_id]}
    before = canonical(run(city, scenario_id, inputs))
    demolish(city, 1)
    assert canonical(run(city, scenario_id, inputs)) == before
    put(city, {})
    assert canonical(run(city, scenario_id, inputs)) != before


def test_what_is_read_beside_is_read_in_the_same_snapshot(city: Database, put: Callable[..., int]) -> None:
    count = sa.text("SELECT count(*) FROM city.building")
    with snapshot(city) as first:
        name = first.execute(query("scenarios/snapshot")).scalar_one()
        standing = first.execute(count).scalar_one()
        put(city, {"building": [building(99, box(70, 70, 5, 5))]})
        with snapshot(city, of=name) as beside, city.engine.connect() as later:
            assert beside.execute(count).scalar_one() == standing
            assert later.execute(count).scalar_one() == standing + 1


def test_where_no_connection_is_free_all_is_read_on_one(unchanging: Database) -> None:
    ANSWERS.clear()
    asked = {"scope": DISTRICT}
    with ExitStack() as taken:
        for _ in range(SPARE):
            taken.enter_context(unchanging.spare.connect())
        alone = canonical(run(unchanging, "district-inventory", asked))
    ANSWERS.clear()
    assert canonical(run(unchanging, "district-inventory", asked)) == alone


def test_where_the_server_takes_no_connection_more_all_is_read_on_one(
    unchanging: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"scope": DISTRICT}
    ANSWERS.clear()
    usual = canonical(run(unchanging, "district-inventory", asked))
    nobody = sa.make_url(unchanging.url).set(database="no_such_database")
    monkeypatch.setitem(unchanging.__dict__, "spare", sa.create_engine(nobody))
    with pytest.raises(sa.exc.OperationalError):
        unchanging.spare.connect()
    ANSWERS.clear()
    assert canonical(run(unchanging, "district-inventory", asked)) == usual


def test_what_fails_beside_fails(unchanging: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the read set cannot be made")

    ANSWERS.clear()
    monkeypatch.setattr(_reads, "_sealing", broken)
    with pytest.raises(RuntimeError, match="read set"):
        run(unchanging, "district-inventory", {"scope": DISTRICT})


def test_an_edit_elsewhere_leaves_result_and_read_set_alone(
    city: Database, put: Callable[..., int], building: Any, box: Any
) -> None:
    before = run(city, "district-inventory", {"scope": DISTRICT})
    put(city, {"building": [building(42, box(300, 300, 10, 10), gross_floor_area=200.0)]})
    after = run(city, "district-inventory", {"scope": DISTRICT})
    assert after["result"] == before["result"]
    assert after["assessment"]["read_set"] == before["assessment"]["read_set"]
    assert after["assessment"]["tree_size"] == before["assessment"]["tree_size"] + 1


def test_moving_the_district_boundary_changes_the_read_set(city: Database, put: Callable[..., int]) -> None:
    before = run(city, "district-inventory", {"scope": DISTRICT})["assessment"]["read_set"]
    districts = city.table("renewal_district")
    with city.engine.begin() as connection:
        connection.execute(sa.update(districts).values(name="renamed"))
    put(city, {})
    after = run(city, "district-inventory", {"scope": DISTRICT})["assessment"]["read_set"]
    assert after["objects"] == before["objects"]
    assert after["sha256"] != before["sha256"]


def test_the_seal_can_be_recomputed_by_hand(unchanging: Database) -> None:
    document = run(unchanging, "district-inventory", {"scope": DISTRICT})
    seal = document["assessment"]
    with unchanging.engine.connect() as connection:
        leaves = connection.exec_driver_sql("SELECT idx, entry, hash FROM cim.leaf ORDER BY idx").all()
        root = connection.exec_driver_sql("SELECT root FROM cim.tree_state").scalar_one()
    entries = [json.loads(leaf.entry) for leaf in leaves]
    # Read: district, parcels, and every building but none of the roads and greens; all meet the district or lie on it.
    read = sorted(
        (entry["type"], entry["code"], index)
        for index, entry in enumerate(entries)
        if entry["type"] in ("renewal_district", "parcel", "building")
    )
    lines = "".join(f"{kind} {code} {index}\n" for kind, code, index in read)
    # The dictionary is leaf 0, district, parcels and buildings are the next ten; roads and greens follow.
    assert seal["read_set"] == {"objects": 10, "sha256": sha256(lines.encode()).hexdigest(), "leaves": [[1, 10]]}
    assert (seal["tree_size"], seal["root"]) == (len(leaves), bytes(root).hex())
    assert all(bytes(leaf.hash) == leaf_hash(bytes(leaf.entry)) for leaf in leaves)
    assert seal["as_of"] == entries[-1]["at"]
    assert seal["reference_date"] == entries[-1]["at"][:10]
    assert seal["inputs_hash"] == sha256(rfc8785.dumps(seal["inputs"])).hexdigest()
    answer = {"result": document["result"], "coverage": document["coverage"]}
    assert seal["result_hash"] == sha256(rfc8785.dumps(answer)).hexdigest()
    assert seal["process"]["id"] == "district-inventory"
    assert seal["origin"] == "example.org/test"
    assert set(seal["software"]) == {"postgis", "geos"}


def test_the_seal_repeats_itself_from_its_own_inputs(unchanging: Database) -> None:
    document = run(unchanging, "density-indicators", {"scope": DISTRICT, "level": "parcel"})
    again = run(unchanging, "density-indicators", document["assessment"]["inputs"])
    assert canonical(again) == canonical(document)


def test_the_clock_is_the_last_entry_and_never_now(city: Database, put: Callable[..., int]) -> None:
    with city.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO cim.revision (xid, type, code, rev, op, at, actor, body)"
            " VALUES (pg_current_xact_id(), 'schema', 'test', 1, 'insert', '2001-02-03 23:59:59-01', 'test', '{}')"
        )
    put(city, {})
    document = run(city, "district-inventory", {"scope": DISTRICT})
    assert document["assessment"]["as_of"] == "2001-02-04T00:59:59.000000Z"
    assert document["assessment"]["reference_date"] == "2001-02-04"
    # 16 a × 360 + 41 a × 100 for 1 and 3; 2 of 2010 and 6 of 2020 have no age yet
    age = document["result"]["age"]
    assert (age["num"], age["den"]) == (16 * 3_600_000 + 41 * 1_000_000, 4_600_000)


def test_a_checkpoint_and_an_instant_name_a_state(city: Database, put: Callable[..., int]) -> None:
    before = run(city, "district-inventory", {"scope": DISTRICT})
    instant = datetime.now(UTC)
    checkpoint = (city.settings.log_dir / "checkpoint").read_text(encoding="utf-8")
    demolish(city, 1)
    put(city, {})
    for as_of in (instant, checkpoint):
        assert canonical(run(city, "district-inventory", {"scope": DISTRICT, "as_of": as_of})) == canonical(before)


def in_degrees(geometry: shapely.Geometry) -> shapely.Geometry:
    to_degrees = pyproj.Transformer.from_crs("EPSG:4548", "EPSG:4490", always_xy=True)
    moved = [to_degrees.transform(x, y) for x, y in geometry.exterior.coords]
    return shapely.Polygon(moved)


@pytest.mark.parametrize("scope_crs", ["EPSG:4548", 4548, "OGC:CRS84", 4490])
def test_a_polygon_in_any_crs_is_the_same_land(unchanging: Database, scope_crs: str | int) -> None:
    degrees = scope_crs in ("OGC:CRS84", 4490)
    land = in_degrees(SQUARE) if degrees else SQUARE
    drawn = run(unchanging, "density-indicators", {"scope": land, "scope_crs": scope_crs})
    named = run(unchanging, "density-indicators", {"scope": DISTRICT})
    assert drawn["result"] == named["result"]
    assert drawn["coverage"]["scope"]["type"] == "polygon"


def test_parcels_by_code_are_their_union(unchanging: Database) -> None:
    inputs = {"reference_date": "2026-06-30"}
    one = run(unchanging, "density-indicators", inputs | {"scope": [P2, P1, P2]})
    other = run(unchanging, "density-indicators", inputs | {"scope": [P1, P2]})
    assert canonical(one) == canonical(other)
    assert one["coverage"]["scope"]["codes"] == [P1, P2]
    # 2000 + 3000 m² of land, all of it parcels; building 2 and 3 lie on parcel 2 entirely
    assert one["result"]["net"]["land"]["value"] == one["result"]["gross"]["land"]["value"] == 5000
    assert one["result"]["net"]["gfa"]["value"] == 360 + 801 + 1000


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({}, InvalidData, "needs the input scope: The land it is about"),
        ({"scope": DISTRICT, "colour": 1}, InvalidData, "has no input colour; it has scope, "),
        ({"scope": 7.5}, InvalidData, "input scope: .*got 7.5"),
        ({"scope": 130638097000}, NotFound, "no renewal district or division '130638097000'"),
        ({"scope": []}, InvalidData, "input scope: "),
        ({"scope": DISTRICT, "membership": "roughly"}, InvalidData, "input membership: .*got 'roughly'"),
        ({"scope": DISTRICT, "reference_date": "2026-02-30"}, InvalidData, "input reference_date: .*2026-02-30"),
        ({"scope": DISTRICT, "as_of": -1}, InvalidData, "input as_of"),
        ({"scope": DISTRICT, "as_of": "yesterday"}, InvalidData, "as-of must be"),
        ({"scope": DISTRICT, "as_of": 99_999}, NotFound, "no tree size 99999"),
        ({"scope": "RD-NOWHERE"}, NotFound, "no renewal district or division 'RD-NOWHERE'"),
        ({"scope": [P1, "P9"]}, NotFound, "no parcel P9"),
        ({"scope": DISTRICT, "rule_pack": "mars"}, NotFound, "no rule pack 'mars'; there are cn-renewal"),
        ({"scope": DISTRICT, "filter": "colour = 'red'"}, InvalidData, "colour"),
        ({"scope": {"type": "Point", "coordinates": [1, 2]}}, InvalidData, "input scope"),
        ({"scope": {"type": "Polygon", "coordinates": [[[0, 0]]]}}, InvalidData, "make no Polygon"),
        ({"scope": {"type": "Polygon", "coordinates": []}}, InvalidData, "is empty"),
        (
            {"scope": shapely.Polygon([(0, 0), (9, 9), (9, 0), (0, 9)]), "scope_crs": 4548},
            CimError,
            "invalid|outside the area",
        ),
        ({"scope": SQUARE}, CrsError, "degrees"),
    ],
)
def test_bad_input_is_named(unchanging: Database, inputs: dict[str, Any], error: type[CimError], message: str) -> None:
    with pytest.raises(error, match=message):
        run(unchanging, "district-inventory", inputs)


def test_a_bow_tie_is_no_land(unchanging: Database) -> None:
    x, y = 500_000, 4_320_000
    bow_tie = shapely.Polygon([(x, y), (x + 9, y + 9), (x + 9, y), (x, y + 9)])
    with pytest.raises(InvalidData, match="Self-intersection"):
        run(unchanging, "district-inventory", {"scope": bow_tie, "scope_crs": 4548})


def test_an_unknown_scenario_names_the_known(unchanging: Database) -> None:
    with pytest.raises(NotFound, match=r"no scenario 'magic'; there are .*density-indicators, .*district-inventory"):
        run(unchanging, "magic", {"scope": DISTRICT})


def test_dates_come_as_python_objects_too(unchanging: Database) -> None:
    text = run(unchanging, "district-inventory", {"scope": DISTRICT, "reference_date": "2020-01-01"})
    day = run(unchanging, "district-inventory", {"scope": DISTRICT, "reference_date": date(2020, 1, 1), "as_of": None})
    assert canonical(text) == canonical(day)
