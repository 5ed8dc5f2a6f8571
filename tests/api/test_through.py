"""Collections read through a proposal over HTTP, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import shapely
import sqlalchemy as sa

from cim.city import City
from cim.db import access
from cim.settings import Settings

DIVISION = "110101000000"
PARCEL, OLD, LOW = "130629001001GB00001", "130629001001GB00001F00010000", "130629001001GB00001F00020000"
ITEMS = "/collections/building/items"
X, Y = 500_000, 4_320_000


def square(x: float, y: float, side: float) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([shapely.box(X + x, Y + y, X + x + side, Y + y + side)])


def seeded(city: City) -> str:
    """A parcel of a county with two houses; of the proposal for it, one gets a lift and a new one is built."""
    rows: dict[str, list[dict[str, Any]]] = {
        "division": [{"code": DIVISION, "name": "East", "level": "county", "geom": square(0, 0, 200)}],
        "parcel": [{"code": PARCEL, "division_code": DIVISION, "geom": square(0, 0, 100)}],
        "building": [
            {"code": code, "parcel_code": PARCEL, "status": "in_use", "usage": "residential", "storeys_above": 6,
             "has_lift": False, "geom": square(x, 10, 20)}
            for code, x in ((OLD, 0), (LOW, 30))
        ],
        "unit": [{"code": f"{OLD[:-4]}0001", "building_code": OLD, "owner_name": "王芳"}],
    }  # fmt: skip
    with city.database.engine.begin() as connection:
        for name, records in rows.items():
            for record in records:
                shape = {} if "geom" not in record else {"geom": sa.func.ST_GeomFromText(record.pop("geom").wkt, 4548)}
                connection.execute(sa.insert(city.database.table(name)).values(**record, **shape))
    city.sequence()
    new = {"geometry": shapely.geometry.mapping(shapely.box(X + 60, Y + 60, X + 80, Y + 80)), "usage": "residential",
           "gross_floor_area": 400.0, "households": 4, "dwellings": 4}  # fmt: skip
    interventions = [
        {"target": OLD, "action": "add_lift"}, {"target": PARCEL, "action": "new_build", "params": new}
    ]  # fmt: skip
    code = city.proposals.create("East street", interventions, crs=4548)
    city.sequence()
    return code


@pytest.fixture(scope="module")
def open_city(
    clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any
) -> Iterator[tuple[City, httpx.Client, str]]:
    """A city that everybody may read."""
    settings = Settings(home=tmp_path_factory.mktemp("through"), database_url=clone(), api_write="yes")
    with City(settings) as city:
        code = seeded(city)
        with serving(settings, city) as address, httpx.Client(base_url=address, timeout=300) as http:
            yield city, http, code


@pytest.fixture(scope="module")
def closed_city(
    clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any
) -> Iterator[tuple[City, httpx.Client, str]]:
    """One whose buildings are for everybody, and whose proposals, interventions and units are not."""
    public = frozenset({"division", "parcel", "building"})
    settings = Settings(home=tmp_path_factory.mktemp("closed"), database_url=clone(), api_public=public)
    with City(settings) as city:
        code = seeded(city)
        with serving(settings, city) as address, httpx.Client(base_url=address, timeout=300) as http:
            yield city, http, code


def test_the_city_as_it_would_be(open_city: tuple[City, httpx.Client, str]) -> None:
    _, http, code = open_city
    now = http.get(ITEMS).json()["features"]
    answer = http.get(ITEMS, params={"proposal": code})
    there = {one["id"]: one["properties"] for one in answer.json()["features"]}
    assert len(there) == len(now) + 1 == 3
    assert (there[OLD]["has_lift"], there[LOW]["has_lift"]) == (True, False)
    (new,) = there.keys() - {one["id"] for one in now}
    assert there[new]["gross_floor_area"] == 400.0
    assert answer.headers["cim-state"] == "pinned"
    assert answer.headers["cache-control"] == "no-cache"
    assert [one["properties"]["has_lift"] for one in now] == [False, False]
    item = http.get(f"{ITEMS}/{OLD}", params={"proposal": code})
    assert item.json()["properties"]["has_lift"] is True
    assert "etag" not in item.headers  # no write may take it for what is there
    assert http.get(f"{ITEMS}/{new}", params={"proposal": code}).status_code == 200
    assert http.get(f"{ITEMS}/{new}").status_code == 404
    assert "400" in http.get(f"{ITEMS}/{new}", params={"proposal": code, "f": "html"}).text


def test_filters_boxes_pages_and_files_go_through(open_city: tuple[City, httpx.Client, str]) -> None:
    _, http, code = open_city

    def found(**asked: Any) -> list[str]:
        answer = http.get(ITEMS, params={"proposal": code, **asked})
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["features"]]

    everything = found()
    assert found(filter="has_lift = TRUE") == [OLD]
    assert http.get(ITEMS, params={"filter": "has_lift = TRUE"}).json()["features"] == []
    near = {"bbox": f"{Y + 60},{X + 60},{Y + 80},{X + 80}", "bbox-crs": "http://www.opengis.net/def/crs/EPSG/0/4548"}
    assert found(**near) == sorted(set(everything) - {OLD, LOW})
    assert found(sortby="-gross_floor_area")[0] not in (OLD, LOW)
    page = http.get(ITEMS, params={"proposal": code, "limit": 2}).json()
    following = next(one["href"] for one in page["links"] if one["rel"] == "next")
    assert [one["id"] for one in (*page["features"], *http.get(following).json()["features"])] == everything
    assert http.get(ITEMS, params={"proposal": code, "resultType": "hits"}).json()["numberMatched"] == 3
    assert http.get(ITEMS, params={"proposal": code, "f": "csv"}).text.count("\n") == 4
    tiles = "/collections/building/tiles/WebMercatorQuad/15/12521/27033"
    plain = http.get(tiles)
    through = http.get(tiles, params={"proposal": code}, headers={"If-None-Match": plain.headers.get("etag", '"x"')})
    assert (plain.status_code, through.status_code) == (200, 200)
    assert len(through.content) > len(plain.content)
    assert "etag" not in through.headers
    assert http.get(tiles).content == plain.content


def test_a_draft_is_read_as_it_is_now(open_city: tuple[City, httpx.Client, str]) -> None:
    city, http, _ = open_city
    code = city.proposals.create("Short lived", [{"target": LOW, "action": "add_lift"}])
    city.sequence()
    read = lambda: http.get(f"{ITEMS}/{LOW}", params={"proposal": code}).json()["properties"]["has_lift"]  # noqa: E731
    assert read() is True
    city.proposals.revise(code, [{"target": OLD, "action": "add_lift"}])
    assert read() is False


def test_what_is_no_proposal(open_city: tuple[City, httpx.Client, str]) -> None:
    _, http, code = open_city
    for value in ("", "nosuch", "' OR 1=1 --", "x" * 3000):
        assert http.get(ITEMS, params={"proposal": value}).status_code == 404
    assert http.get(ITEMS, params={"proposal": "\0"}).status_code == 400
    early = http.get(ITEMS, params={"proposal": code, "as-of": 1})
    assert early.status_code == 404  # its targets were not there yet
    assert http.get("/collections/building/changes", params={"proposal": code}).status_code == 400


def test_it_is_for_who_may_see_all_that_it_says(closed_city: tuple[City, httpx.Client, str]) -> None:
    city, http, code = closed_city

    def ask(path: str, *scopes: str, divisions: tuple[str, ...] = ()) -> int:
        with city.database.engine.begin() as connection:
            key = access.add_key(connection, "Planner", scopes, divisions)
        return http.get(path, params={"proposal": code}, headers={"X-API-Key": key}).status_code

    tile = "/collections/building/tiles/WebMercatorQuad/15/12521/27033"
    for path in (ITEMS, f"{ITEMS}/{OLD}", tile):
        assert http.get(path).status_code == 200
        assert http.get(path, params={"proposal": code}).status_code == 401
        assert ask(path, "unit:read") == 403
        assert ask(path, "proposal:read") == 403
        assert ask(path, "proposal:read", "intervention:read") == 200
        # Whom divisions limit may see of a proposal what lies in them, but not read all the city through it.
        assert ask(path, "*:read", divisions=(DIVISION,)) == 403
        assert ask(path, "*:read", divisions=("990000000000",)) == 403
    units = "/collections/unit/items"
    assert ask(units, "proposal:read", "intervention:read") == 403
    assert ask(units, "proposal:read", "intervention:read", "unit:read") == 200


def test_private_fields_stay_private(closed_city: tuple[City, httpx.Client, str]) -> None:
    city, http, code = closed_city
    with city.database.engine.begin() as connection:
        headers = {"X-API-Key": access.add_key(connection, "Planner", ["*:read", "*:private"])}
    for form in ("json", "csv", "geojsonseq", "html", "jsonfg"):
        answer = http.get("/collections/unit/items", params={"proposal": code, "f": form}, headers=headers)
        assert answer.status_code == 200
        assert OLD[:20] in answer.text
        assert "王芳" not in answer.text
        assert "owner_name" not in answer.text
    named = http.get(
        "/collections/unit/items", params={"proposal": code, "filter": "owner_name = '王芳'"}, headers=headers
    )
    assert named.status_code == 400
