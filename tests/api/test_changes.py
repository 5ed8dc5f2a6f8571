"""Another system keeps a copy of a collection by nothing but its feed of changes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from cim.city import City
from cim.codes.provisional import mint_many
from cim.db import reader

CHANGES = "/collections/building/changes"
ITEMS = "/collections/building/items"
STORAGE = "http://www.opengis.net/def/crs/EPSG/0/4548"


class Mirror:
    """Features by code, and the tree size they are of."""

    def __init__(self, http: httpx.Client, address: str = CHANGES, **query: Any) -> None:
        self.http = http
        self.address = address
        self.query = query
        self.features: dict[str, Any] = {}
        self.changes: list[dict[str, Any]] = []
        self.pages: list[int] = []
        self.size = 0

    def follow(self, **query: Any) -> None:
        address: str | None = str(
            self.http.build_request("GET", self.address, params={**self.query, **query, "since": self.size}).url
        )
        while address is not None:
            response = self.http.get(address)
            assert response.status_code == 200, response.text
            page = response.json()
            assert page["size"] == int(response.headers["cim-tree-size"])
            assert page["numberReturned"] == len(page["changes"])
            self.pages.append(len(page["changes"]))
            for change in page["changes"]:
                self.changes.append(change)
                if change["feature"] is None:
                    del self.features[change["code"]]
                else:
                    self.features[change["code"]] = change["feature"]
            following = [one["href"] for one in page["links"] if one["rel"] == "next"]
            address = following[0] if following else None
            self.size = page["size"]


def table(http: httpx.Client, address: str = ITEMS, **query: Any) -> dict[str, Any]:
    page = http.get(address, params={"limit": 10_000, **query}).json()
    return {feature["id"]: feature for feature in page["features"]}


def write(city: City, *statements: sa.Executable, sequence: bool = True) -> None:
    with city.database.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)
    if sequence:
        city.sequence()


def test_a_mirror_loses_nothing(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    building = city.database.table("building")
    plain, metric = Mirror(http, limit=7), Mirror(http, limit=10_000, crs=STORAGE)
    plain.follow()
    first = plain.size
    assert plain.features == table(http)
    assert plain.pages == [7, 7, 7, 4]  # 25 buildings
    values = {"height": 12.5, "name": "塔楼", "valid_from": "2001-02-03", "attributes": {"roof": ["flat", None]}}
    write(
        city,
        sa.update(building).where(building.c.code == "building-00003").values(**values),
        sa.update(building).where(building.c.code == "building-00004").values(
            geom=sa.func.ST_Multi(sa.func.ST_Translate(building.c.geom, 3.001, 0))
        ),
        sa.delete(building).where(building.c.code == "building-00005"),
    )  # fmt: skip
    write(city, sa.insert(building).values(code="building-00005", name="again"))
    renamed, one, other = mint_many("building", "mirror", ["1", "2", "3"])
    city.supersede("building", {"building-00006": renamed}, reason="renumbered")
    city.sequence()
    plain.follow()
    second = plain.size
    write(city, sa.insert(building).values([{"code": one}, {"code": other}]))
    city.supersede("building", {"building-00007": [one, other]}, reason="divided")
    write(city, sa.update(building).values(storeys_above=3))
    plain.follow()
    metric.follow()

    assert plain.features == table(http) == table(http, **{"as-of": plain.size})
    assert metric.features == table(http, crs=STORAGE)
    assert metric.changes[3]["feature"]["geometry"] != plain.changes[3]["feature"]["geometry"]
    for size in (first, second):
        then = Mirror(http, limit=9)
        then.follow(**{"as-of": size})
        assert then.size == size
        assert then.features == table(http, **{"as-of": size})

    # By hand: 25 at first; two updates, a deletion and its return; a new code and the old one's end; the parts and the
    # end of what was divided; a storey for each of the 26 left.
    ops = [change["op"] for change in plain.changes]
    assert ops[:29] == ["insert"] * 25 + ["update", "update", "delete", "insert"]
    assert ops[29:] == ["insert", "supersede", "insert", "insert", "supersede"] + ["update"] * 26
    assert [c["leaf"] for c in plain.changes] == sorted({c["leaf"] for c in plain.changes})
    with city.database.engine.connect() as connection:
        recorded = connection.exec_driver_sql(
            "SELECT r.code, r.rev, l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id"
            " WHERE r.type = 'building' ORDER BY l.idx"
        ).all()
    assert [(c["code"], c["rev"], c["leaf"]) for c in plain.changes] == [tuple(row) for row in recorded]
    last: dict[str, int] = {}
    for change in plain.changes:
        assert change["prev"] == last.get(change["code"])
        last[change["code"]] = change["leaf"]


def test_every_collection_is_mirrored(http: httpx.Client, city: City) -> None:
    for name in city.database.dictionary.types:
        mirror = Mirror(http, f"/collections/{name}/changes", limit=1_000)
        mirror.follow()
        assert mirror.features == table(http, f"/collections/{name}/items", **{"as-of": mirror.size}) != {}


def test_a_change_says_who_why_and_what_took_over(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    (new,) = mint_many("building", "mirror", ["1"])
    city.supersede("building", {"building-00006": new}, reason="renumbered", actor="registry", evidence="file 7")
    city.sequence()
    page = http.get(CHANGES, params={"limit": 10_000}).json()
    change = next(one for one in page["changes"] if one["op"] == "supersede")
    assert (change["code"], change["by"], change["reason"]) == ("building-00006", "registry", "renumbered")
    assert change["superseded"]["new"] == [new]
    assert change["superseded"]["evidence"] == "file 7"
    assert change["feature"] is None
    history = http.get(f"{ITEMS}/building-00006/history").json()["revisions"]
    assert (change["leaf"], change["rev"], change["at"]) == tuple(history[-1][name] for name in ("leaf", "rev", "at"))


def test_a_page_looks_at_so_many_leaves_only(own: tuple[City, httpx.Client], monkeypatch: pytest.MonkeyPatch) -> None:
    city, http = own
    facility = city.database.table("facility")
    write(city, sa.insert(facility).values(code="440303", geom="SRID=4548;POINT(500000 4318000)"))
    monkeypatch.setattr(reader, "LEAVES", 10)
    address: str | None = "/collections/facility/changes?limit=3"
    pages = []
    while address is not None:
        page = http.get(address).json()
        pages.append([change["code"] for change in page["changes"]])
        address = next((one["href"] for one in page["links"] if one["rel"] == "next"), None)
    assert len(pages) == -(-page["size"] // 10)
    assert [code for codes in pages for code in codes] == ["440303"]
    mirror = Mirror(http, limit=4)
    mirror.follow()
    assert mirror.features == table(http)


def test_what_is_private_stays_private(http: httpx.Client) -> None:
    text = http.get("/collections/unit/changes", params={"limit": 100}).text
    assert "unit-00001" in text
    assert "Han Meimei" not in text
    assert "owner" not in text


def test_a_fixed_feed_never_changes(http: httpx.Client) -> None:
    size = int(http.get(CHANGES).headers["cim-tree-size"])
    fixed = http.get(CHANGES, params={"as-of": size, "since": size - 5})
    assert "immutable" in fixed.headers["cache-control"]
    assert http.get(CHANGES).headers["cache-control"] == "no-cache"
    assert http.get(CHANGES).headers["cim-state"] == "pinned"
    assert http.get(CHANGES, params={"since": size}).json()["changes"] == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"since": "-1"}, 400),
        ({"since": "x"}, 400),
        ({"since": "9" * 30}, 400),
        ({"since": "9" * 18}, 404),
        ({"limit": "0"}, 400),
        ({"crs": "EPSG:4326"}, 400),
        ({"bbox": "0,0,1,1"}, 400),
        ({"as-of": "99999999"}, 404),
    ],
)
def test_what_it_refuses(http: httpx.Client, query: dict[str, str], status: int) -> None:
    response = http.get(CHANGES, params=query)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_no_such_collection(http: httpx.Client) -> None:
    assert http.get("/collections/dragon/changes").status_code == 404
