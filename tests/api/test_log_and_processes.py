from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from cim import scenarios
from cim.city import City
from cim.errors import InvalidProof
from cim.log.checkpoint import open_checkpoint
from cim.log.note import Verifier
from cim.log.tree import leaf_hash
from cim.log.verify import verify_proof

LOT = "SRID=4548;MULTIPOLYGON(((500000 4320000,500020 4320000,500020 4320030,500000 4320030,500000 4320000)))"
HOUSE = "SRID=4548;MULTIPOLYGON(((500005 4320005,500015 4320005,500015 4320017,500005 4320017,500005 4320005)))"


def test_checkpoint_is_signed_by_the_published_key(http: httpx.Client, city: City) -> None:
    response = http.get("/log/checkpoint")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    key = http.get("/").json()["x-cim-log"]["verifier"]
    checkpoint = open_checkpoint(response.text, [Verifier.from_text(key)])
    assert (checkpoint.size, checkpoint.root) == (city.tree_head().size, city.tree_head().root)


def test_checkpoint_is_sent_again_only_when_it_changed(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    first = http.get("/log/checkpoint")
    held = {"If-None-Match": f'"other", W/{first.headers["etag"]}'}
    unchanged = http.get("/log/checkpoint", headers=held)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("building")), [{"code": "one more"}])
    city.sequence()
    changed = http.get("/log/checkpoint", headers=held)
    assert changed.status_code == 200
    assert int(changed.text.splitlines()[1]) == int(first.text.splitlines()[1]) + 1


def test_proof_names_what_is_missing(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("building")), [{"code": "twin"}, {"code": "late"}])
        connection.execute(sa.insert(city.database.table("parcel")), [{"code": "twin", "geom": LOT}])
        before = city.tree_head().size
    city.sequence()
    for asked, status, told in (
        ({"code": "nobody"}, 404, "no object has the code 'nobody'"),
        ({"code": "twin"}, 409, "building, parcel; name the type"),
        ({"code": "late", "type": "parcel"}, 404, "no object has the code 'late'"),
        ({"code": "late", "as-of": str(before)}, 404, "building late has no leaf"),
    ):
        answer = http.get("/log/proof", params=asked)
        assert (answer.status_code, told in answer.json()["detail"]) == (status, True), answer.text
    key = http.get("/").json()["x-cim-log"]["verifier"]
    proof = http.get("/log/proof", params={"code": "twin", "type": "parcel"})
    assert verify_proof(proof.text, key).entry["type"] == "parcel"


def test_proof_verifies_offline(http: httpx.Client) -> None:
    key = http.get("/").json()["x-cim-log"]["verifier"]
    response = http.get("/log/proof", params={"code": "building-00007"})
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    verified = verify_proof(response.text, key)
    assert verified.entry["body"]["name"] == "House 7"
    with pytest.raises(InvalidProof):
        verify_proof(response.text.replace("index ", "index 1"), key)
    linked = http.get("/collections/building/items/building-00007").json()["links"]
    assert http.get(next(one["href"] for one in linked if one["rel"] == "evidence")).text == response.text


def test_tiles_hold_the_leaves(http: httpx.Client, city: City) -> None:
    full = http.get("/log/tile/0/000")
    assert full.headers["content-type"] == "application/octet-stream"
    assert "immutable" in full.headers["cache-control"]
    bundle = http.get("/log/tile/entries/000").content
    length = int.from_bytes(bundle[:2], "big")
    assert full.content[:32] == leaf_hash(bundle[2 : 2 + length])
    size = city.tree_head().size
    last = http.get(f"/log/tile/0/{size // 256:03d}.p/{size % 256}")
    assert len(last.content) == size % 256 * 32


@pytest.fixture
def district(own: tuple[City, httpx.Client]) -> tuple[City, httpx.Client]:
    """One parcel with one house, as `district-inventory` tells it by hand."""
    city, http = own
    parcel = {"code": "130629001001GB00001", "tenure": "state_owned", "geom": LOT}
    house = {
        "code": "130629001001GB00001F00010000",
        "parcel_code": parcel["code"],
        "usage": "residential",
        "structure": "mixed",
        "status": "in_use",
        "year_built": 1985,
        "storeys_above": 3,
        "storeys_below": 0,
        "gross_floor_area": 360.0,
        "dwellings": 6,
        "households": 5,
        "geom": HOUSE,
    }
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("parcel")), [parcel])
        connection.execute(sa.insert(city.database.table("building")), [house])
    city.sequence()
    return city, http


INPUTS: dict[str, Any] = {"scope": ["130629001001GB00001"], "reference_date": "2026-06-30"}


def test_processes_are_the_scenarios(http: httpx.Client) -> None:
    listed = http.get("/processes").json()["processes"]
    assert {one["id"] for one in listed} == set(scenarios.scenarios())
    for one in listed:
        described = http.get(one["links"][0]["href"]).json()
        assert described["id"] == one["id"]
        assert all(declared["schema"] for declared in described["inputs"].values())
        execute = next(link["href"] for link in described["links"] if link["rel"].endswith("/execute"))
        assert execute.endswith(f"/processes/{one['id']}/execution")
        assert http.get(execute).status_code == 405


def test_processes_come_in_pages(http: httpx.Client) -> None:
    found: list[str] = []
    address: str | None = "/processes?limit=4"
    while address is not None:
        document = http.get(address).json()
        assert 0 < len(document["processes"]) <= 4
        found += [one["id"] for one in document["processes"]]
        address = next((link["href"] for link in document["links"] if link["rel"] == "next"), None)
    assert found == sorted(scenarios.scenarios())
    assert http.get("/processes", params={"limit": 0}).status_code == 400


def test_unknown_process_has_the_standards_type(http: httpx.Client) -> None:
    for response in (http.get("/processes/nosuch"), http.get("/jobs/nosuch")):
        assert response.status_code == 404
        assert response.json()["type"].startswith(
            "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/no-such-"
        )


def test_execution_is_sealed_and_repeatable(district: tuple[City, httpx.Client]) -> None:
    city, http = district
    size = city.tree_head().size
    asked = {"inputs": INPUTS | {"as_of": size}}
    first = http.post("/processes/district-inventory/execution", json=asked)
    assert first.status_code == 200, first.text
    document = first.json()
    assert document["result"]["gfa_above"]["value"] == 360.0  # 3 storeys of 10 x 12 m
    assert document["result"]["footprint"]["value"] == 120.0
    assert document["assessment"]["tree_size"] == size
    assert first.headers["cim-tree-size"] == str(size)
    assert first.headers["cim-tree-root"] == city.tree_head(size).root.hex()
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        connection.execute(sa.update(table).where(table.c.dwellings == 6).values(gross_floor_area=400.0))
    city.sequence()
    now = http.post("/processes/district-inventory/execution", json={"inputs": INPUTS}).json()
    assert now["result"]["gfa_above"]["value"] == 400.0
    again = http.post("/processes/district-inventory/execution", json=asked)
    assert again.content == first.content
    assert again.content == scenarios.canonical(json.loads(again.content))


def test_outputs_and_qualified_inputs(district: tuple[City, httpx.Client]) -> None:
    _, http = district
    address = "/processes/density-indicators/execution"
    whole = http.post(address, json={"inputs": INPUTS}).json()
    qualified = {"scope": {"value": INPUTS["scope"]}, "reference_date": INPUTS["reference_date"]}
    wanted = {"document": {"transmissionMode": "value", "format": {"mediaType": "application/json"}}}
    bare = http.post(address, json={"inputs": qualified, "outputs": wanted, "response": "raw"})
    assert (bare.headers["content-type"], bare.json()) == ("application/json", whole)
    held = http.post(address, json={"inputs": INPUTS, "response": "document"})
    assert (held.headers["content-type"], held.json()) == (
        "application/json",
        {"document": {"value": whole, "mediaType": "application/json"}},
    )
    for outputs in (
        {"nosuch": {}},
        {"document": []},
        {"document": {"transmissionMode": "reference"}},
        {"document": {"format": {"mediaType": "image/png"}}},
        {"document": {"format": "text/csv"}},
    ):
        assert http.post(address, json={"inputs": INPUTS, "outputs": outputs}).status_code == 400, outputs


def test_results_leave_in_the_format_asked_for(district: tuple[City, httpx.Client]) -> None:
    _, http = district
    address = "/processes/density-indicators/execution"
    table = http.post(address, json={"inputs": INPUTS}, params={"f": "csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert 'density-indicators,net/far,"Floor area ratio FAR, FSI = G / A",容积率,0.6,m2/m2' in table.text
    assert table.headers["cim-tree-root"]
    wished = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    book = http.post(address, json={"inputs": INPUTS}, headers={"accept": wished})
    assert (book.headers["content-type"], book.content[:2]) == (wished, b"PK")
    assert http.post(address, json={"inputs": INPUTS}, params={"f": "docx"}).status_code == 400
    as_csv = {"inputs": INPUTS, "outputs": {"document": {"format": {"mediaType": "text/csv"}}}}
    assert http.post(address, json=as_csv).content == table.content
    held = http.post(address, json=as_csv | {"response": "document"}).json()["document"]
    assert held == {"value": table.text, "encoding": "utf-8", "mediaType": "text/csv"}
    document = http.post(address, json={"inputs": INPUTS}).json()
    report, asked = "/processes/render-report/execution", {"inputs": {"documents": [document], "format": "html"}}
    page = http.post(report, json=asked)
    assert page.headers["content-type"].startswith("text/html")
    assert page.text.startswith("<!doctype html>")
    sealed = http.post(report, json=asked, params={"f": "json"}).json()
    assert sealed["result"]["content"] == page.text
    assert sealed["assessment"]["process"]["id"] == "render-report"
    held = http.post(report, json=asked | {"response": "document"}).json()["document"]
    assert held == {"value": page.text, "encoding": "utf-8", "mediaType": "text/html"}
    verified = http.post("/processes/verify-assessment/execution", json={"inputs": {"document": document}}).json()
    assert verified["result"]["status"] == "valid"


def test_codes_resolve(district: tuple[City, httpx.Client]) -> None:
    _, http = district
    spelt = "130629 001001 gb00001 f00010000"
    found = http.get(f"/codes/cn-bdcdyh/{spelt}").json()
    assert found["value"] == "130629001001GB00001F00010000"
    assert [(one["type"], one["code"]) for one in found["objects"]] == [("building", found["value"])]
    assert http.get(found["objects"][0]["href"]).json()["id"] == found["value"]
    assert http.get("/codes/cn-bdcdyh/130629001001GB00002").status_code == 404
