"""Pages in any order hold every feature once, wherever a value is missing or shared."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from cim.city import City

ITEMS = "/collections/building/items"


@pytest.fixture
def mixed(own: tuple[City, httpx.Client]) -> tuple[City, httpx.Client]:
    """Twenty-five buildings: heights of four values and none, names of any case, days."""
    city, http = own
    table = city.database.table("building")
    with city.database.engine.begin() as connection:
        for number in range(25):
            values = {
                "height": None if number % 5 == 0 else number % 4 / 10 + 0.1,
                "name": None if number == 3 else "bAaB"[number % 4] + str(number),
                "valid_from": f"2020-01-{number + 1:02d}",
                "has_lift": number % 2 == 0,
            }
            connection.execute(sa.update(table).where(table.c.code == f"building-{number:05d}").values(**values))
    city.sequence()
    return city, http


def pages(http: httpx.Client, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    response = http.get(ITEMS, params=asked)
    while True:
        assert response.status_code == 200, response.text
        page = response.json()
        found += page["features"]
        following = [one["href"] for one in page["links"] if one["rel"] == "next"]
        if not following:
            return found
        response = http.get(following[0])


@pytest.mark.parametrize(
    "sortby", ["height", "-height", "+height", "-height,name", "has_lift,-height", "-valid_from", "name", "-code"]
)
def test_every_feature_once_in_its_place(sortby: str, mixed: tuple[City, httpx.Client]) -> None:
    _, http = mixed
    found = pages(http, sortby=sortby, limit=4)
    everything = pages(http, limit=1000)
    expected = everything
    # Python's sort is stable, so the last key goes first; missing values come last either way.
    for key in reversed(sortby.split(",")):
        name = key.lstrip("+-")
        there = [f for f in expected if f["properties"][name] is not None]
        missing = [f for f in expected if f["properties"][name] is None]
        there.sort(key=lambda f, name=name: f["properties"][name], reverse=key.startswith("-"))  # type: ignore[misc]
        if key.startswith("-"):  # of equal values the smaller code comes first all the same
            values = list(dict.fromkeys(f["properties"][name] for f in there))
            there = [f for value in values for f in expected if f["properties"][name] == value]
        expected = there + missing
    assert [f["id"] for f in found] == [f["id"] for f in expected]


def test_a_bulk_format_has_the_order_too(mixed: tuple[City, httpx.Client]) -> None:
    _, http = mixed
    asked = {"f": "csv", "sortby": "-valid_from", "properties": "valid_from", "skipGeometry": "true", "limit": 3}
    lines = http.get(ITEMS, params=asked).text.splitlines()[1:]
    assert lines == [f'"building-{number:05d}",2020-01-{number + 1:02d}' for number in (24, 23, 22)]


def test_refusals(http: httpx.Client) -> None:
    for sortby in ("nosuch", "geom", "", "-", "name,name", "name,,code"):
        assert http.get(ITEMS, params={"sortby": sortby}).status_code == 400, sortby
    token = "YQ"  # a token of the order by code
    assert http.get(ITEMS, params={"sortby": "height", "next": token}).status_code == 400
    assert http.get("/collections/unit/items", params={"sortby": "owner_name"}).status_code == 400
