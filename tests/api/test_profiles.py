"""Profiles (OGC 23-058r2): how features refer to others, and how schemas give codelists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa

from cim.city import City
from cim.settings import Settings

PROFILES = "http://www.opengis.net/def/profile/OGC/0/"
UNITS = "/collections/unit/items"
# RFC 3986: every reserved character, and letters of two, three and four bytes.
ODD = ":/?#[]@!$&'()*+,;=%25 \"<>é塔\U0001f3e2-._~"


@pytest.fixture(scope="module")
def referring(
    clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any
) -> Iterator[httpx.Client]:
    """A city of units that belong to a plain building, to one of an odd code, to none, and to one still to come."""
    with City(Settings(home=tmp_path_factory.mktemp("profiles"), database_url=clone())) as city:
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("building")), [{"code": "b-1"}, {"code": ODD}])
            connection.execute(
                sa.text("SELECT set_config('cim.dataset', repeat('0', 64), true)")
            )  # as a load of a file
            units = [("u-1", "b-1"), ("u-2", ODD), ("u-3", None), ("u-4", "b-9")]
            connection.execute(
                sa.insert(city.database.table("unit")), [{"code": c, "building_code": b} for c, b in units]
            )
        city.sequence()
        with serving(city.settings, city) as address, httpx.Client(base_url=address, timeout=300) as http:
            yield http


def named(http: httpx.Client, **asked: Any) -> list[Any]:
    answer = http.get(UNITS, params=asked)
    assert answer.status_code == 200, answer.text
    return [one["properties"]["building_code"] for one in answer.json()["features"]]


@pytest.mark.parametrize("state", [{}, {"as-of": 7}])
def test_references_as_wanted(referring: httpx.Client, state: dict[str, Any]) -> None:
    buildings = f"{str(referring.base_url).rstrip('/')}/collections/building/items/"
    addresses = [buildings + "b-1", buildings + quote(ODD, safe=""), None, "b-9"]
    assert named(referring, **state) == named(referring, profile="rel-as-key", **state) == ["b-1", ODD, None, "b-9"]
    assert named(referring, profile="rel-as-uri", **state) == addresses
    assert named(referring, profile=f"{PROFILES}rel-as-uri", **state) == addresses
    assert named(referring, profile="rel-as-link", f="jsonfg", **state) == [
        {"href": addresses[0], "title": "b-1"}, {"href": addresses[1], "title": ODD}, None, "b-9"
    ]  # fmt: skip
    for address in addresses[:2]:
        assert referring.get(str(address)).status_code == 200
    lines = referring.get(UNITS, params={"profile": "rel-as-uri", "f": "geojsonseq", **state}).text
    assert addresses[1] in [json.loads(one)["properties"]["building_code"] for one in lines.split("\x1e") if one]


def test_the_same_statement_serves_under_any_address(referring: httpx.Client) -> None:
    for host in ("one.example", "two.example:81"):
        answer = referring.get(UNITS, params={"profile": "rel-as-uri"}, headers={"Host": host})
        address = answer.json()["features"][0]["properties"]["building_code"]
        assert address == f"http://{host}/collections/building/items/b-1"


def test_tables_hold_codes_and_pages_links(referring: httpx.Client) -> None:
    table = referring.get(UNITS, params={"profile": "rel-as-uri", "f": "csv"})
    assert '"b-1"' in table.text
    assert "http" not in table.text
    page = referring.get(UNITS, params={"profile": "rel-as-key", "f": "html"})
    assert "/collections/building/items/b-1" in page.text
    assert "/collections/building/items/b-9" not in page.text
    assert "/collections/building/items/b-1" in referring.get(f"{UNITS}/u-1", params={"f": "html"}).text
    assert "<dd>b-9</dd>" in referring.get(f"{UNITS}/u-4", params={"f": "html"}).text


def test_an_item_of_each_profile_has_a_tag_of_its_own(referring: httpx.Client) -> None:
    item = f"{UNITS}/u-1"
    asked = [{}, {"profile": "rel-as-key"}, {"profile": "rel-as-uri"}, {"profile": "rel-as-link"}]
    answers = [referring.get(item, params=one) for one in asked]
    assert len({answer.headers["etag"] for answer in answers}) == 4
    linked = [[one["href"] for one in answer.json()["links"] if one["rel"] == "profile"] for answer in answers]
    assert linked == [[], *([PROFILES + one["profile"]] for one in asked[1:])]
    assert f'<{PROFILES}rel-as-uri>; rel="profile"' in answers[2].headers["link"]


def test_what_is_no_profile(referring: httpx.Client) -> None:
    for name in ("nosuch", "", "rel-as-uri,nosuch", "codelist-ref", "https://example.org/p", "[ogc-profile:x]"):
        assert referring.get(UNITS, params={"profile": name}).status_code == 400
        assert referring.get("/collections/unit/schema", params={"profile": f"{name}x"}).status_code == 400
    assert named(referring, profile="rel-as-link,rel-as-key")[2] is None


@pytest.mark.parametrize("what", ["schema", "queryables", "sortables"])
def test_codelists_as_wanted(referring: httpx.Client, what: str) -> None:
    address = f"/collections/unit/{what}"
    plain, inline = (referring.get(address, params=one) for one in ({}, {"profile": "codelist-inline"}))
    assert plain.json() == referring.get(address, params={"profile": "codelist-ref"}).json()
    assert (plain.headers["link"], inline.headers["link"]) == (
        f'<{PROFILES}codelist-ref>; rel="profile"', f'<{PROFILES}codelist-inline>; rel="profile"'
    )  # fmt: skip
    by_reference, spelt_out = (one.json()["properties"]["usage"] for one in (plain, inline))
    codelist = referring.get(by_reference["x-ogc-codelistUri"]).json()["values"]
    assert by_reference["enum"] == [one["value"] for one in codelist]
    assert [(one["const"], one["title"]) for one in spelt_out["oneOf"]] == [(c["value"], c["title"]) for c in codelist]
    assert spelt_out["type"] == "string"
    assert not {"enum", "x-ogc-codelistUri"} & spelt_out.keys()
    assert plain.json()["$id"] == inline.json()["$id"]


def test_a_reference_becomes_a_link_when_what_it_names_is_there(
    clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any
) -> None:
    """Nothing of the unit changes meanwhile: neither a kept feature nor an ETag may tell what was."""
    with City(Settings(home=tmp_path_factory.mktemp("awaited"), database_url=clone())) as city:
        with city.database.engine.begin() as connection:
            connection.execute(
                sa.text("SELECT set_config('cim.dataset', repeat('0', 64), true)")
            )  # as a load of a file
            connection.execute(sa.insert(city.database.table("unit")), [{"code": "u-1", "building_code": "b-1"}])
        before = city.sequence().size
        with serving(city.settings, city) as address, httpx.Client(base_url=address, timeout=300) as http:
            asked = {"profile": "rel-as-uri"}
            tag = http.get(f"{UNITS}/u-1", params=asked).headers["etag"]
            assert named(http, **asked) == ["b-1"]
            with city.database.engine.begin() as connection:
                connection.execute(sa.insert(city.database.table("building")), [{"code": "b-1"}])
            there = f"{address.rstrip('/')}/collections/building/items/b-1"
            assert named(http, **asked) == [there]
            answer = http.get(f"{UNITS}/u-1", params=asked, headers={"If-None-Match": tag})
            assert answer.status_code == 200
            assert answer.json()["properties"]["building_code"] == there
            city.sequence()
            assert named(http, **asked, **{"as-of": before}) == ["b-1"]
            assert named(http, **asked, **{"as-of": before + 1}) == [there]
