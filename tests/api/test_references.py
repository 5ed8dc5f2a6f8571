"""Inputs by reference: what this city serves, as its caller may read it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from cim.city import City
from cim.codes.provisional import mint_many
from cim.db import access
from cim.db.identifiers import Identifier
from cim.settings import Settings

Opened = tuple[City, httpx.Client, int]
PARCEL, HOUSE = mint_many("parcel", "references", ["p"]) + mint_many("building", "references", ["b"])
LOT = "SRID=4548;MULTIPOLYGON(((500000 4318000,500100 4318000,500100 4318100,500000 4318100,500000 4318000)))"
SMALL = "SRID=4548;MULTIPOLYGON(((500000 4318000,500010 4318000,500010 4318010,500000 4318010,500000 4318000)))"
INVENTORY = "/processes/district-inventory/execution"
ITEM = f"/collections/parcel/items/{PARCEL}"


@pytest.fixture(scope="module")
def opened(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any) -> Iterator[Opened]:
    """A city with a parcel of a hectare and a house on it, and the tree size at which the parcel was 100 m².

    Facilities are not public.
    """
    settings = Settings(
        tmp_path_factory.mktemp("references"),
        database_url=clone(),
        api_public=frozenset({"parcel", "building", "proposal", "intervention"}),
        api_write="yes",
    )
    with City(settings) as city:
        table = city.database.table
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(table("parcel")).values(code=PARCEL, geom=SMALL))
        before = city.sequence().size
        with city.database.engine.begin() as connection:
            connection.execute(sa.update(table("parcel")).values(geom=LOT))
            connection.execute(
                sa.insert(table("building")).values(
                    code=HOUSE, parcel_code=PARCEL, geom=SMALL, status="in_use", gross_floor_area=300.0
                )
            )
            connection.execute(
                sa.insert(table("facility")).values(code="school", geom="SRID=4548;POINT(500005 4318005)")
            )
        city.sequence()
        with city.database.engine.begin() as connection:
            runs = {"X-API-Key": access.add_key(connection, "Planner", ["processes:execute"])}
        with (
            serving(settings, city) as address,
            httpx.Client(base_url=address, timeout=300, headers=runs) as http,
        ):
            yield city, http, before


def area(http: httpx.Client, scope: Any, **more: Any) -> float:
    answer = http.post("/processes/density-indicators/execution", json={"inputs": {"scope": scope, **more}})
    assert answer.status_code == 200, answer.text
    return float(answer.json()["result"]["gross"]["land"]["value"])


def refused(http: httpx.Client, scope: Any, told: str, **more: Any) -> None:
    answer = http.post(INVENTORY, json={"inputs": {"scope": scope, **more}})
    assert (answer.status_code, told in answer.json()["detail"]) == (400, True), answer.text


def test_a_feature_gives_its_geometry(opened: Opened) -> None:
    _, http, before = opened
    base = str(http.base_url).rstrip("/")
    for href, expected in (
        (f"{base}{ITEM}", 10_000.0),
        (ITEM, 10_000.0),
        (ITEM[1:], 10_000.0),
        (f"{ITEM}?as-of={before}", 100.0),
    ):
        assert area(http, {"href": href, "type": "application/geo+json"}) == expected, href


def test_any_identifier_leads_to_it(opened: Opened) -> None:
    city, http, _ = opened
    city.identify([Identifier("cadastre", "7/8", "parcel", PARCEL)])
    assert area(http, {"href": "/collections/parcel/items/7%2F8"}) == 10_000.0


def test_the_seal_holds_what_a_reference_led_to(opened: Opened) -> None:
    _, http, _ = opened
    document = http.post(INVENTORY, json={"inputs": {"scope": {"href": ITEM}}}).json()
    assert document["assessment"]["inputs"]["scope"] == http.get(ITEM).json()["geometry"]
    verified = http.post("/processes/verify-assessment/execution", json={"inputs": {"document": document}})
    assert verified.json()["result"]["status"] == "valid"


def test_a_code_or_a_proposal_is_named_by_its_code(opened: Opened) -> None:
    _, http, _ = opened
    document = http.post(INVENTORY, json={"inputs": {"scope": [{"href": f"/codes/provisional/{PARCEL}"}]}}).json()
    assert document["assessment"]["inputs"]["scope"] == [PARCEL]
    writer = {"X-API-Key": access_key(opened, "*:write", "processes:execute")}
    drawn = {"name": "Clear", "interventions": [{"target": HOUSE, "action": "demolish"}]}
    made = http.post("/proposals", json=drawn, headers=writer)
    assert made.status_code == 201, made.text
    inputs = {"scope": [PARCEL], "proposals": [{"href": made.headers["location"]}]}
    (found,) = http.post("/processes/evaluate-proposal/execution", json={"inputs": inputs}).json()["result"][
        "proposals"
    ]
    assert (found["name"], found["balance"]["gfa"]["after"]["value"]) == ("Clear", 0.0)


def access_key(opened: Opened, *scopes: str) -> str:
    with opened[0].database.engine.begin() as connection:
        return access.add_key(connection, "Somebody", scopes)


def test_the_results_of_a_job_are_an_input(opened: Opened, until: Any) -> None:
    _, http, _ = opened
    job = http.post(INVENTORY, json={"inputs": {"scope": [PARCEL]}}, headers={"Prefer": "respond-async"})
    results = f"{job.headers['location']}/results"
    until(lambda: http.get(results).status_code == 200, "the job does not end")
    verified = http.post("/processes/verify-assessment/execution", json={"inputs": {"document": {"href": results}}})
    assert verified.json()["result"]["status"] == "valid"
    asked = {"documents": [{"href": results}, {"href": results}], "format": "csv"}
    assert (
        http.post("/processes/render-report/execution", json={"inputs": asked})
        .headers["content-type"]
        .startswith("text/csv")
    )
    other = {"X-API-Key": access_key(opened, "processes:execute")}
    stolen = http.post(
        "/processes/verify-assessment/execution", json={"inputs": {"document": {"href": results}}}, headers=other
    )
    assert (stolen.status_code, "answers 404" in stolen.json()["detail"]) == (400, True)


def test_nothing_else_is_read(opened: Opened) -> None:
    _, http, _ = opened
    base = str(http.base_url).rstrip("/")
    for href in (
        "https://example.org/x.json",
        "//example.org/x.json",
        "file:///etc/passwd",
        f"{base}.example.org/x.json",
        f"{base}@example.org/x.json",
        "http://127.0.0.1:1/x.json",
        "data:application/json,{}",
    ):
        refused(http, {"href": href}, "only what this city serves is read")
    for href in ("/collections/parcel/items/nosuch", "/collections/parcel/../../etc/passwd", "/nosuch", ITEM + "?f=x"):
        refused(http, {"href": href}, "answers 4")
    refused(http, {"href": "/collections/facility/items/school"}, "answers 403")  # not the caller's to read
    for href in ("/metrics", *(f"/collections/parcel/items?f={form}" for form in ("geojsonseq", "parquet", "html"))):
        refused(http, {"href": href}, "must be JSON")
    refused(http, {"href": ITEM + "?crs=http://www.opengis.net/def/crs/EPSG/0/4548"}, "leave crs out")
    refused(http, {"href": ITEM}, "leave it out", scope_crs="EPSG:4548")
    refused(http, {"href": "/conformance"}, "input scope")
    refused(http, {"href": "http://[/x.json"}, "is no address")
    refused(http, {"href": "/项目"}, "in ASCII")
    refused(http, {"href": 7}, "in ASCII")
    refused(http, [{"href": ITEM}] * 51, "more than 50 references")


def test_a_box_is_a_scope(opened: Opened) -> None:
    _, http, _ = opened
    crs84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
    # A minute of arc each way at 39° north: 1,850 m by 1,443 m, of an ellipsoid's surface as Gauss-Krüger has it.
    for box in ([117.0, 39.0, 117.0 + 1 / 60, 39.0 + 1 / 60], [117.0, 39.0, 0, 117.0 + 1 / 60, 39.0 + 1 / 60, 99]):
        found = area(http, {"bbox": box, "crs": crs84})
        assert found == pytest.approx(1850.2 * 1443.0, rel=2e-3)
    refused(http, {"bbox": [117.1, 39.0, 117.0, 39.1]}, "west, south, east, north")
    refused(http, {"bbox": [117.0, 39.0, 117.1, 39.1], "crs": "EPSG:4326"}, "scope")
    refused(http, {"bbox": [117.0, 39.0, 117.1, 39.1]}, "leave scope_crs out", scope_crs="OGC:CRS84")
