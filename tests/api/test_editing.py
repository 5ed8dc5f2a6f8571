"""Features written over HTTP: Part 4, preconditions, axis order, and what the log has of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import shapely
import sqlalchemy as sa

from cim.city import City
from cim.codes.provisional import mint_many
from cim.settings import Settings

ITEMS = "/collections/building/items"
GEOJSON = {"Content-Type": "application/geo+json"}
PATCH = {"Content-Type": "application/merge-patch+json"}
STORAGE = "http://www.opengis.net/def/crs/EPSG/0/4548"
METRIC = {**GEOJSON, "Content-Crs": f"<{STORAGE}>"}
CODES = mint_many("building", "editing", [str(number) for number in range(20)])
# The corner of the sample zone: 500000 E, 4318000 N in EPSG:4548 is 117° E, 38.99…° N.
SQUARE = [[[500000, 4318000], [500010, 4318000], [500010, 4318010], [500000, 4318010], [500000, 4318000]]]
NORTHING_FIRST = [[[y, x] for x, y in SQUARE[0]]]


@pytest.fixture(scope="module")
def written(
    clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any
) -> Iterator[tuple[City, httpx.Client]]:
    """A city that takes writes, with its client."""
    settings = Settings(home=tmp_path_factory.mktemp("editing"), database_url=clone(), api_write="yes")
    with (
        City(settings) as city,
        serving(settings, city) as address,
        httpx.Client(base_url=address, timeout=300) as http,
    ):
        yield city, http


def feature(code: str | None = None, /, **properties: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": NORTHING_FIRST}
    body = {"type": "Feature", "geometry": geometry, "properties": properties}
    return body if code is None else {**body, "id": code}


def post(http: httpx.Client, code: str, **properties: Any) -> httpx.Response:
    response = http.post(ITEMS, json=feature(code, **properties), headers=METRIC)
    assert response.status_code == 201, response.text
    return response


def stored(city: City, code: str) -> Any:
    with city.database.engine.connect() as connection:
        table = city.database.table("building")
        columns = [column for column in table.c if column.name != "geom"]
        wkt = sa.func.ST_AsText(table.c.geom).label("wkt")
        return connection.execute(sa.select(*columns, wkt).where(table.c.code == code)).one_or_none()


def test_the_life_of_a_feature(written: tuple[City, httpx.Client]) -> None:
    city, http = written
    code = CODES[0]
    by = {"CIM-Actor": "%E6%9D%8E%E9%9B%B7", "CIM-Reason": "survey 7", "Prefer": "wait=10"}
    created = http.post(
        ITEMS,
        json=feature(
            code, name="塔楼", height=12.5, storeys_above=4, valid_from="2001-02-03", attributes={"roof": "flat"}
        ),
        headers={**GEOJSON, **by, "Content-Crs": f"<{STORAGE}>"},
    )
    assert (created.status_code, created.content) == (201, b"")
    assert created.headers["location"].endswith(f"{ITEMS}/{code}")
    row = stored(city, code)
    assert (row.name, row.height, row.storeys_above, str(row.valid_from)) == ("塔楼", 12.5, 4, "2001-02-03")
    assert row.attributes == {"roof": "flat"}
    # Northing came first, and easting is stored first.
    assert shapely.from_wkt(row.wkt).bounds == (500000, 4318000, 500010, 4318010)
    got = http.get(created.headers["location"])
    assert got.headers["etag"] == created.headers["etag"]

    # What was read can be written back, and changes nothing.
    same = http.put(f"{ITEMS}/{code}", json=got.json(), headers={**GEOJSON, "If-Match": got.headers["etag"]})
    assert (same.status_code, same.headers["cim-revision"]) == (204, "1")

    patch = {"properties": {"height": 13, "name": None, "attributes": {"roof": None, "walls": {"south": "brick"}}}}
    patched = http.patch(f"{ITEMS}/{code}", json=patch, headers={**PATCH, **by})
    assert (patched.status_code, patched.headers["cim-revision"]) == (204, "2")
    row = stored(city, code)
    assert (row.name, row.height, row.storeys_above) == (None, 13.0, 4)
    assert row.attributes == {"walls": {"south": "brick"}}
    assert row.wkt.startswith("MULTIPOLYGON")

    replaced = http.put(
        f"{ITEMS}/{code}", json={**feature("ignored", year_built=1978), "geometry": None}, headers=GEOJSON
    )
    assert (replaced.status_code, replaced.headers["cim-revision"]) == (204, "3")
    row = stored(city, code)
    assert (row.year_built, row.height, row.storeys_above, row.attributes, row.wkt) == (1978, None, None, None, None)

    deleted = http.delete(f"{ITEMS}/{code}", headers=by)
    assert (deleted.status_code, deleted.headers["cim-revision"]) == (204, "4")
    assert http.get(f"{ITEMS}/{code}").status_code == 404

    history = http.get(f"{ITEMS}/{code}/history").json()["revisions"]
    assert [one["op"] for one in history] == ["insert", "update", "update", "delete"]
    assert [one["leaf"] for one in history] == sorted(one["leaf"] for one in history)
    for response, one in ((created, history[0]), (patched, history[1]), (deleted, history[3])):
        assert response.headers["cim-leaf"] == str(one["leaf"])
        assert (one["by"], one["reason"]) == ("李雷", "survey 7")


def test_axis_order_is_that_of_content_crs(written: tuple[City, httpx.Client]) -> None:
    city, http = written
    made = post(http, CODES[1])
    assert made.status_code == 201
    latitude_first = "http://www.opengis.net/def/crs/EPSG/0/4326"
    expected = stored(city, CODES[1]).wkt
    for crs in (latitude_first, STORAGE, "http://www.opengis.net/def/crs/OGC/1.3/CRS84"):
        read = http.get(f"{ITEMS}/{CODES[1]}", params={"crs": crs}).json()
        answer = http.put(f"{ITEMS}/{CODES[1]}", json=read, headers={**GEOJSON, "Content-Crs": f"<{crs}>"})
        assert (answer.status_code, answer.headers["cim-revision"]) == (204, "1")
    assert stored(city, CODES[1]).wkt == expected
    longitude_first = http.get(f"{ITEMS}/{CODES[1]}").json()
    wrong = http.put(
        f"{ITEMS}/{CODES[1]}", json=longitude_first, headers={**GEOJSON, "Content-Crs": f"<{latitude_first}>"}
    )
    assert wrong.status_code == 400


def test_preconditions(written: tuple[City, httpx.Client]) -> None:
    _, http = written
    item = f"{ITEMS}/{CODES[2]}"
    first = post(http, CODES[2], height=1).headers["etag"]
    metric = http.get(item, params={"crs": STORAGE}).headers["etag"]
    patch = {"properties": {"height": 2}}
    for stale in ('"r7-4326-00000000"', f"W/{first}", first.replace("r1", "r2"), '"x"', "x"):
        for method, body in (("PATCH", patch), ("PUT", feature(height=2)), ("DELETE", None)):
            kind = PATCH if method == "PATCH" else METRIC
            answer = http.request(method, item, json=body, headers={**kind, "If-Match": stale})
            assert answer.status_code == 412, (method, stale)
    assert http.get(item).headers["etag"] == first
    second = http.patch(item, json=patch, headers={**PATCH, "If-Match": metric})
    assert second.status_code == 204
    assert second.headers["etag"] == http.get(item).headers["etag"] != first
    assert http.patch(item, json=patch, headers={**PATCH, "If-Match": first}).status_code == 412
    assert http.delete(item, headers={"If-Match": f'"other", {second.headers["etag"]}'}).status_code == 204
    for headers, status in (({}, 404), ({"If-Match": "*"}, 412), ({"If-Match": first}, 412)):
        assert http.put(item, json=feature(), headers={**METRIC, **headers}).status_code == status
        assert http.patch(item, json=patch, headers={**PATCH, **headers}).status_code == status
        assert http.delete(item, headers=headers).status_code == status


def test_of_writers_at_once_one_wins(written: tuple[City, httpx.Client]) -> None:
    city, http = written
    etag = post(http, CODES[9]).headers["etag"]

    def write(height: int) -> int:
        patch = {"properties": {"height": height}}
        return http.patch(f"{ITEMS}/{CODES[9]}", json=patch, headers={**PATCH, "If-Match": etag}).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(write, (1, 2, 3, 4))) == [204, 412, 412, 412]
    assert stored(city, CODES[9]).rev == 2


def test_what_it_refuses_leaves_nothing_behind(written: tuple[City, httpx.Client]) -> None:
    city, http = written
    code = CODES[3]
    post(http, code, height=5)
    open_ring = {"type": "Polygon", "coordinates": [[[117, 39], [117.1, 39], [117.1, 39.1]]]}
    bow = {"type": "Polygon", "coordinates": [[[117, 39], [117.1, 39.1], [117.1, 39], [117, 39.1], [117, 39]]]}
    high = {"type": "Polygon", "coordinates": [[[117, 39, 4], [117.1, 39, 4], [117.1, 39.1, 4], [117, 39, 4]]]}
    bad: list[Any] = [
        [], None, {}, {"type": "Point", "coordinates": [1, 2]},
        feature(CODES[4], colour="red"), feature(CODES[4], owner_name="x"), feature(CODES[4], height="tall"),
        feature(CODES[4], height=-5), feature(CODES[4], storeys_above=1.5), feature(CODES[4], storeys_above=True),
        feature(CODES[4], valid_from="2001-02-30"), feature(CODES[4], name=7), feature(CODES[4], attributes=[1]),
        feature(CODES[4], name="a\0b"), feature(CODES[4], attributes={"long": "x" * 70_000}),
        feature("nonsense"), feature(), feature(CODES[4], code=CODES[5]), {**feature(CODES[4]), "id": 7},
        {**feature(CODES[4]), "id": {}}, {**feature(CODES[4]), "properties": [1]}, {**feature(CODES[4]), "extra": 1},
        {**feature(CODES[4]), "geometry": {"type": "Point", "coordinates": [117, 39]}},
        {**feature(CODES[4]), "geometry": {"type": "Dragon", "coordinates": [117, 39]}},
        {**feature(CODES[4]), "geometry": {"type": "Polygon", "coordinates": [[["a", 1]]]}},
        {**feature(CODES[4]), "geometry": high},
        {**feature(CODES[4]), "geometry": open_ring}, {**feature(CODES[4]), "geometry": bow},
        {**feature(CODES[4]), "geometry": {**bow, "crs": {"type": "name"}}},
        feature(CODES[4]),  # metres, said to be degrees
    ]  # fmt: skip
    with city.database.engine.connect() as connection:
        count = sa.text("SELECT count(*) FROM cim.revision")
        before = connection.execute(count).scalar_one()
        for body in bad:
            answer = http.post(ITEMS, json=body, headers=GEOJSON)
            assert answer.status_code == 400, (body, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert not any(word in answer.text for word in ("INSERT", "psycopg", "relation", "constraint")), answer.text
        assert http.post(ITEMS, json=feature(code), headers=METRIC).status_code == 409
        for method in ("POST", "PUT"):
            address = ITEMS if method == "POST" else f"{ITEMS}/{code}"
            for kind in ("text/plain", "application/merge-patch+json", "application/xml"):
                assert http.request(method, address, content=b"{}", headers={"Content-Type": kind}).status_code == 415
            crs = {**GEOJSON, "Content-Crs": "<EPSG:1>"}
            assert http.request(method, address, json=feature(code), headers=crs).status_code == 400
            assert http.request(method, address, content=b"{", headers=GEOJSON).status_code == 400
            assert http.request(method, f"{address}?f=json", json={}, headers=GEOJSON).status_code == 400
        item = f"{ITEMS}/{code}"
        assert http.patch(item, json={}, headers=GEOJSON).status_code == 415
        assert http.patch(item, json={"id": CODES[5]}, headers=PATCH).status_code == 400
        assert http.patch(item, json={"properties": {"height": "x"}}, headers=PATCH).status_code == 400
        assert (
            http.patch(item, json={"properties": {"height": 1}}, headers={**PATCH, "CIM-Reason": "%0A"}).status_code
            == 400
        )
        assert connection.execute(count).scalar_one() == before
    assert http.put("/collections/dragon/items/1", json={}, headers=GEOJSON).status_code == 404
    assert http.delete(f"{ITEMS}/{code}%00").status_code == 404


def test_the_hierarchy_holds(written: tuple[City, httpx.Client]) -> None:
    _, http = written
    post(http, CODES[6])
    (unit,) = mint_many("unit", "editing", ["1"])
    body = {
        "type": "Feature",
        "id": unit,
        "geometry": None,
        "properties": {"building_code": "130638003007GB00001F00060000"},
    }
    orphan = http.post("/collections/unit/items", json=body, headers=GEOJSON)
    assert orphan.status_code == 409, orphan.text
    body["properties"] = {"building_code": CODES[6]}
    assert http.post("/collections/unit/items", json=body, headers=GEOJSON).status_code == 201
    refused = http.delete(f"{ITEMS}/{CODES[6]}")
    assert refused.status_code == 409
    assert unit in refused.json()["detail"]


def test_private_values_stay_as_they_are(written: tuple[City, httpx.Client]) -> None:
    city, http = written
    (unit,) = mint_many("unit", "editing", ["2"])
    table = city.database.table("unit")
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(table).values(code=unit, owner_name="Han Meimei"))
    address = f"/collections/unit/items/{unit}"
    body = http.get(address).json()
    body["properties"]["attributes"] = {"door": "left"}
    assert http.put(address, json=body, headers=GEOJSON).status_code == 204
    assert http.patch(address, json={"properties": {"owner_name": "x"}}, headers=PATCH).status_code == 400
    with city.database.engine.connect() as connection:
        row = connection.execute(sa.select(table.c.owner_name, table.c.attributes).where(table.c.code == unit)).one()
    assert tuple(row) == ("Han Meimei", {"door": "left"})


def test_what_it_says_of_itself(written: tuple[City, httpx.Client], http: httpx.Client) -> None:
    _, writing = written
    part4 = {f"http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/{name}"
             for name in ("create-replace-delete", "update", "features")}  # fmt: skip
    assert part4 <= set(writing.get("/conformance").json()["conformsTo"])
    assert not part4 & set(http.get("/conformance").json()["conformsTo"])
    from openapi_spec_validator import OpenAPIV30SpecValidator

    document = writing.get("/api").json()
    OpenAPIV30SpecValidator(document).validate()
    assert set(document["paths"][f"{ITEMS}/{{code}}"]) == {"get", "put", "patch", "delete"}
    assert "post" not in http.get("/api").json()["paths"][ITEMS]
    for client, items, item in (
        (writing, "GET, HEAD, OPTIONS, POST", "GET, HEAD, OPTIONS, PUT, PATCH, DELETE"),
        (http, "GET, HEAD, OPTIONS", "GET, HEAD, OPTIONS"),
    ):
        for address, allowed in ((ITEMS, items), (f"{ITEMS}/{CODES[0]}", item)):
            answer = client.options(address)
            assert (answer.status_code, answer.headers["allow"]) == (200, allowed)


def test_it_is_read_only_unless_told(http: httpx.Client) -> None:
    for method, address in (("POST", ITEMS), ("PUT", f"{ITEMS}/x"), ("PATCH", f"{ITEMS}/x"), ("DELETE", f"{ITEMS}/x")):
        answer = http.request(method, address, json=feature(), headers=GEOJSON)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
        assert "CIM_API_WRITE" in answer.json()["detail"]


def test_if_match_can_be_required(
    written: tuple[City, httpx.Client], serving: Callable[..., AbstractContextManager[str]]
) -> None:
    city, loose = written
    etag = post(loose, CODES[7]).headers["etag"]
    settings = replace(city.settings, api_write="if-match")
    with City(settings) as strict, serving(settings, strict) as address, httpx.Client(base_url=address) as http:
        item = f"{ITEMS}/{CODES[7]}"
        assert http.patch(item, json={"properties": {"height": 1}}, headers=PATCH).status_code == 428
        assert http.put(item, json=feature(), headers=GEOJSON).status_code == 428
        assert http.delete(item).status_code == 428
        assert post(http, CODES[8]).status_code == 201
        assert http.delete(item, headers={"If-Match": etag}).status_code == 204
