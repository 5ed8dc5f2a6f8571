"""What is kept added up by parcel: right by hand, right whoever writes meanwhile, and never another answer."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from shapely.geometry import mapping

from cim.city import City
from cim.db.access import Reading, publish
from cim.db.engine import Database
from cim.db.logstore import LogStore
from cim.db.parcels import add_up_parcels
from cim.scenarios import canonical, run
from cim.scenarios._kept import ANSWERS
from cim.settings import Settings
from tests.cim.scenarios.conftest import CITY, DISTRICT, P1, P2, box, building

P3 = "130629001001GB00003"
# A third parcel, which lies in the district with both its buildings: 10 × 8 m of 2 storeys and 6.2 m with 160 m² and 4
# households, of 1985; and 6 × 5 m of 3 storeys, of 1979, whose floor area, height and households nobody knows.
WHOLE: dict[str, list[dict[str, Any]]] = {
    "parcel": [{"code": P3, "geom": box(10, 60, 30, 20), "valid_from": "2001-05-01"}],
    "building": [
        building(
            31,
            box(12, 62, 10, 8),
            parcel_code=P3,
            status="in_use",
            storeys_above=2,
            gross_floor_area=160.0,
            households=4,
            year_built=1985,
            height=6.2,
            valid_to="2040-01-01",
        ),
        building(32, box(30, 70, 6, 5), parcel_code=P3, storeys_above=3, year_built=1979, valid_from="1999-01-01"),
    ],
}


@pytest.fixture
def city(database: Database, put: Callable[..., int]) -> Database:
    put(database, CITY)
    put(database, WHOLE)
    return database


def execute(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def rows(database: Database, statement: str) -> list[Any]:
    with database.engine.connect() as connection:
        return list(connection.exec_driver_sql(statement))


def counting(database: Database) -> list[str]:
    """Codes of the parcels whose rows count."""
    found = rows(
        database,
        "SELECT code FROM cim.parcel_indicator WHERE code NOT IN (SELECT code FROM cim.parcel_touched) ORDER BY code",
    )
    return [row.code for row in found]


def differences(database: Database) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        return [found for found in LogStore(connection).live_differences() if found[0] == "parcel"]


def asked(database: Database, **inputs: Any) -> dict[str, Any]:
    """Return the densities of the district, which the log gives alike."""
    given = {"scope": DISTRICT, "reference_date": "2026-06-30", "level": "parcel", **inputs}
    document = run(database, "density-indicators", given)
    assert canonical(document) == canonical(run(database, "density-indicators", given, use_live=False))
    return dict(document["result"])


def test_the_sums_of_a_parcel_are_those_on_paper(city: Database) -> None:
    # A building of parcel 1 has no geometry.
    assert counting(city) == [P2, P3]
    (row,) = rows(city, f"SELECT *, ST_AsText(extent) AS box FROM cim.parcel_indicator WHERE code = '{P3}'")
    assert row.box == "POLYGON((500010 4320060,500010 4320080,500040 4320080,500040 4320060,500010 4320060))"
    assert (row.land, row.buildings, row.footprint) == (6_000_000, 2, 1_100_000)
    assert (row.gfa, row.gfa_known, row.storeyed, row.unstoreyed) == (1_600_000, 1, 900_000, 0)
    assert (row.statuses, row.without_status) == (["in_use"], 1)
    assert (row.households, row.households_known, row.oldest_year, row.top_height) == (4, 1, 1979, 6_200)
    assert (str(row.valid_from), str(row.valid_to)) == ("2001-05-01", "2040-01-01")
    assert row.building_codes == [f"{P1}F00310000", f"{P1}F00320000"]
    leaves = rows(
        city,
        "SELECT array_agg(l.idx ORDER BY r.code) AS found FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id "
        f"WHERE r.code IN ('{P1}F00310000', '{P1}F00320000')",
    )
    assert row.building_leaves == leaves[0].found
    first, second = leaves[0].found
    assert row.building_lines == f"building {P1}F00310000 {first}\nbuilding {P1}F00320000 {second}\n"
    assert [(run.lower, run.upper) for run in row.building_runs] == [(first, second + 1)]


@pytest.mark.parametrize("between", [None, f"{P1}F00315000"])
def test_a_seal_has_the_lines_in_order_whatever_codes_lie_between_those_of_a_parcel(
    city: Database, put: Callable[..., int], between: str | None
) -> None:
    if between is not None:
        put(city, {"building": [{"code": between, "geom": box(50, 80, 5, 5)}]})
    kept = rows(city, f"SELECT building_lines AS lines FROM cim.parcel_indicator WHERE code = '{P3}'")[0].lines
    # Read are the district and all parcels, but of the buildings those alone that meet it or stand where parcel 1 lies.
    read = rows(
        city,
        "SELECT r.type || ' ' || r.code || ' ' || l.idx AS line, l.idx "
        "FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id "
        "LEFT JOIN city.building b ON r.type = 'building' AND b.code = r.code "
        "WHERE r.type IN ('renewal_district', 'parcel') "
        f"OR r.type = 'building' AND (ST_XMin(b.geom) <= 500100 OR b.geom IS NULL AND b.parcel_code = '{P1}') "
        'ORDER BY r.type COLLATE "C", r.code COLLATE "C"',
    )
    lines = "".join(f"{row.line}\n" for row in read)
    assert (kept in lines) == (between is None)
    sealed = run(city, "district-inventory", {"scope": DISTRICT})["assessment"]["read_set"]
    assert (sealed["objects"], sealed["sha256"]) == (len(read), hashlib.sha256(lines.encode()).hexdigest())
    leaves = [leaf for first, last in sealed["leaves"] for leaf in range(first, last + 1)]
    assert leaves == sorted(row.idx for row in read)
    assert all(later > last + 1 for (_, last), (later, _) in itertools.pairwise(sealed["leaves"]))


def test_a_district_is_answered_from_them(city: Database) -> None:
    """What nothing but the kept row says comes into the answer: so it was taken."""
    (before,) = [p for p in asked(city)["parcels"] if p["code"] == P3]
    assert (before["gfa"]["value"], before["gfa"]["high"], before["far"]["num"]) == (160.0, 250.0, 1_600_000)
    execute(city, f"UPDATE cim.parcel_indicator SET gfa = 7770000 WHERE code = '{P3}'")
    ANSWERS.clear()
    forged = run(city, "density-indicators", {"scope": DISTRICT, "reference_date": "2026-06-30", "level": "parcel"})
    assert [p["gfa"]["value"] for p in forged["result"]["parcels"] if p["code"] == P3] == [777.0]


@pytest.mark.parametrize(
    ("inputs", "floor_area"),
    [
        ({"reference_date": "2000-01-01"}, None),  # the parcel was not there yet, its buildings stand on none
        ({"reference_date": "2041-01-01"}, None),  # one building is gone, the other's area unknown
        ({"gfa_rule": "footprint_storeys"}, 250.0),
        ({"membership": "intersects"}, 160.0),
        ({"membership": "point_on_surface"}, 160.0),
    ],
)
def test_they_count_only_where_they_answer_what_is_asked(
    city: Database, inputs: dict[str, Any], floor_area: float | None
) -> None:
    found = [p["gfa"]["value"] for p in asked(city, **inputs)["parcels"] if p["code"] == P3]
    assert found == ([] if inputs.get("reference_date") == "2000-01-01" else [floor_area])


def test_buildings_that_no_longer_stand_are_told_by_their_status(city: Database, log: Callable[..., int]) -> None:
    execute(city, f"UPDATE city.building SET status = 'demolished' WHERE code = '{P1}F00310000'")
    log(city)
    assert P3 in counting(city)
    assert [p["n"]["value"] for p in asked(city)["parcels"] if p["code"] == P3] == [1]


# A write, and the parcels that it is on.
WRITES = [
    (f"UPDATE city.building SET gross_floor_area = 1 WHERE code = '{P1}F00310000'", [P3]),
    (f"UPDATE city.building SET parcel_code = '{P2}' WHERE code = '{P1}F00310000'", [P2, P3]),
    (f"UPDATE city.building SET parcel_code = NULL WHERE code = '{P1}F00310000'", [P3]),
    (f"DELETE FROM city.building WHERE code = '{P1}F00310000'", [P3]),
    (f"INSERT INTO city.building (code, parcel_code) VALUES ('{P1}F00990000', '{P3}')", [P3]),
    (f"UPDATE city.parcel SET name = 'x' WHERE code = '{P3}'", [P3]),
    (f"UPDATE city.building SET gross_floor_area = 160 WHERE code = '{P1}F00310000'", []),
    ("UPDATE city.green_space SET name = 'x'", []),
]


@pytest.mark.parametrize(("statement", "touched"), WRITES)
def test_whoever_writes_the_parcel_is_measured_again(
    city: Database, log: Callable[..., int], statement: str, touched: list[str]
) -> None:
    execute(city, "SET session_replication_role = replica", statement)
    assert [r.code for r in rows(city, "SELECT DISTINCT code FROM cim.parcel_touched ORDER BY code")] == touched
    assert counting(city) == [code for code in (P2, P3) if code not in touched]
    log(city)
    assert rows(city, "SELECT * FROM cim.parcel_touched") == []
    assert differences(city) == []
    asked(city)


def whole(database: Database, size: int | str) -> list[str]:
    """Codes of the parcels whose sums count at a tree size, wherever they lie."""
    everywhere = "ST_MakeEnvelope(490000, 4310000, 510000, 4330000, (SELECT srid FROM cim.deployment))"
    return [
        row.code for row in rows(database, f"SELECT code FROM cim.whole_parcels({size}, {everywhere}) ORDER BY code")
    ]


@pytest.mark.parametrize(("statement", "touched"), WRITES)
def test_an_earlier_state_takes_the_sums_of_what_was_not_written_since(
    city: Database, log: Callable[..., int], statement: str, touched: list[str]
) -> None:
    (then,) = rows(city, "SELECT size FROM cim.tree_state")[0]
    given = {"scope": DISTRICT, "reference_date": "2026-06-30", "level": "parcel", "as_of": then}
    answer = canonical(run(city, "density-indicators", given))
    untouched = [code for code in (P2, P3) if code not in touched]
    execute(city, statement)
    assert whole(city, then) == untouched
    with city.engine.connect() as connection:
        add_up_parcels(connection)  # what is deleted counts from now on, but has no leaf yet
    assert whole(city, then) == untouched
    log(city)
    assert whole(city, then) == untouched
    for use_live in (True, False):
        assert canonical(run(city, "density-indicators", given, use_live=use_live)) == answer


def test_an_earlier_state_is_answered_from_them(city: Database, log: Callable[..., int]) -> None:
    (then,) = rows(city, "SELECT size FROM cim.tree_state")[0]
    execute(
        city,
        f"UPDATE city.building SET gross_floor_area = 1 WHERE parcel_code = '{P1}'",
        f"UPDATE cim.parcel_indicator SET gfa = 7770000 WHERE code = '{P3}'",
    )
    log(city)
    given = {"scope": DISTRICT, "reference_date": "2026-06-30", "level": "parcel", "as_of": then}
    forged, true = (
        run(city, "density-indicators", given, use_live=live)["result"]["parcels"] for live in (True, False)
    )
    assert [[p["gfa"]["value"] for p in one if p["code"] == P3] for one in (forged, true)] == [[777.0], [160.0]]


def test_they_are_left_where_to_go_through_the_log_takes_longer(city: Database) -> None:
    assert whole(city, "NULL") == [P2, P3]
    assert whole(city, "(SELECT size FROM cim.tree_state)") == [P2, P3]
    assert whole(city, "(SELECT size - 1001 FROM cim.tree_state)") == []


def test_what_has_no_leaf_yet_waits(city: Database, log: Callable[..., int]) -> None:
    execute(city, f"UPDATE city.building SET gross_floor_area = 1 WHERE code = '{P1}F00310000'")
    with city.engine.connect() as connection:
        add_up_parcels(connection)
    assert counting(city) == [P2]
    log(city)
    assert counting(city) == [P2, P3]


def test_who_commits_while_they_are_added_up_is_not_forgotten(city: Database, log: Callable[..., int]) -> None:
    with city.engine.connect() as writer, city.engine.connect() as other:
        writer.exec_driver_sql(f"UPDATE city.building SET gross_floor_area = 1 WHERE code = '{P1}F00310000'")
        other.exec_driver_sql("INSERT INTO cim.parcel_touched (code) SELECT code FROM city.parcel")
        other.commit()
        add_up_parcels(other)
        assert counting(city) == [P2, P3]
        writer.commit()
        assert counting(city) == [P2]
    log(city)
    assert counting(city) == [P2, P3]
    assert [p["gfa"]["value"] for p in asked(city)["parcels"] if p["code"] == P3] == [1.0]


def test_a_row_that_was_tampered_with_is_found(city: Database) -> None:
    assert differences(city) == []
    execute(city, f"UPDATE cim.parcel_indicator SET gfa = gfa + 1 WHERE code = '{P3}'")
    assert [(kind, code) for kind, code, _, _ in differences(city)] == [("parcel", P3)]
    with city.engine.connect() as connection:
        add_up_parcels(connection, anew=True)
    assert differences(city) == []


def test_a_note_that_was_taken_away_is_found(city: Database) -> None:
    execute(
        city,
        f"UPDATE city.building SET gross_floor_area = 1 WHERE code = '{P1}F00310000'",
        "DELETE FROM cim.parcel_touched",
    )
    assert [code for _, code, _, _ in differences(city)] == [P3]


def test_sequencing_adds_up_and_replaying_adds_up_all(settings: Settings, put: Callable[..., int]) -> None:
    with City(settings) as city:
        put(city.database, CITY)
        execute(city.database, "INSERT INTO cim.parcel_touched SELECT code FROM city.parcel")
        city.sequence()
        assert counting(city.database) == [P2]


@pytest.mark.parametrize(("role", "seen"), [("cim_staff", 2), ("cim_public", 2), ("cim_district", 0)])
def test_only_who_may_see_all_sees_the_sums(city: Database, role: Any, seen: int) -> None:
    publish(city)
    with city.engine.connect() as connection:
        for statement in Reading(role).statements():
            connection.exec_driver_sql(statement)
        assert connection.exec_driver_sql("SELECT count(*) FROM cim.parcel_indicator").scalar() == seen


@pytest.fixture(scope="module")
def town(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(Settings(home=tmp_path_factory.mktemp("town"), database_url=clone()))
    yield database
    database.dispose()


@st.composite
def towns(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Nine parcels of 30 × 30 m, and buildings that name one or none, and stand on it, across it or nowhere."""
    maybe = st.one_of(st.none(), st.integers(1, 12))
    days = st.sampled_from([None, None, None, "1990-01-01", "2030-01-01"])
    parcels = [
        {"code": f"P{i}", "geom": box(i % 3 * 30, i // 3 * 30, 30, 30), "valid_from": draw(days)} for i in range(9)
    ]
    buildings: list[dict[str, Any]] = []
    for i in range(draw(st.integers(1, 10))):
        place, size = st.integers(-5, 85), st.integers(1, 12)
        record = {
            "code": f"B{i:02d}",
            "parcel_code": draw(st.sampled_from([None, *(p["code"] for p in parcels)])),
            "geom": box(draw(place), draw(place), draw(size), draw(size)),
            "storeys_above": draw(maybe),
            "height": draw(st.sampled_from([None, None, 9.5])),
            "gross_floor_area": draw(st.one_of(st.none(), st.integers(0, 9999).map(lambda v: v / 10))),
            "status": draw(st.sampled_from([None, "in_use", "in_use", "demolished"])),
            "valid_from": draw(days),
        }
        if draw(st.integers(0, 9)) == 0:
            del record["geom"]
        buildings.append(record)
    return {"parcel": parcels, "building": buildings}


@hypothesis(max_examples=12, deadline=None)
@given(data=st.data())
def test_they_change_no_answer(town: Database, put: Any, log: Any, data: st.DataObject) -> None:
    objects = data.draw(towns())
    execute(town, "DELETE FROM city.building", "DELETE FROM city.parcel")
    put(town, objects)
    target, other = (data.draw(st.sampled_from(objects["building"]))["code"] for _ in range(2))
    execute(
        town,
        f"UPDATE city.building SET parcel_code = 'P4' WHERE code = '{target}'",
        f"UPDATE city.building SET geom = ST_Translate(geom, 7, 3) WHERE code = '{other}'",
    )
    log(town)
    assert differences(town) == []
    west, south = (data.draw(st.integers(-20, 60)) for _ in range(2))
    ring = [[500_000 + west + x, 4_320_000 + south + y] for x, y in ((0, 0), (70, 0), (75, 66), (0, 70), (0, 0))]
    new = {"geometry": mapping(shapely.box(500_040, 4_320_040, 500_050, 4_320_045)), "gross_floor_area": 77.7}
    interventions = [{"target": "P4", "action": "new_build", "params": new}]
    if all(record.get("status") != "demolished" for record in objects["building"] if record["code"] == target):
        interventions.append({"target": target, "action": "demolish"})
    inputs = {
        "scope": {"type": "Polygon", "coordinates": [ring]},
        "scope_crs": 4548,
        "reference_date": "2026-06-30",
        "proposal": data.draw(st.sampled_from([None, {"crs": 4548, "interventions": interventions}])),
        "membership": data.draw(st.sampled_from(["clip", "point_on_surface", "intersects"])),
    }
    for scenario_id, more in (("density-indicators", {"level": "parcel"}), ("rank-renewal-candidates", {})):
        live = run(town, scenario_id, inputs | more)
        assert canonical(live) == canonical(run(town, scenario_id, inputs | more, use_live=False))
