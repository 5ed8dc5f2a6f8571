"""Who may read and write what: keys, tokens of a real issuer, divisions, personal data, the database's own roles."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psycopg
import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import RSAKey
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.db import access
from cim.db.access import Reading, read_as
from cim.db.identifiers import Identifier
from cim.db.reader import Reader
from cim.errors import DatabaseError, InvalidData
from cim.settings import Settings

BUILDINGS, UNITS = "/collections/building/items", "/collections/unit/items"
# Two counties of one province; each has a parcel, a building on it, and a unit in that.
DIVISIONS = {"110000000000": None, "110101000000": "110000000000", "110102000000": "110000000000"}
EAST, WEST = "110101000000", "110102000000"
HERE = {EAST: "east", WEST: "west"}


def seeded(city: City) -> None:
    square = "MULTIPOLYGON((({x} 4318000,{y} 4318000,{y} 4318100,{x} 4318100,{x} 4318000)))"
    places = {
        EAST: square.format(x=500000, y=500100),
        WEST: square.format(x=510000, y=510100),
        "110000000000": square.format(x=500000, y=510100),
    }
    rows: dict[str, list[dict[str, Any]]] = {
        "division": [
            {"code": c, "name": c, "level": "county" if p else "province", "parent_code": p, "geom": places[c]}
            for c, p in DIVISIONS.items()
        ],
        "parcel": [{"code": f"p-{n}", "division_code": d, "geom": places[d]} for d, n in HERE.items()],
        "building": [{"code": f"b-{n}", "parcel_code": f"p-{n}", "geom": places[d]} for d, n in HERE.items()],
        "unit": [
            {"code": f"u-{n}", "building_code": f"b-{n}", "owner_name": "王芳", "owner_id": "X-1"}
            for n in HERE.values()
        ],
        "facility": [
            {"code": f"f-{n}", "kind": "kindergarten", "geom": f"POINT({500050 if n == 'east' else 510050} 4318050)"}
            for n in HERE.values()
        ],
    }
    with city.database.engine.begin() as connection:
        for name, records in rows.items():
            for record in records:
                geom = record.pop("geom", None)
                shape = {} if geom is None else {"geom": sa.func.ST_GeomFromText(geom, 4548)}
                connection.execute(sa.insert(city.database.table(name)).values(**record, **shape))
    city.sequence()


class Issuer(ThreadingHTTPServer):
    """A real OpenID Connect issuer: its configuration and its keys over HTTP, tokens signed with them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.keys = [RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})]

    def token(self, key: RSAKey | None = None, **claims: Any) -> str:
        signer = key or self.keys[-1]
        standard = {"iss": self.address, "aud": "cim", "sub": "u-17", "exp": int(time.time()) + 300}
        return jwt.encode({"alg": "RS256", "kid": signer.kid}, {**standard, **claims}, signer)


class _Answers(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        documents = {
            "/.well-known/openid-configuration": {
                "issuer": self.server.address,
                "jwks_uri": f"{self.server.address}/keys",
            },
            "/keys": {"keys": [key.as_dict(private=False) for key in self.server.keys]},
        }
        body = json.dumps(documents[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    server = Issuer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def closed(
    clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any, issuer: Issuer
) -> Iterator[tuple[City, httpx.Client]]:
    """A city whose units and facilities are not for everybody."""
    public = frozenset({"division", "parcel", "building"})
    settings = Settings(
        home=tmp_path_factory.mktemp("access"),
        database_url=clone(),
        api_public=public,
        oidc_issuer=issuer.address,
        oidc_audience="cim",
    )
    with City(settings) as city:
        seeded(city)
        with serving(settings, city) as address, httpx.Client(base_url=address, timeout=300) as http:
            yield city, http


def key(city: City, *scopes: str, divisions: tuple[str, ...] = ()) -> dict[str, str]:
    with city.database.engine.begin() as connection:
        return {"X-API-Key": access.add_key(connection, "Survey office", scopes, divisions)}


def codes(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [feature["id"] for feature in answer.json()["features"]]


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in answer.headers) is (status == 401)
    document: dict[str, Any] = answer.json()
    return document


def test_everybody_reads_what_is_public_and_nothing_else(closed: tuple[City, httpx.Client]) -> None:
    _, http = closed
    assert codes(http.get(BUILDINGS)) == ["b-east", "b-west"]
    listed = [one["id"] for one in http.get("/collections").json()["collections"]]
    assert listed == ["division", "parcel", "building"]
    proof = "/log/proof?type=unit&code=u-east"
    below = ["", "/schema", "/changes", "/items", "/items/u-east", "/items/u-east/history", "/items?as-of=3"]
    below += ["/items?f=csv", "/items?resultType=hits", "/tiles/WebMercatorQuad/0/0/0"]
    for path in (*(f"/collections/unit{rest}" for rest in below), "/log/tile/entries/000.p/11", proof):
        refused(http.get(path), 401)
    refused(http.post("/processes/district-inventory/execution", json={"inputs": {"scope": ["p-east"]}}), 401)
    refused(http.get("/codes/provisional/u-east"), 400)
    assert http.get("/log/proof?code=b-east").status_code == 200
    assert http.get("/log/tile/0/000.p/12").status_code == 200


def test_keys_open_what_their_scopes_say(closed: tuple[City, httpx.Client]) -> None:
    city, http = closed
    units = key(city, "unit:read")
    assert codes(http.get(UNITS, headers=units)) == ["u-east", "u-west"]
    assert codes(http.get(UNITS, headers={"Authorization": f"Bearer {units['X-API-Key']}"})) == ["u-east", "u-west"]
    assert codes(http.get(UNITS, params={"as-of": "12"}, headers=units)) == ["u-east", "u-west"]
    assert http.get("/log/proof?type=unit&code=u-east", headers=units).status_code == 200
    answer = http.get(UNITS, params={"as-of": "12"}, headers=units)
    assert answer.headers["cache-control"].startswith("private")
    assert "X-API-Key" in answer.headers["vary"]
    refused(http.get("/collections/facility/items", headers=units), 403)
    refused(http.get("/log/tile/entries/000.p/11", headers=units), 403)
    for wrong in ("cim_000000000000_" + "x" * 43, units["X-API-Key"][:-1] + "!", "nonsense", ""):
        refused(http.get(BUILDINGS, headers={"X-API-Key": wrong}), 401)
    refused(http.get(BUILDINGS, headers={"Authorization": "Basic eDp5"}), 401)


def test_a_key_sends_no_more_than_its_quota(
    closed: tuple[City, httpx.Client], serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.access._KEEP", 0.0)  # the database is told at each request, instead of every ten seconds
    monkeypatch.setattr("api.quota.time", Clock(20_000 * 86_400 + 3_600))  # one o'clock
    city, http = closed
    with city.database.engine.begin() as connection:
        text = access.add_key(connection, "Mirror", ["*:read"], quota="5/day")
    mirror = {"X-API-Key": text}

    def ask(client: httpx.Client, count: int) -> list[int]:
        return [client.get("/conformance", headers=mirror).status_code for _ in range(count)]

    assert ask(http, 3) == [200] * 3
    assert http.get("/health", headers=mirror).status_code == 200  # counts for nothing
    with serving(city.settings, city) as address, httpx.Client(base_url=address, timeout=300) as another:
        assert ask(another, 3) == [200, 200, 429]
    refused_here = http.get("/conformance", headers=mirror)
    assert "5 per 1 day" in refused(refused_here, 429)["detail"]
    assert refused_here.headers["retry-after"] == str(23 * 3_600)
    with serving(city.settings, city) as address, httpx.Client(base_url=address, timeout=300) as restarted:
        assert ask(restarted, 1) == [429]
        assert restarted.get("/health", headers=mirror).status_code == 200
        assert restarted.get("/conformance", headers=key(city, "*:read")).status_code == 200
    with city.database.engine.connect() as connection:
        (row,) = [one for one in access.keys(connection) if one["id"] == text.split("_")[1]]
    assert (row["quota"], row["used"]) == ("5/day", 5)


class Clock:
    """Stands in for the module `time`, and goes on when it is told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now


def test_a_quota_begins_anew_with_each_period(
    closed: tuple[City, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(3 * 600_000_000 + 1)
    monkeypatch.setattr("api.quota.time", clock)
    city, http = closed
    with city.database.engine.begin() as connection:
        quick = {"X-API-Key": access.add_key(connection, "Quick", ["*:read"], quota="2/3 second")}
    answers = [http.get("/conformance", headers=quick) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].headers["retry-after"] == "2"
    clock.now += 2
    assert http.get("/conformance", headers=quick).status_code == 200


@pytest.mark.parametrize("quota", ["", "often", "0/day", "-1/day", "5", "5/day;1/second", "1e3/day", "9" * 30 + "/day"])
def test_what_is_no_quota(closed: tuple[City, httpx.Client], quota: str) -> None:
    with closed[0].database.engine.begin() as connection, pytest.raises(InvalidData, match="is no quota"):
        access.add_key(connection, "x", ["*:read"], quota=quota)


def test_the_secret_of_a_key_is_nowhere(closed: tuple[City, httpx.Client]) -> None:
    city, _ = closed
    secret = key(city, "*:read")["X-API-Key"].split("_", 2)[2]  # it may hold an underscore itself
    with city.database.engine.connect() as connection:
        stored = connection.execute(sa.text("SELECT to_jsonb(k)::text FROM cim.api_key k")).scalars()
        assert [row for row in stored if secret in row or secret.encode().hex() in row] == []


def test_divisions_limit_what_is_restricted(closed: tuple[City, httpx.Client]) -> None:
    city, http = closed
    east = key(city, "unit:read", "facility:read", divisions=(EAST,))
    assert codes(http.get(UNITS, headers=east)) == ["u-east"]  # through building and parcel
    assert codes(http.get("/collections/facility/items", headers=east)) == ["f-east"]  # by place
    assert codes(http.get(UNITS, params={"as-of": "12"}, headers=east)) == ["u-east"]
    assert "u-east" in (whole := http.get(UNITS, params={"f": "csv"}, headers=east).text)
    assert "u-west" not in whole
    tile = "/collections/facility/tiles/WebMercatorQuad/9/195/422"
    # What a cache holds for one caller is not for another.
    sizes = {len(http.get(tile, headers=one).content) for one in (key(city, "*:read"), east, key(city, "*:read"))}
    assert len(sizes) == 2
    assert http.get(UNITS, params={"resultType": "hits"}, headers=east).json()["numberMatched"] == 1
    changes = http.get("/collections/unit/changes", headers=east).json()["changes"]
    assert [change["code"] for change in changes] == ["u-east"]
    assert http.get(f"{UNITS}/u-east/history", headers=east).status_code == 200
    refused(http.get(f"{UNITS}/u-west/history", headers=east), 404)
    refused(http.get(f"{UNITS}/u-west", headers=east), 404)
    refused(http.get("/log/proof?type=unit&code=u-west", headers=east), 404)
    # Nor does another identifier lead to what they may not read.
    city.identify([Identifier("meter", f"M-{where}", "unit", f"u-{where}") for where in HERE.values()])
    assert http.get(f"{UNITS}/M-east", headers=east).headers["location"].endswith("/u-east")
    assert "u-west" not in refused(http.get(f"{UNITS}/M-west", headers=east), 404)["detail"]
    assert http.get(f"{UNITS}/M-west", headers=key(city, "unit:read")).headers["location"].endswith("/u-west")
    assert codes(http.get(BUILDINGS, headers=east)) == ["b-east", "b-west"]  # public all the same
    province = key(city, "unit:read", divisions=("110000000000",))
    assert codes(http.get(UNITS, headers=province)) == ["u-east", "u-west"]
    assert codes(http.get(UNITS, headers=key(city, "unit:read", divisions=("990000000000",)))) == []


def test_a_page_that_one_may_see_more_of_is_another(closed: tuple[City, httpx.Client]) -> None:
    """Nothing a caller kept or was told says what another one sees of the same state."""
    city, http = closed
    city.sequence()
    keys = [key(city, "unit:read", divisions=(place,)) for place in (EAST, WEST)]
    east, west = (http.get(UNITS, headers=one).headers["etag"] for one in keys)
    assert east != west
    assert http.get(UNITS, headers={**keys[0], "If-None-Match": east}).status_code == 304
    assert codes(http.get(UNITS, headers={**keys[1], "If-None-Match": east})) == ["u-west"]


def test_writes_go_by_scope_and_division(closed: tuple[City, httpx.Client]) -> None:
    city, http = closed
    patch = {"Content-Type": "application/merge-patch+json"}
    renamed = {"properties": {"name": "7"}}
    assert http.patch(f"{BUILDINGS}/b-east", json=renamed, headers=patch).status_code == 405
    refused(http.patch(f"{UNITS}/u-east", json=renamed, headers=patch), 401)
    reader, east = key(city, "*:read"), key(city, "building:write", divisions=(EAST,))
    refused(http.patch(f"{BUILDINGS}/b-east", json=renamed, headers={**patch, **reader}), 403)
    written = http.patch(f"{BUILDINGS}/b-east", json=renamed, headers={**patch, **east, "CIM-Actor": "Li%20Lei"})
    assert written.status_code == 204, written.text
    history = http.get(f"{BUILDINGS}/b-east/history").json()["revisions"]
    assert history[-1]["by"] == "Survey office: Li Lei"
    assert (
        "outside" in refused(http.patch(f"{BUILDINGS}/b-west", json=renamed, headers={**patch, **east}), 403)["detail"]
    )
    refused(http.delete(f"{BUILDINGS}/b-west", headers=east), 403)
    # Nor can an object be moved out of the divisions that one may write in.
    moved = {"properties": {"parcel_code": "p-west", "division_code": None}}
    refused(http.patch(f"{BUILDINGS}/b-east", json=moved, headers={**patch, **east}), 403)
    assert http.get(f"{BUILDINGS}/b-west/history").json()["revisions"][-1]["rev"] == 1
    assert "POST" in http.options(BUILDINGS, headers=east).headers["allow"]
    assert "POST" not in http.options(BUILDINGS).headers["allow"]
    writing = "http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/create-replace-delete"
    assert writing in http.get("/conformance", headers=east).json()["conformsTo"]
    assert writing not in http.get("/conformance").json()["conformsTo"]


def test_private_fields_need_their_scope_and_reads_are_recorded(closed: tuple[City, httpx.Client]) -> None:
    city, http = closed
    address = f"{UNITS}/u-east/private"
    refused(http.get(address), 401)
    reader = key(city, "unit:read")
    refused(http.get(address, headers=reader), 403)
    assert "王芳" not in http.get(UNITS, headers=reader).text
    privileged = key(city, "unit:read", "unit:private", divisions=(EAST,))
    answer = http.get(address, headers={**privileged, "X-Request-ID": "case-7"})
    assert answer.json()["private"] == {"owner_name": "王芳", "owner_id": "X-1"}
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-request-id"] == "case-7"
    refused(http.get(f"{UNITS}/u-west/private", headers=privileged), 404)
    with city.database.engine.connect() as connection:
        (read,) = access.private_reads(connection, "unit")
    number = privileged["X-API-Key"].split("_")[1]
    assert (read["reader"], read["code"], read["request"]) == (f"key:{number} Survey office", "u-east", "case-7")
    assert read["fields"] == ["owner_name", "owner_id"]
    with pytest.raises(sa.exc.IntegrityError), city.database.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM cim.private_read"))


def test_tokens_of_the_issuer(closed: tuple[City, httpx.Client], issuer: Issuer) -> None:
    _, http = closed

    def get(token: str) -> httpx.Response:
        return http.get(UNITS, headers={"Authorization": f"Bearer {token}"})

    assert codes(get(issuer.token(scope="openid unit:read"))) == ["u-east", "u-west"]
    assert codes(get(issuer.token(scp=["unit:read"], cim_divisions=[WEST]))) == ["u-west"]
    refused(get(issuer.token(scope="openid")), 403)
    now = int(time.time())
    stranger = RSAKey.generate_key(2048, {"kid": "one"})
    # Signed with the public key as if it were a shared secret: the oldest forgery of all.
    parts = [{"alg": "HS256", "kid": "one"}, {"iss": issuer.address, "aud": "cim", "sub": "x", "exp": now + 300}]
    text = ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    mac = hmac.digest(issuer.keys[0].as_pem(private=False), text.encode(), "sha256")
    shared = f"{text}.{urlsafe_b64encode(mac).decode().rstrip('=')}"
    for bad in (
        issuer.token(scope="unit:read", exp=now - 3600),
        issuer.token(scope="unit:read", aud="another"),
        issuer.token(scope="unit:read", iss="https://example.org"),
        issuer.token(scope="unit:read", nbf=now + 3600),
        issuer.token(stranger, scope="unit:read"),
        issuer.token(scope="unit:read", cim_divisions=["1'; DROP TABLE x"]),
        shared,
        "eyJhbGciOiJub25lIn0.e30.",
        "a.b.c",
        "x" * 9000,
    ):
        refused(get(bad), 401)


def test_a_new_key_of_the_issuer_is_fetched(issuer: Issuer) -> None:
    from api import oidc

    async def attempt() -> None:
        known = oidc.Issuer(issuer.address, "cim")
        assert (await known.claims(issuer.token()))["sub"] == "u-17"
        issuer.keys.append(RSAKey.generate_key(2048, {"kid": "two", "use": "sig", "alg": "RS256"}))
        with pytest.raises(oidc.InvalidToken):
            await known.claims(issuer.token())  # its keys were asked for just now
        known._read_at -= 60
        assert (await known.claims(issuer.token()))["sub"] == "u-17"

    asyncio.run(attempt())


# ---------------------------------------------------------------------- the database's own line of defence

FORBIDDEN = [
    "SELECT * FROM city.unit",
    "SELECT code FROM city.unit",
    "SELECT code FROM city.unit_at(99)",
    "SELECT * FROM cim.private_value",
    "SELECT * FROM cim.api_key",
    "SELECT * FROM cim.private_read",
    "SELECT * FROM cim.reject",
    "SELECT entry FROM cim.leaf",
    "SELECT pg_sleep(1)",
    "SELECT pg_sleep_for('1 s')",
    "SELECT query_to_xml('SELECT 1', true, true, '')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_creat(-1)",
    "COPY (SELECT 1) TO '/tmp/x'",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "SELECT pg_terminate_backend(1)",
    "SELECT rolpassword FROM pg_authid",
    "SELECT cim.erase('unit', 'u-east', '{owner_name}')",
    "CREATE TEMPORARY TABLE x (y int)",
    "INSERT INTO city.building (code) VALUES ('x')",
    "UPDATE city.building SET name = 'x'",
    "DELETE FROM cim.revision",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_role_of_everybody_may_not(closed: tuple[City, httpx.Client], statement: str) -> None:
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
        attempt(closed[0], statement)


def test_the_role_sees_no_revision_of_what_is_restricted(closed: tuple[City, httpx.Client]) -> None:
    city, _ = closed
    types = attempt(city, "SELECT DISTINCT type FROM cim.revision ORDER BY 1")
    assert [row["type"] for row in types] == ["building", "division", "parcel"]
    with read_as(Reading("cim_staff")):
        assert [row["code"] for row in attempt(city, "SELECT code FROM city.unit ORDER BY code")] == [
            "u-east",
            "u-west",
        ]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            attempt(city, "SELECT owner_name FROM city.unit")
    with read_as(Reading("cim_district", (EAST,))):
        assert [row["code"] for row in attempt(city, "SELECT code FROM city.unit")] == ["u-east"]


def test_no_statement_outlives_its_limit(closed: tuple[City, httpx.Client]) -> None:
    endless = "SELECT count(*) FROM generate_series(1, 10000000000)"  # for half an hour and more
    with pytest.raises(DatabaseError, match="longer than 1 s"):
        attempt(closed[0], endless)


def attempt(city: City, statement: str) -> list[Any]:
    async def run() -> list[Any]:
        reader = await Reader(city.database, timeout=1).open()
        try:
            return await reader._rows(statement, [])
        finally:
            await reader.close()

    return asyncio.run(run())


def _let_in(settings: Settings) -> bool:
    assert settings.api_database_url is not None
    try:
        psycopg.connect(sa.make_url(settings.api_database_url).set(drivername="postgresql").render_as_string()).close()
    except psycopg.OperationalError:
        return False
    return True


def test_an_own_login_has_nothing_to_take_back(
    closed: tuple[City, httpx.Client], administrator: sa.Engine, until: Any
) -> None:
    """The role a connection gives up can be taken back by a statement that calls set_config; that of a login cannot."""
    if "CIM_DATABASE_URL" in os.environ:
        pytest.skip("who may log in to a server named is its administrator's matter")
    city, _ = closed
    login = sa.make_url(city.database.url).set(username="cim_test_login")
    with administrator.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE cim_test_login LOGIN")
        connection.exec_driver_sql("GRANT cim_public, cim_staff, cim_district TO cim_test_login")
        rules = Path(connection.exec_driver_sql("SHOW hba_file").scalar_one())
        before = rules.read_text(encoding="utf-8")
        rules.write_text(f"{before}local all cim_test_login trust\n", encoding="utf-8")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    own = replace(city.settings, api_database_url=login.render_as_string(hide_password=False))
    kept = city.database.settings
    city.database.settings = own
    try:
        until(lambda: _let_in(own), "the server did not read its rules again")
        assert len(attempt(city, "SELECT code FROM city.building")) == 2
        with read_as(Reading("cim_district", (EAST,))):
            assert len(attempt(city, "SELECT code FROM city.unit")) == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            attempt(city, "SELECT set_config('role', 'cim', false)")
    finally:
        city.database.settings = kept
        rules.write_text(before, encoding="utf-8")
        with administrator.connect() as connection:
            connection.exec_driver_sql("SELECT pg_reload_conf()")
            connection.exec_driver_sql("DROP ROLE cim_test_login")


# ---------------------------------------------------------------------- the command line


def test_keys_on_the_command_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.database_url is not None
    monkeypatch.setenv("CIM_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("CIM_HOME", str(settings.home))

    def cim(*arguments: str) -> Any:
        done = CliRunner().invoke(build(), ["keys", *arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    with pytest.raises(InvalidData, match="'pipes:write' names no feature type; there are division, parcel"):
        cim("add", "Water works", "--scope", "pipes:write")
    made = cim("add", "Water works", "--scope", "pipe:write", "--scope", "pipe:read", "--expires", "2999-01-01").strip()
    number = made.split("_")[1]
    (listed,) = json.loads(cim("list", "--json"))
    assert (listed["id"], listed["name"], listed["scopes"]) == (number, "Water works", ["pipe:read", "pipe:write"])
    assert "secret" not in listed
    assert "Water works" in cim("list")
    with City(settings) as city, city.database.engine.connect() as connection:
        assert access.find_key(connection, made) is not None
        cim("revoke", number)
        assert access.find_key(connection, made) is None
    assert json.loads(cim("reads", "--json")) == []
    with pytest.raises(InvalidData, match="is no scope"):
        cim("add", "x", "--scope", "building:fly")
    over = cim("add", "Old", "--scope", "*:read", "--expires", "2020-01-01").strip()
    with City(settings) as city, city.database.engine.connect() as connection:
        assert access.find_key(connection, over) is None
