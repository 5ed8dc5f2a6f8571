"""Whatever comes is answered with a problem document of the 4xx kind, soon, and the server lives."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
import sqlalchemy as sa

from cim.city import City
from cim.db import access
from cim.db.reader import Reader
from cim.settings import Settings

ITEMS = "/collections/building/items"
EXECUTE = "/processes/district-inventory/execution"

BAD_QUERIES = [
    *(f"limit={v}" for v in ("0", "-1", "1.5", "ten", "", "1e3", "NaN", "１")),
    *(
        f"bbox={v}"
        for v in (
            "",
            "1,2,3",
            "1,2,3,4,5",
            "a,b,c,d",
            "NaN,0,1,1",
            "-inf,0,1,1",
            "0,0,1e999,1",
            "0,0,1_0,1",
            "1,5,2,4",
            "0,0,181,1",
            "0,-91,1,1",
            "1,2,3,4,5,6,7",
            " 1,2,3,4",
        )
    ),
    *(
        f"datetime={v}"
        for v in (
            "yesterday",
            "2020-13-01",
            "2020-01-02/2020-01-01",
            "1/2/3",
            "2020-01-01T25:00:00Z",
            "",
            "9999-12-31T23:59:59-12:00",
            "../../..",
        )
    ),
    *(f"as-of={v}" for v in ("", "x", "-1", "1.5", "%0A", "%00", "9" * 19, "9" * 6000)),
    *(f"next={v}" for v in ("", "!", "a", "AA", "%00", "////", "QjAwMDAwMQ%3D%3D")),
    *(
        f"filter={v}"
        for v in (
            "",
            "(" * 40,
            "(" * 45 + "a=" + ")" * 45,
            "x" * 5000,
            "name%20%3D%20'%00'",
            "pg_sleep(9)=1",
            "1=1",
            "height>1;drop table city.building",
            "height = 1e999",
        )
    ),
    "filter-lang=cql2-xml",
    "filter-lang=sql",
    "f=xml",
    "resultType=all",
    "crs=EPSG:4326",
    "year_built=x",
    "year_built=99999999999999999999",
    "height=inf",
    "height=NaN",
    "name=%00",
    "limit=1&limit=2",
    "valid_from=2020-02-30",
    "nosuch=1",
    "owner_name=x",
    "rev=1",
    "geom=x",
    "attributes=x",
    "Limit=1",
    "=",
    "=1",
]


@pytest.mark.parametrize("query", BAD_QUERIES, ids=lambda query: query[:40])
def test_bad_query(http: httpx.Client, query: str) -> None:
    before = time.process_time()  # the server is in this process
    response = http.get(f"{ITEMS}?{query}")
    check(response)
    assert response.status_code in (400, 404 if query.startswith("as-of") else 400), response.text
    assert time.process_time() - before < 10  # what backtracks or recurses takes minutes


@pytest.mark.parametrize(
    "path",
    [
        "/nosuch",
        "/collections/nosuch",
        "/collections/nosuch/items",
        f"{ITEMS}/nosuch",
        f"{ITEMS}/%00",
        f"{ITEMS}/{'x' * 5000}",
        f"{ITEMS}/%FF",
        f"{ITEMS}/%ED%A0%80",
        "/collections/building%22/items",
        "/collections/pg_catalog.pg_class/items",
        "/processes/nosuch",
        "/jobs/1",
        "/jobs/1/results",
        "/codes/nosuch/1",
        "/codes/provisional/nosuch",
        "/codes/cn-bdcdyh/%00",
        "/log/tile/0/999",
        "/log/tile/../checkpoint",
        "/log/tile/%2e%2e/checkpoint",
        "/log/tile/..%2f..%2fkeys%2fkey",
        "/log/tile/0/x000/../000",
        "/log/tile//etc/passwd",
        "/log/tile/0/000%00",
        "/log/tile/",
        "/log/tile/0/0",
        "/log/tile/64/000",
        "/log/proof",
        "/log/proof?code=nosuch",
        "/log/proof?code=%00",
        "/log/proof?code=building-00001&type=nosuch",
        "/log/checkpoint?x=1",
        "/health?x=1",
        "/api?f=yaml",
        "/?f=pdf",
        "//",
        "/collections/",
        "/docs",
        "/openapi.json",
    ],
)
def test_bad_path(base: str, path: str) -> None:
    """Sent as it stands: httpx would resolve the dots itself."""
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=300)
    connection.request("GET", path)
    answer = connection.getresponse()
    headers = {name: value for name, value in answer.getheaders() if name in ("content-type", "allow")}
    check(httpx.Response(answer.status, headers=headers, content=answer.read()))
    connection.close()


@pytest.mark.parametrize("path", [ITEMS, f"{ITEMS}/x", "/", "/log/checkpoint", EXECUTE])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(method, path)
    check(response)
    assert response.status_code == 405
    assert response.headers["allow"]


def test_a_refused_method_is_told_all_that_a_path_takes(http: httpx.Client) -> None:
    """RFC 9110, 10.2.1: Allow lists the methods the resource supports, whichever handler each has."""
    assert http.put(ITEMS).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert http.post(f"{ITEMS}/x").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"


def test_a_number_of_more_digits_than_python_reads_is_no_tile(http: httpx.Client) -> None:
    response = http.get(f"/collections/building/tiles/WebMercatorQuad/{'9' * 5000}/0/0")
    check(response)
    assert response.status_code == 404


@pytest.mark.parametrize("line", [b"NONSENSE / HTTP/1.1", b"GET / HTTP/9.9", b"\x16\x03\x01\x00\xff", b"{}"])
def test_what_is_no_request(base: str, line: bytes) -> None:
    host, port = base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=300) as connection:
        connection.sendall(line + b"\r\nHost: x\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400
        check(httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read()))


BAD_BODIES = [
    b"",
    b"nonsense",
    b"[]",
    b"1",
    b"null",
    b'"text"',
    b"{",
    b"\xff",
    b'{"inputs":1}',
    b'{"inputs":{"scope":NaN}}',
    b'{"inputs":{"scope":1e999}}',
    b'{"inputs":{"scope":"\\u0000"}}',
    b'{"inputs":{"scope":"\\ud800"}}',
    b'{"inputs":{}}',
    b'{"inputs":{"scope":"nosuch"}}',
    b'{"inputs":{"scope":["a"],"nosuch":1}}',
    b'{"nosuch":1}',
    b'{"inputs":{},"outputs":[]}',
    b'{"inputs":{"scope":["x"]},"response":"xml"}',
    b'{"inputs":{"scope":["x"]},"outputs":{"result":{}}}',
    b'{"inputs":{"scope":{"href":1}}}',
    b'{"inputs":{"scope":{"bbox":[1,2,1,3]}}}',
    b'{"inputs":{"scope":{"bbox":[1,2,3]}}}',
    b'{"inputs":{"scope":["x"]},"subscriber":{"successUri":"http://127.0.0.1/"}}',
    b'{"inputs":{"scope":{"type":"Polygon","coordinates":[]}}}',
    b'{"inputs":{"scope":{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1]]]}}}',
    b'{"inputs":{"scope":{"type":"Polygon","coordinates":[[[0,0],[1e308,0],[1,1],[0,0]]]}}}',
    b'{"inputs":{"scope":{"type":"Polygon","coordinates":[[["a",0],[1,0],[1,1],[0,0]]]}}}',
    b'{"inputs":' + b"[" * 60 + b"]" * 60 + b"}",
    b"[" * 100_000,
    b'{"inputs":{"scope":"' + b"x" * 2_000_000 + b'"}}',
    b'{"inputs":{"scope":["x"],"filter":"' + b"(" * 45 + b'"}}',
    b'{"inputs":{"scope":["x"],"as_of":99999999999999999999}}',
    b'{"inputs":{"scope":["x"],"as_of":-1}}',
    b'{"inputs":{"scope":["x"],"as_of":"x"}}',
    b'{"inputs":{"scope":["x"],"reference_date":"2026-02-30"}}',
    b'{"inputs":{"scope":["x"],"rule_pack":"../../etc/passwd"}}',
    b'{"inputs":{"scope":["x"],"scope_crs":"EPSG:999999"}}',
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: body[:50].decode("latin-1"))
def test_bad_body(http: httpx.Client, body: bytes) -> None:
    response = http.post(EXECUTE, content=body, headers={"Content-Type": "application/json"})
    check(response)


def test_wrong_content_type(http: httpx.Client) -> None:
    response = http.post(EXECUTE, content=b"<a/>", headers={"Content-Type": "text/xml"})
    check(response)
    assert response.status_code == 415


def test_body_without_end_is_cut_off(http: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(320):
            yield b" " * 65_536

    response = http.post(EXECUTE, content=endless(), headers={"Content-Type": "application/json"})
    check(response)
    assert response.status_code == 413


def test_not_even_http(base: str) -> None:
    host, port = base.removeprefix("http://").split(":")
    for junk in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000, b"GET /" + b"a" * 200_000):
        with socket.create_connection((host, int(port)), timeout=300) as connection:
            try:
                connection.sendall(junk)
                connection.recv(1024)
            except OSError:
                pass
    assert httpx.get(f"{base}/health").status_code == 200


HOSTS = [b'evil"example.org', b"a b", b"a/../x?y#", b"[::1", b"\xff\xfe", b"a:99999999", b"", b"a@b:80", b"a%2Fb"]


@pytest.mark.parametrize("host", HOSTS)
def test_no_link_is_made_with_a_host_that_is_none(base: str, host: bytes) -> None:
    answer = sent(base, b"GET /collections HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert answer.status_code == 400
    check(answer)


def test_there_is_one_host(base: str) -> None:
    for head in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
        answer = sent(base, head)
        assert answer.status_code == 400
        check(answer)
    assert sent(base, b"GET /health HTTP/1.0\r\n\r\n").status_code == 200  # that old, nobody had to say it
    for host in (b"example.org", b"example.org:8080", b"[2001:db8::1]:80", b"203.0.113.5", b"city_api", b"localhost:"):
        assert sent(base, b"GET /health HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").status_code == 200


@pytest.mark.parametrize("line", [b"OPTIONS *", b"GET *", b"GET http://example.org"])
def test_a_target_that_is_no_path(base: str, line: bytes) -> None:
    answer = sent(base, line + b" HTTP/1.1\r\nHost: example.org\r\n\r\n")
    assert answer.status_code in (200, 400, 405)
    assert answer.status_code == 200 or answer.headers["content-type"] == "application/problem+json"


EXECUTION = b"POST " + EXECUTE.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BEHIND = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLED = {
    "length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + BEHIND,
    "two lengths": b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + BEHIND,
    "length with a sign": b"Content-Length: +2\r\n\r\n{}" + BEHIND,
    "length in hexadecimal": b"Content-Length: 0x2\r\n\r\n{}" + BEHIND,
    "length beyond any": b"Content-Length: 99999999999999999999999\r\n\r\n{}" + BEHIND,
    "a coding of no name": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + BEHIND,
    "space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + BEHIND,
    "chunked not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + BEHIND,
    "a chunk below zero": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n" + BEHIND,
    "a chunk beyond any": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n" + BEHIND,
    "lines without return": b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" + BEHIND,
    "a folded header": b"X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}" + BEHIND,
}


@pytest.mark.parametrize("rest", SMUGGLED.values(), ids=SMUGGLED)
def test_no_request_hides_in_another(base: str, rest: bytes) -> None:
    """What two servers could understand in two ways (RFC 9112, section 11.2) is refused, and the connection ends."""
    with socket.create_connection(address_of(base), timeout=300) as connection:
        connection.sendall(EXECUTION + rest)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"cim_log_tree_size" not in received


def test_headers_behind_a_body_take_no_memory(own: tuple[City, httpx.Client]) -> None:
    base = str(own[1].base_url)
    before = resident()
    with socket.create_connection(address_of(base), timeout=300) as connection:
        connection.sendall(EXECUTION + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        for _ in range(30):
            connection.sendall(b"X: y\r\n" * 100_000)  # 18 MB in all, kept they were 350
        assert httpx.get(f"{base}/health", timeout=300).status_code == 200
        assert resident() - before < 60
        connection.sendall(b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def resident() -> float:
    """Megabytes that this process, and so the server in it, has in memory."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


def test_what_is_declared_too_long_is_not_waited_for(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    with city.database.engine.begin() as connection:
        loader = access.add_key(connection, "Loader", ["*:write"]).encode()
    upload = b"POST /ingest?name=a.gpkg HTTP/1.1\r\nHost: x\r\nX-API-Key: " + loader + b"\r\n"
    for head in (EXECUTION, upload):
        answer = sent(str(http.base_url), head + b"Content-Length: 5368709120\r\n\r\nabc")
        assert answer.status_code == 413
        check(answer)
        packed = sent(str(http.base_url), head + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")
        assert packed.status_code == 415
        check(packed)
    assert not (city.settings.home / "uploads").exists()


def sent(base: str, data: bytes) -> httpx.Response:
    """The first answer to bytes as they stand."""
    with socket.create_connection(address_of(base), timeout=300) as connection:
        connection.sendall(data)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


def address_of(base: str) -> tuple[str, int]:
    host, _, port = base.removeprefix("http://").strip("/").partition(":")
    return host, int(port)


def test_slow_statement_ends(own: tuple[City, httpx.Client]) -> None:
    """A lock held by someone else stands for anything that takes too long."""
    city, http = own
    with city.database.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE city.building IN ACCESS EXCLUSIVE MODE"))
        response = http.get(ITEMS)  # the lock is still held when it comes
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert response.headers["content-type"] == "application/problem+json"
    assert "longer than 5 s" in response.json()["detail"]
    assert http.get(ITEMS).status_code == 200


def test_reader_cannot_write(own: tuple[City, httpx.Client]) -> None:
    async def attempt() -> None:
        reader = await Reader(own[0].database).open()
        try:
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await reader._rows("DELETE FROM city.building", [])
        finally:
            await reader.close()

    asyncio.run(attempt())


def test_lost_database_is_a_503_until_it_is_back(
    own: tuple[City, httpx.Client], settings: Settings, administrator: sa.Engine
) -> None:
    city, http = own
    name = sa.make_url(city.database.url).database
    end = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
    with administrator.connect() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        connection.execute(end, {"name": name})
    try:
        for path in (ITEMS, "/health", "/collections", f"{ITEMS}/building-00001"):
            response = http.get(path)
            assert response.status_code == 503, response.text
            assert response.headers["content-type"] == "application/problem+json"
            assert str(name) not in response.text
    finally:
        with administrator.connect() as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert http.get(ITEMS).status_code == 200


def check(response: httpx.Response) -> None:
    """A problem document, of our making, that says nothing of the inside."""
    assert 400 <= response.status_code < 500, (response.status_code, response.text[:500])
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["title"]
    assert document["detail"]
    for inside in ("Traceback", "SELECT", "sqlalchemy", "psycopg", "asyncpg", ".py"):
        assert inside not in response.text
