"""More of what strangers send: shapes without end, names of every character, functions that are not ours."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa

from cim.city import City
from cim.settings import Settings

ITEMS = "/collections/building/items"
EXECUTE = "/processes/district-inventory/execution"
# RFC 3986: every reserved character, the percent sign, and what is neither reserved nor allowed.
RESERVED = ":/?#[]@!$&'()*+,;=%25% \"<>\\^`{|}~é塔\U0001f3e2"
CODES = ["plain", RESERVED, "a/b/c", "..", "../../etc/passwd", ".", "%2e%2e", "a%2Fb", "history", "a;b=c"]


@pytest.fixture(scope="module")
def odd(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any) -> Iterator[httpx.Client]:
    """A city whose objects have codes that no address was made for."""
    settings = Settings(home=tmp_path_factory.mktemp("odd"), database_url=clone(), api_write="yes")
    with City(settings) as city:
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("building")), [{"code": code} for code in CODES])
        city.sequence()
        with serving(settings, city) as address, httpx.Client(base_url=address, timeout=300) as http:
            yield http


INSIDE = ("Traceback", "SELECT", "sqlalchemy", "psycopg", "asyncpg", "ST_", "cim_public", ".py", "city.")


def refused(response: httpx.Response, sent: str = "") -> str:
    """A problem document of the 4xx kind that says nothing of the inside but what was sent; answers what it says."""
    assert 400 <= response.status_code < 500, (response.status_code, response.text[:300])
    assert response.headers["content-type"] == "application/problem+json"
    assert [word for word in INSIDE if word in response.text and word not in sent] == []
    detail: str = response.json()["detail"]
    return detail


def circle(positions: int) -> dict[str, Any]:
    angles = (2 * math.pi * number / positions for number in range(positions))
    ring = [[round(117 + 0.01 * math.cos(a), 7), round(39 + 0.01 * math.sin(a), 7)] for a in angles]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def get(http: httpx.Client, target: str) -> httpx.Response:
    """Send a target as it stands: httpx would resolve dots and quote once more."""
    connection = HTTPConnection(http.base_url.host, http.base_url.port, timeout=300)
    connection.request("GET", target)
    answer = connection.getresponse()
    found = httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())
    connection.close()
    return found


def test_a_million_vertices_are_refused(odd: httpx.Client) -> None:
    ring = b"[117.0,39.0]" + b",[117.1,39.1]" * 1_000_000
    million = b'{"type":"Feature","id":"x","properties":{},"geometry":{"type":"Polygon","coordinates":[[%s]]}}' % ring
    scope = json.dumps({"inputs": {"scope": circle(30_000)}}).encode()
    for method, path in (("POST", ITEMS), ("PUT", f"{ITEMS}/plain")):
        answer = odd.request(method, path, content=million, headers={"Content-Type": "application/geo+json"})
        assert answer.status_code == 413
        refused(answer)
    answer = odd.post(EXECUTE, content=scope, headers={"Content-Type": "application/json"})
    assert "30001 positions" in refused(answer)
    wkt = "POLYGON((" + ",".join(f"{117 + n / 1e4} 39" for n in range(2000)) + "))"
    refused(odd.get(ITEMS, params={"filter": f"S_INTERSECTS(geom,{wkt})"}))


@pytest.mark.parametrize("code", CODES, ids=lambda code: code[:12])
def test_a_code_of_any_character_has_its_address(odd: httpx.Client, code: str) -> None:
    listed = {one["id"] for one in odd.get(ITEMS, params={"limit": 100}).json()["features"]}
    assert code in listed
    address = f"{ITEMS}/{quote(code, safe='')}"
    item = get(odd, address)
    assert item.status_code == 200, item.text
    assert item.json()["id"] == code
    links = {link["rel"]: link["href"] for link in item.json()["links"]}
    base = str(odd.base_url).rstrip("/")
    assert links["self"] == f"{base}{address}"
    for rel in ("self", "version-history", "evidence"):
        answer = get(odd, links[rel].removeprefix(base))
        assert answer.status_code == 200, (rel, answer.text)
    assert [
        one["code"] for one in odd.get("/collections/building/changes", params={"limit": 100}).json()["changes"]
    ].count(code) == 1
    named = odd.get("/log/proof", params={"code": code, "type": "building"})
    assert named.status_code == 200


@pytest.mark.parametrize("code", ["nosuch" + RESERVED, "' OR 1=1 --", "\r\nX: y", "\u202e", "a" * 4000, "%", "\x7f"])
def test_a_code_that_is_none(odd: httpx.Client, code: str) -> None:
    for below in ("", "/history"):
        answer = get(odd, f"{ITEMS}/{quote(code, safe='')}{below}")
        assert answer.status_code == 404
        refused(answer)


FILTERS = [
    "pg_sleep(10) IS NULL",
    "pg_read_file('/etc/passwd') = 'x'",
    "query_to_xml('SELECT 1', true, true, '') IS NULL",
    "height > 1 OR lo_import('/etc/passwd') > 0",
    "city.supersede(1) = 1",
    "ST_Buffer(geom, 100000) IS NULL",
    "S_INTERSECTS(geom, BBOX(NaN, 0, 1, 1))",
    "S_INTERSECTS(geom, POINT(1e400 0))",
    "S_INTERSECTS(geom, POLYGON((0 0, 1 1)))",
    "S_INTERSECTS(geom, POINT(1000 1000))",
    "S_DWITHIN(geom, POINT(117 39), 10)",
    "name LIKE '" + "%_" * 1500 + "'",
    "name = 'x'; DROP TABLE city.building",
    "name = 'x' --",
    "name = $1",
    '"name" = :name',
    " AND ".join(["height > 1"] * 400),
    "NOT " * 200 + "height > 1",
    "height IN (" + ",".join("1" for _ in range(1500)) + ")",
    "height BETWEEN 1 AND 'x'",
    "year_built = 1" + "0" * 400,
    "valid_from = DATE('9999-99-99')",
    "height = " + "1+" * 1500 + "1",
    "height = " + "height*" * 300 + "height",
    "height = 1" + "-1" * 200,
    "owner_name = 'x'",
    "rev = 1",
    "salt IS NULL",
]


@pytest.mark.parametrize("text", FILTERS, ids=lambda text: text[:30])
def test_filters_that_are_not_for_us(odd: httpx.Client, text: str) -> None:
    before = time.process_time()  # the server is in this process
    answer = odd.get(ITEMS, params={"filter": text})
    assert time.process_time() - before < 10  # what backtracks or recurses takes minutes
    if answer.status_code != 200 or "DROP" in text:  # long but plain ones may be understood
        refused(answer, text)


@pytest.mark.parametrize(
    "query",
    [
        *(f"{name}={uri}" for name in ("crs", "bbox-crs", "filter-crs") for uri in (
            "", "EPSG:4548", "http://www.opengis.net/def/crs/EPSG/0/999999", "http://www.opengis.net/def/crs/EPSG/0/4548'",
            "http://169.254.169.254/latest", "file:///etc/passwd", "+proj=longlat", "%00",
        )),
        "bbox=1e308,1e308,1e309,1e309",
        "bbox=-1e308,-1e308,1e308,1e308&bbox-crs=http://www.opengis.net/def/crs/EPSG/0/4548",
        "bbox=0,0,0,nan(1)",
        "bbox=infinity,0,1,1",
        "sortby=pg_sleep(1)",
        "sortby=owner_name",
        "properties=owner_name",
        "properties=" + "x," * 3000,
        "f=../../etc/passwd",
        "f=" + "x" * 500,
        "zoom-level=NaN",
        "zoom-level=99999999999999999999",
        "&".join(f"p{number}=1" for number in range(1500)),
    ],
    ids=lambda query: query[:40],
)  # fmt: skip
def test_parameters_that_are_not_for_us(odd: httpx.Client, query: str) -> None:
    refused(get(odd, f"{ITEMS}?{query}"))


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/%00", "/static//etc/passwd",
        "/jobs/../health", "/jobs/%2e%2e%2fhealth", "/jobs/1/results/../..", "/files/../keys/log.key",
        "/files/" + "0" * 64, "/codes/../x/y", "/processes/../jobs", "/processes/%00/execution",
        "/collections/../jobs/x", "/collections/building/tiles/WebMercatorQuad/0/0/-1",
        "/collections/building/tiles/WebMercatorQuad/99/0/0", "/collections/building/tiles/../items",
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere(odd: httpx.Client, path: str) -> None:
    refused(get(odd, path), path)


WRITES = [
    ("POST", ITEMS, b"<feature/>", "application/xml", 415),
    ("POST", ITEMS, b"{}", "text/plain", 415),
    ("PATCH", f"{ITEMS}/plain", b"{}", "application/json-patch+json", 415),
    ("POST", ITEMS, b"\x80abc", "application/geo+json", 400),
    ("POST", ITEMS, b'{"type":"FeatureCollection","features":[]}', "application/geo+json", 400),
    ("POST", ITEMS, b'{"type":"Feature","id":1e999,"geometry":null,"properties":{}}', "application/geo+json", 400),
    (
        "PUT",
        f"{ITEMS}/plain",
        b'{"type":"Feature","geometry":{"type":"Point"},"properties":{}}',
        "application/json",
        400,
    ),
    ("PUT", f"{ITEMS}/plain", b'{"type":"Feature","geometry":null,"properties":{"geom":1}}', "application/json", 400),
    ("PUT", f"{ITEMS}/plain", b'{"type":"Feature","geometry":null,"properties":{"rev":9}}', "application/json", 400),
    ("POST", EXECUTE, b"--x\r\n", "multipart/form-data; boundary=x", 415),
]


@pytest.mark.parametrize(("method", "path", "content", "media", "status"), WRITES)
def test_bodies_that_are_not_for_us(
    odd: httpx.Client, method: str, path: str, content: bytes, media: str, status: int
) -> None:
    answer = odd.request(method, path, content=content, headers={"Content-Type": media})
    assert answer.status_code == status, answer.text
    refused(answer)


def test_after_all_of_it_the_worker_lives(odd: httpx.Client) -> None:
    assert odd.get("/health").json()["status"] == "ok"
    assert len(odd.get(ITEMS, params={"limit": 100}).json()["features"]) == len(CODES)
