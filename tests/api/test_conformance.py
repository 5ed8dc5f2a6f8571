"""The black-box checker of Features and Processes on a real server, and what it finds on one that errs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from cim.city import City
from cim.codes.provisional import mint_many
from cim.settings import Settings
from tests.api.conformance.__main__ import outcome
from tests.api.conformance.client import Api
from tests.api.conformance.registry import ASSERTIONS, SPEC

CODES = mint_many("building", "conformance", [str(number) for number in range(12)])
(NEW,) = mint_many("building", "conformance", ["new"])
PLACE = "SRID=4548;MULTIPOLYGON((({x} 4318000,{y} 4318000,{y} 4318010,{x} 4318010,{x} 4318000)))"
# Classes that are claimed, and held to elsewhere: test_tiles.py, and Common by Part 1.
ELSEWHERE = {"ogcapi-common-1/1.0/conf/core"} | {
    f"ogcapi-tiles-1/1.0/conf/{name}"
    for name in ("core", "tileset", "tilesets-list", "geodata-tilesets", "mvt", "oas30")
}
WRITABLE = {
    "type": "Feature",
    "id": NEW,
    "geometry": {
        "type": "MultiPolygon",
        "coordinates": [[[[117.01, 39.01], [117.0101, 39.01], [117.0101, 39.0101], [117.01, 39.01]]]],
    },
    "properties": {"name": "New", "height": 12.5},
}


@pytest.fixture(scope="module")
def base(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any) -> Iterator[str]:
    """Address of a city that takes writes: buildings, one without geometry and one without height, and their units."""
    settings = Settings(home=tmp_path_factory.mktemp("conformance"), database_url=clone(), api_write="yes")
    with City(settings) as city:
        buildings: list[dict[str, Any]] = [
            {"code": code, "name": f"House {n}", "height": n + 0.5, "year_built": 1950 + n, "valid_from": "2001-02-03",
             "geom": PLACE.format(x=500_000 + 20 * n, y=500_010 + 20 * n)}
            for n, code in enumerate(CODES)
        ]  # fmt: skip
        buildings[3] |= {"geom": None}
        buildings[4] |= {"height": None}
        units = [{"code": code, "building_code": CODES[n]} for n, code in enumerate(mint_many("unit", "c", ["1", "2"]))]
        with city.database.engine.begin() as connection:
            for name, rows in (("building", buildings), ("unit", units)):
                connection.execute(sa.insert(city.database.table(name)), rows)
        city.sequence()
        with serving(settings, city) as address:
            yield address


@pytest.fixture(scope="module")
def api(base: str) -> Iterator[Api]:
    """The API as a client sees it."""
    with httpx.Client(base_url=base, timeout=300) as http:
        yield Api(http, WRITABLE, "building")


@pytest.mark.parametrize("assertion", ASSERTIONS, ids=lambda one: f"{one.conformance} {one.check.__name__}")
def test_what_is_claimed_holds(api: Api, assertion: Any) -> None:
    assert outcome(api, assertion) == "passed"


def test_every_claim_is_looked_at(api: Api) -> None:
    looked_at = {SPEC + one.conformance for one in ASSERTIONS} | {SPEC + one for one in ELSEWHERE}
    assert api.claims == looked_at


class Erring(httpx.BaseTransport):
    """The real server behind something that changes its answers."""

    def __init__(self, change: Callable[[httpx.Request, Any, dict[str, str]], None]) -> None:
        self._real = httpx.HTTPTransport()
        self._change = change

    def close(self) -> None:
        self._real.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._real.handle_request(request)
        answer.read()
        headers = {k: v for k, v in answer.headers.items() if k not in ("content-length", "content-encoding")}
        document = json.loads(answer.content) if "json" in headers.get("content-type", "") else None
        self._change(request, document, headers)
        content = answer.content if document is None else json.dumps(document).encode()
        return httpx.Response(answer.status_code, headers=headers, content=content, request=request)


def _on_items(change: Callable[[dict[str, Any]], Any]) -> Callable[..., None]:
    def applied(_request: httpx.Request, document: Any, _headers: dict[str, str]) -> None:
        if isinstance(document, dict) and document.get("type") == "FeatureCollection" and document["features"]:
            change(document)

    return applied


def _flip(document: dict[str, Any]) -> None:
    for feature in document["features"]:
        if feature["geometry"]:
            text = [[p[1], p[0]] for p in feature["geometry"]["coordinates"][0][0]]
            feature["geometry"]["coordinates"] = [[text]]


ERRORS: dict[str, tuple[Callable[..., None], str]] = {
    "a feature is lost": (_on_items(lambda page: page["features"].pop()), "features"),
    "a feature comes twice": (_on_items(lambda page: page["features"].append(page["features"][0])), "paging"),
    "coordinates change places": (_on_items(_flip), "geojson"),
    "a property nobody declared": (
        _on_items(lambda page: page["features"][0]["properties"].update(secret=1)), "returnables"
    ),
    "no Content-Crs": (lambda _r, _d, headers: headers.pop("content-crs", None), "header"),
    "a schema without its id": (
        lambda _r, document, _h: document["properties"].pop("code", None)
        if isinstance(document, dict) and "$schema" in document else None,
        "schemas",
    ),
    "filters find nothing": (
        lambda request, document, _h: document.update(features=[], numberReturned=0)
        if "filter" in request.url.params and isinstance(document, dict) and "features" in document else None,
        "basic",
    ),
    "references stay keys": (
        _on_items(lambda page: [one["properties"].update(building_code=CODES[0]) for one in page["features"]]),
        "reference_profiles",
    ),
    "a raw value comes packed": (
        lambda request, document, _h: document.update(document={}) if request.url.path.endswith("/execution") else None,
        "in_a_document",
    ),
    "a process that is none": (
        lambda _r, document, _h: document.update(type="about:blank") if isinstance(document, dict) else None,
        "nothing",
    ),
    "the ETag never changes": (lambda _r, _d, headers: headers.update(etag='"r1"'), "the_life_of_a_feature"),
}  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
def test_an_api_that_errs_is_found_out(base: str, error: str) -> None:
    change, name = ERRORS[error]
    with httpx.Client(base_url=base, transport=Erring(change), timeout=300) as http:
        erring = Api(http, WRITABLE, "building")
        checks = [one for one in ASSERTIONS if one.check.__name__ == name]
        assert checks
        assert all(outcome(erring, one).startswith("FAILED") for one in checks)
