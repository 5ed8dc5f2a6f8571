"""What one client may take of the server: requests, time, bytes; and what every answer carries."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from limits import parse

from api import body, server
from api.gate import rate_of
from cim.city import City
from cim.db.pool import Pool
from cim.db.reader import Reader
from cim.db.stream import MAX_AT_ONCE
from cim.errors import InvalidData
from cim.settings import Settings

ITEMS = "/collections/building/items"


def test_every_answer_has_a_number(http: httpx.Client) -> None:
    numbers = {http.get(path).headers["x-request-id"] for path in (ITEMS, ITEMS, "/nosuch", f"{ITEMS}?limit=x")}
    assert len(numbers) == 4
    assert http.get("/", headers={"X-Request-ID": "trace-7"}).headers["x-request-id"] == "trace-7"
    for bad in (b"a b", b"x" * 65, b'"', b"\xe9"):
        number = http.get("/", headers=[(b"X-Request-ID", bad)]).headers["x-request-id"]
        assert number
        assert number.encode() != bad


def test_pages_of_any_origin_may_read(http: httpx.Client) -> None:
    origin = {"Origin": "https://map.example.org"}
    answer = http.get(ITEMS, headers=origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["vary"].split(", ").count("Origin") == 1
    assert "Origin" in http.get(ITEMS).headers["vary"].split(", ")  # caches give neither answer to the other
    assert answer.headers["access-control-expose-headers"] == "*, Authorization"
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-api-key, content-crs"}
    preflight = http.options(f"{ITEMS}/x", headers={**origin, **asked})
    assert preflight.status_code == 200
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "x-api-key" in preflight.headers["access-control-allow-headers"].lower()
    assert http.get("/nosuch", headers=origin).headers["access-control-allow-origin"] == "*"


def test_text_is_packed_for_whom_wants_it(base: str) -> None:
    with httpx.Client(base_url=base, headers={"Accept-Encoding": "identity"}) as http:
        plain = http.get(ITEMS, params={"limit": 100, "as-of": 100})
        with http.stream("GET", plain.url, headers={"Accept-Encoding": "gzip"}) as packed:
            raw = b"".join(packed.iter_raw())
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["vary"]
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 4
    assert packed.headers.get("etag") == plain.headers.get("etag")


@pytest.fixture(scope="module")
def limited(city: City, serving: Any) -> Iterator[httpx.Client]:
    """The same city, served with a limit of ten requests an hour to pages of one origin."""
    strict = replace(city.settings, api_rate="10/hour", api_origins=frozenset({"https://map.example.org"}))
    with serving(strict, city) as address, httpx.Client(base_url=address, timeout=300) as http:
        yield http


def test_a_client_that_asks_too_often_is_told_when_to_come_back(limited: httpx.Client) -> None:
    answers = [limited.get("/conformance", headers={"X-Forwarded-For": "203.0.113.5"}) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 3600
    assert refused.json()["title"] == "Too Many Requests"
    assert limited.get("/conformance", headers={"X-Forwarded-For": "203.0.113.6"}).status_code == 200
    assert limited.get("/health", headers={"X-Forwarded-For": "203.0.113.5"}).status_code == 200
    assert [limited.get("/conformance").status_code for _ in range(12)] == [200] * 12  # nobody on this machine


def test_who_guesses_keys_is_soon_not_listened_to(limited: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.gate._GUESSES", parse("60/hour"))  # a busy machine may need longer than a minute

    def guess(number: int) -> int:
        headers = {"X-Forwarded-For": "203.0.113.9", "X-API-Key": f"cim_000000000000_{number:043d}"}
        return limited.get("/conformance", headers=headers).status_code

    assert [guess(number) for number in range(61)] == [401] * 60 + [429]
    assert limited.get("/conformance", headers={"X-Forwarded-For": "203.0.113.10"}).status_code == 200


def test_pages_of_other_origins_may_not(limited: httpx.Client) -> None:
    given = limited.get("/conformance", headers={"Origin": "https://map.example.org"})
    assert given.headers["access-control-allow-origin"] == "https://map.example.org"
    assert (
        "access-control-allow-origin"
        not in limited.get("/conformance", headers={"Origin": "https://x.example"}).headers
    )


def test_a_rate_that_is_none(settings: Settings) -> None:
    with pytest.raises(InvalidData, match="CIM_API_RATE must be"):
        rate_of(replace(settings, api_rate="often"))
    assert rate_of(replace(settings, api_rate="no")) is None


# ---------------------------------------------------------------------- slow and long


def connect(base: str, receive: int | None = None) -> socket.socket:
    host, port = base.removeprefix("http://").split(":")
    connection = socket.socket()
    if receive is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    connection.settimeout(300)
    connection.connect((host, int(port)))
    return connection


def answered(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    return received


def test_a_request_that_never_ends_is_ended(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.4)
    with connect(base) as silent, connect(base) as slow, connect(base) as second:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        second.sendall(b"GET /conformance HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nX-Slow:")
        assert answered(silent).startswith(b"HTTP/1.1 408 ")
        told = answered(slow)
        assert told.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in told
        assert b"HTTP/1.1 408 " in answered(second)


def test_a_flood_of_headers_is_cut_off(base: str) -> None:
    for flood in (b"X-Flood: y\r\n" * 10_000, b"X-Long: " + b"y" * 100_000, b"Cookie: a=b\r\n" * 9_000):
        with connect(base) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + flood)
            assert connection.recv(4096).startswith(b"HTTP/1.1 431 ")
    with connect(base) as connection:
        connection.sendall(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 431 ")


def test_a_body_that_never_ends_is_ended(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "PATIENCE", 0.4)
    with connect(base) as connection:
        head = "POST /processes/district-inventory/execution HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 100\r\nConnection: close\r\n\r\n{{".encode())
        assert b"HTTP/1.1 408 " in answered(connection)


class Places(threading.BoundedSemaphore):
    """Counts how often a place was taken."""

    taken = 0

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        got = super().acquire(blocking, timeout)
        self.taken += got
        return got


def test_clients_that_take_nothing_do_not_keep_exports_from_others(
    base: str, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.setattr(server, "STALLED_SECONDS", 0.5)
    monkeypatch.setattr("cim.db.stream._PATIENCE", 120.0)
    places = Places(MAX_AT_ONCE)
    monkeypatch.setattr("cim.db.stream._at_once", places)
    with ExitStack() as stack:
        for _ in range(MAX_AT_ONCE):
            connection = stack.enter_context(connect(base, receive=4096))
            connection.sendall(f"GET {ITEMS}?f=geojsonseq HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        until(lambda: places.taken >= MAX_AT_ONCE, "not all exports began")
        answer = httpx.get(f"{base}{ITEMS}", params={"f": "geojsonseq"}, timeout=300)
        assert answer.status_code == 200


def test_a_drained_pool_is_a_503_and_refills(
    settings: Settings, serving: Any, monkeypatch: pytest.MonkeyPatch, until: Any, queue: Any
) -> None:
    """More requests than connections, none of which gets on."""
    monkeypatch.setattr("api.site.Reader", partial(Reader, connections=5, timeout=300.0))
    taking, patience = Pool.take, [300.0]
    monkeypatch.setattr(Pool, "take", lambda pool, _patience: taking(pool, patience[0]))
    with (
        City(settings) as city,
        serving(settings, city) as address,
        httpx.Client(base_url=address, timeout=300, limits=httpx.Limits(max_connections=20)) as http,
        ThreadPoolExecutor(10) as clients,
    ):
        with city.database.engine.begin() as connection:
            connection.execute(sa.text("LOCK TABLE city.building IN ACCESS EXCLUSIVE MODE"))
            stuck = [clients.submit(http.get, ITEMS) for _ in range(10)]
            until(lambda: len(queue(connection)) == 10, "not all readers wait")
            patience[0] = 0.5
            refused = [http.get(ITEMS) for _ in range(3)]
            patience[0] = 300.0
        assert [answer.status_code for answer in refused] == [503] * 3
        assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
        assert all(answer.json()["detail"].startswith("the database is busy: ") for answer in refused)
        assert [one.result().status_code for one in stuck] == [200] * 10
        assert http.get(ITEMS).status_code == 200
