"""Several districts in one pass: each is what it is by itself, and the seal reads what any of them reads, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cim.db.engine import Database
from cim.errors import InvalidData, NotFound
from cim.scenarios import canonical, render, run
from cim.scenarios._report._material import gather

FIRST, SECOND, EMPTY, DIVISION = "RD-TEST-01", "RD-TEST-02", "RD-TEST-03", "130629001"
P1, P2, P3 = (f"130629001001GB0000{number}" for number in (1, 2, 3))
DATE = {"reference_date": "2026-06-30"}


@pytest.fixture
def districts(city: Database, put: Callable[..., int], box: Any, building: Any) -> Database:
    """The district of the city, one over its eastern half, one far away, and a parcel in both of the first."""
    more = {
        "renewal_district": [
            {"code": SECOND, "name": "东片区", "geom": box(50, 0, 100, 100)},
            {"code": EMPTY, "name": "远片区", "geom": box(9000, 9000, 50, 20)},
        ],
        "division": [{"code": DIVISION, "name": "镇", "geom": box(0, 0, 200, 200)}],
        "parcel": [{"code": P3, "geom": box(60, 60, 30, 20)}],
        "building": [
            building(31, box(62, 62, 10, 8), parcel_code=P3, status="in_use", gross_floor_area=160.0),
            building(32, box(75, 62, 5, 5), status="in_use", gross_floor_area=50.0),  # on the parcel, without naming it
        ],
    }
    put(city, more)
    return city


def leaves(document: dict[str, Any]) -> list[int]:
    runs = document["assessment"]["read_set"]["leaves"]
    return [leaf for first, last in runs for leaf in range(first, last + 1)]


@pytest.mark.parametrize("membership", ["clip", "point_on_surface", "intersects"])
@pytest.mark.parametrize("gfa_rule", ["above_ground", "with_basement"])
def test_each_district_is_as_it_is_by_itself(districts: Database, membership: str, gfa_rule: str) -> None:
    options = {**DATE, "membership": membership, "gfa_rule": gfa_rule}
    document = run(districts, "compare-districts", {"scope": [SECOND, EMPTY, FIRST], **options})
    alone = [run(districts, "density-indicators", {"scope": code, **options}) for code in (FIRST, SECOND, EMPTY)]
    for one, gross, net in zip(alone, document["result"]["gross"], document["result"]["net"], strict=True):
        code = one["assessment"]["inputs"]["scope"]
        assert gross == {"code": code, **one["result"]["gross"], "tare": one["result"]["tare"]}
        assert net == {"code": code, **one["result"]["net"]}
    coverage = [{"code": one["assessment"]["inputs"]["scope"], **one["coverage"]} for one in alone]
    assert document["coverage"]["districts"] == [{k: v for k, v in c.items() if k != "scope"} for c in coverage]
    assert leaves(document) == sorted({leaf for one in alone for leaf in leaves(one)})
    assert document["assessment"]["read_set"]["objects"] == len(leaves(document))
    logged = run(districts, "compare-districts", {"scope": [FIRST, SECOND, EMPTY], **options}, use_live=False)
    assert canonical(logged) == canonical(document)


def test_what_overlaps_counts_in_each_and_lies_in_the_land_once(districts: Database) -> None:
    document = run(districts, "compare-districts", {"scope": [FIRST, SECOND], **DATE})
    # 210 m² on the parcel in both. First: 1085.75 m² beside it, see test_density_indicators. Second: 801 m² of the
    # house that lies in it whole, 1000 m² of another, and nothing of those in the west.
    floor_area = {one["code"]: one["gfa"]["value"] for one in document["result"]["gross"]}
    assert floor_area == {FIRST: 1295.75, SECOND: 2011.0}
    net = {one["code"]: one["gfa"]["value"] for one in document["result"]["net"]}
    assert net == {FIRST: 1270.75, SECOND: 2011.0}  # the kiosk in the street, of 25 m², is on no parcel
    scope = document["coverage"]["scope"]
    assert (scope["type"], scope["codes"]) == ("renewal_district", [FIRST, SECOND])
    assert scope["area"] == {"value": 15_000.0, "unit": "m2"}


def test_through_a_proposal_each_is_as_it_will_be(districts: Database) -> None:
    given = {**DATE, "proposal": {"interventions": [{"target": f"{P1}F00310000", "action": "demolish"}]}}
    document = run(districts, "compare-districts", {"scope": [FIRST, SECOND], **given})
    floor_area = {one["code"]: one["gfa"]["value"] for one in document["result"]["gross"]}
    assert floor_area == {FIRST: 1135.75, SECOND: 1851.0}


def test_a_number_of_one_district_opens_into_what_stands_there(districts: Database) -> None:
    asked = {"scope": [EMPTY, FIRST, SECOND], **DATE, "explain": [f"/gross/{SECOND}/gfa", f"/gross/{EMPTY}/tare"]}
    gfa, tare = run(districts, "compare-districts", asked)["result"]["why"]
    shares = {term["code"]: term["contribution"] for term in gfa["num"]["terms"]}
    assert {code: share for code, share in shares.items() if share} == {
        f"{P1}F00020000": 801.0,
        f"{P1}F00030000": 1000.0,
        f"{P1}F00310000": 160.0,
        f"{P1}F00320000": 50.0,
    }
    assert [term["contribution"] for term in tare["den"]["terms"]] == [1000.0]


def test_a_change_in_one_of_them_makes_it_stale(districts: Database, log: Callable[..., int]) -> None:
    document = json.loads(canonical(run(districts, "compare-districts", {"scope": [EMPTY, SECOND], **DATE})))
    with districts.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE city.building SET gross_floor_area = 1 WHERE code = '{P1}F00040000'")
    log(districts)
    assert run(districts, "verify-assessment", {"document": document})["result"]["status"] == "valid"
    with districts.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE city.building SET gross_floor_area = 1 WHERE code = '{P1}F00310000'")
    log(districts)
    result = run(districts, "verify-assessment", {"document": document})["result"]
    assert (result["status"], [c["code"] for c in result["changes"]]) == ("stale", [f"{P1}F00310000"])


def test_divisions_are_compared_too_and_one_alone(districts: Database) -> None:
    (division,) = run(districts, "compare-districts", {"scope": [DIVISION], **DATE})["result"]["gross"]
    assert (division["code"], division["land"]["value"]) == (DIVISION, 40_000.0)


@pytest.mark.parametrize(
    ("scope", "error", "message"),
    [
        ([P1], InvalidData, f"{P1} are no districts but parcels"),
        (
            [FIRST, DIVISION],
            NotFound,
            "'130629001', 'RD-TEST-01' are neither all renewal districts nor all divisions at tree size",
        ),
        ([FIRST, "RD-NOWHERE"], NotFound, "'RD-NOWHERE', 'RD-TEST-01' are neither all renewal districts nor"),
        ([FIRST, P1], NotFound, "no parcel RD-TEST-01 at tree size"),
    ],
)
def test_what_are_no_districts_of_one_kind_is_refused(
    districts: Database, scope: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(districts, "compare-districts", {"scope": scope})


def test_a_map_shows_what_is_around_each_once_and_nothing_between(
    districts: Database, put: Callable[..., int], box: Any, building: Any
) -> None:
    put(districts, {"building": [building(41, box(9010, 9030, 10, 10)), building(42, box(5000, 5000, 10, 10))]})
    document = run(districts, "compare-districts", {"scope": [FIRST, SECOND, EMPTY], **DATE})
    drawn = [one.code for one in gather(districts, document).objects("building")]
    assert drawn == [f"{P1}F{number:04d}0000" for number in (1, 2, 3, 4, 6, 31, 32, 41)]
    assert [one.code for one in gather(districts, document).objects("parcel")] == [P1, P2, P3]


def test_districts_are_features_of_a_layer(districts: Database) -> None:
    document = run(districts, "compare-districts", {"scope": [FIRST, SECOND], **DATE})
    layer = json.loads(render(districts, [document], "geojson"))
    found = {f["id"]: f["properties"].get("far") for f in layer["features"] if f["properties"]["part"] == "gross"}
    assert found == {one["code"]: one["far"]["value"] for one in document["result"]["gross"]}
    assert layer["features"][0]["id"] == "东街片区 + 1"
