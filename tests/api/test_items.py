from __future__ import annotations

import io
from itertools import product
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from cim.city import City

ITEMS = "/collections/building/items"


def codes(http: httpx.Client, **parameters: Any) -> list[int]:
    """The numbers of the buildings found, those without geometry left out."""
    response = http.get(ITEMS, params={"limit": 10_000, **parameters})
    assert response.status_code == 200, response.text
    features = response.json()["features"]
    return [int(f["id"].rpartition("-")[2]) for f in features if f["geometry"] is not None]


def test_filters_are_all_asked_for_at_once(http: httpx.Client) -> None:
    near = {"bbox": "117.0,38.9954,117.0011,38.9957"}
    assert codes(http, **near) == [1, 2, 3, 4, 101, 102, 103, 104]
    assert codes(http, **near, filter="height > 0.25") == [3, 4, 101, 102, 103, 104]
    assert codes(http, **near, filter="height > 0.25", year_built=1953) == [3]
    assert codes(http, **near, filter="height > 0.25", year_built=1953, name="House 4") == []
    assert codes(http, filter="name ILIKE 'hoUse 17'", **{"filter-lang": "cql-text"}) == [17]


def test_filter_crs(http: httpx.Client) -> None:
    wanted = "S_INTERSECTS(geom, POINT(4318005 500025))"
    crs = "http://www.opengis.net/def/crs/EPSG/0/4548"
    assert codes(http, filter=wanted, **{"filter-crs": crs}) == [1]


def test_number_matched(http: httpx.Client) -> None:
    def hits(**parameters: Any) -> int:
        return http.get(ITEMS, params={"resultType": "hits", **parameters}).json()["numberMatched"]  # type: ignore[no-any-return]

    assert hits() == 2603
    # 10 of 260.3: heights 0 … 0.9 belong to numbers 0 … 9
    assert hits(filter="height < 1") == 10
    whole = http.get(ITEMS, params={"filter": "height < 1", "limit": 50}).json()
    assert (whole["numberReturned"], whole["numberMatched"]) == (10, 10)


def test_datetime(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        dates = {
            "building-00001": ("2000-01-01", None),
            "building-00002": (None, "1999-12-31"),
            "building-00003": ("1990-05-01", "2010-05-01"),
        }
        for code, (begin, end) in dates.items():
            connection.execute(sa.update(table).where(table.c.code == code).values(valid_from=begin, valid_to=end))
        connection.execute(sa.delete(table).where(table.c.code > "building-00004"))
    asked = {
        "2005-01-01T00:00:00Z": [1, 3, 4],
        "1995-06-30": [2, 3, 4],
        "2011-01-01T00:00:00Z/..": [1, 4],
        "2011-01-01/": [1, 4],
        "../1989-12-31": [2, 4],
        "/1989-12-31": [2, 4],
        "2010-04-30/2010-04-30": [1, 3, 4],
        "2010-05-01/2010-05-01": [1, 4],  # the end is the first day that is not
        "0000-01-01T00:00:00Z/9999-12-31T23:59:59Z": [1, 2, 3, 4],
        "1999-12-31T23:00:00-02:00": [1, 3, 4],  # 2000 in UTC
    }
    assert {text: codes(http, datetime=text) for text in asked} == asked


def test_as_of_never_changes(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    size = int(http.get(ITEMS).headers["cim-tree-size"])
    addresses = [
        f"{ITEMS}?as-of={size}",
        f"{ITEMS}?as-of={size}&limit=7&filter=code%20%3C%20%27building-00010%27",
        f"{ITEMS}?as-of={size}&resultType=hits",
        f"{ITEMS}/building-00001?as-of={size}",
        f"{ITEMS}/building-00001/history?as-of={size}",
    ]
    before = [http.get(address) for address in addresses]
    live = http.get(f"{ITEMS}/building-00001").json()
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        connection.execute(sa.update(table).where(table.c.code == "building-00001").values(name="renamed"))
        connection.execute(sa.delete(table).where(table.c.code == "building-00002"))
        connection.execute(sa.insert(table), [{"code": "building-00001b"}])
    city.sequence()
    after = [http.get(address) for address in addresses]
    assert [r.status_code for r in before] == [200] * len(addresses)
    assert [r.content for r in after] == [r.content for r in before]
    for response in after:
        assert response.headers["cim-state"] == "pinned"
        assert response.headers["cim-tree-size"] == str(size)
        assert response.headers["cim-tree-root"] == city.tree_head(size).root.hex()
        assert "immutable" in response.headers["cache-control"]
    assert before[3].json()["properties"] == live["properties"]
    assert http.get(f"{ITEMS}/building-00001").json()["properties"]["name"] == "renamed"
    assert http.get(f"{ITEMS}/building-00002").status_code == 404
    assert http.get(f"{ITEMS}/building-00002", params={"as-of": size}).status_code == 200
    assert http.get(f"{ITEMS}/building-00001b", params={"as-of": size}).status_code == 404
    newer = http.get(f"{ITEMS}/building-00001", params={"as-of": city.tree_head().size}).json()
    assert newer["properties"]["name"] == "renamed"


def test_as_of_an_instant_and_a_checkpoint(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    head = city.tree_head()
    for as_of in (head.at.isoformat(), city.checkpoint(), "9999-01-01T00:00:00Z"):
        response = http.get(ITEMS, params={"as-of": as_of})
        assert response.headers["cim-tree-size"] == str(head.size)
        assert response.headers["cim-state"] == "pinned"
        assert response.headers["cache-control"] == "no-cache"
        assert response.json()["numberReturned"] == 10
    lines = city.checkpoint().splitlines()
    forged = "\n".join([*lines[:2], "A" * 43 + "=", *lines[3:]]) + "\n"
    statuses = {
        "1999-01-01T00:00:00Z": 404,
        str(head.size + 1): 404,
        "yesterday": 400,
        "-1": 400,
        "9" * 40: 400,
        "2026-01-01T00:00:00": 400,
        forged: 400,
        "²": 400,
    }
    for as_of, status in statuses.items():
        response = http.get(ITEMS, params={"as-of": as_of})
        assert response.status_code == status, (as_of, response.text)


def test_next_goes_on_in_the_pinned_state(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    size = city.tree_head().size
    page = http.get(ITEMS, params={"as-of": size, "limit": 20}).json()
    with city.database.engine.begin() as connection:
        connection.execute(sa.delete(city.database.table("building")))
    following = next(one["href"] for one in page["links"] if one["rel"] == "next")
    assert f"as-of={size}" in following
    assert http.get(following).json()["numberReturned"] == 5


def test_unpinned_reads_say_what_they_are(own: tuple[City, httpx.Client], monkeypatch: pytest.MonkeyPatch) -> None:
    city, http = own
    assert http.get(ITEMS).headers["cim-state"] == "current"
    with city.database.engine.connect() as lock:
        lock.detach()  # back in the pool it would hold the lock for ever, and the server could not end its run
        lock.execute(sa.text("SELECT pg_advisory_lock(hashtextextended('cim.sequencer', 0))"))
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("building")), [{"code": "new"}])
        ahead = http.get(f"{ITEMS}/new")
        assert ahead.headers["cim-state"] == "ahead"
        assert ahead.headers["cim-tree-size"] == "26"
        history = http.get(f"{ITEMS}/new/history")
        assert history.headers["cim-state"] == "ahead"
        assert history.json()["revisions"][0]["leaf"] is None


def test_etag(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    address = f"{ITEMS}/building-00001"
    first = http.get(address)
    etag = first.headers["etag"]
    assert etag.startswith('"')
    unchanged = http.get(address, headers={"If-None-Match": f'"other", W/{etag}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == etag
    other = http.get(address, params={"crs": "http://www.opengis.net/def/crs/EPSG/0/4548"})
    assert other.headers["etag"] != etag
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        connection.execute(sa.update(table).where(table.c.code == "building-00001").values(name="renamed"))
    changed = http.get(address, headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


@pytest.mark.parametrize("asked", [{}, {"resultType": "hits"}, {"f": "csv"}, {"f": "parquet"}, {"as-of": "20"}])
def test_etag_of_a_page(own: tuple[City, httpx.Client], asked: dict[str, str]) -> None:
    city, http = own
    first = http.get(ITEMS, params=asked)
    etag = first.headers["etag"]
    assert etag.startswith(f'W/"p{asked.get("as-of", 26)}-')
    unchanged = http.get(ITEMS, params=asked, headers={"If-None-Match": f'"other", {etag}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    shared = ("etag", "cache-control", "cim-state", "cim-tree-size", "cim-tree-root")
    assert [unchanged.headers[name] for name in shared] == [first.headers[name] for name in shared]
    for more in ({"limit": "3"}, {"f": "geojsonseq"}, {"as-of": "21"}):
        other = http.get(ITEMS, params=asked | more, headers={"If-None-Match": etag})
        assert other.status_code == 200
        assert other.headers["etag"] != etag
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("building")), [{"code": "new"}])
    if "as-of" in asked:
        assert http.get(ITEMS, params=asked, headers={"If-None-Match": etag}).status_code == 304
        return
    city.sequence()
    changed = http.get(ITEMS, params=asked, headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"].startswith('W/"p27-')


def test_a_page_ahead_of_the_log_or_for_people_has_no_etag(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    assert "etag" not in http.get(ITEMS, params={"f": "html"}).headers
    with city.database.engine.connect() as lock:
        lock.detach()  # back in the pool it would hold the lock for ever, and the server could not end its run
        lock.execute(sa.text("SELECT pg_advisory_lock(hashtextextended('cim.sequencer', 0))"))
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("building")), [{"code": "new"}])
        ahead = http.get(ITEMS, headers={"If-None-Match": '"", W/""'})
        assert (ahead.status_code, ahead.headers["cim-state"]) == (200, "ahead")
        assert "etag" not in ahead.headers


def test_codes_with_reserved_characters(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    strange = ["7PMM47H7+JMW", "a/b", "a/history", "100%", "a b", "?x=1#y", "贝塔", "a&b=c", "..", "a//b", "\\", '"<>']
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("building")), [{"code": code} for code in strange])
    listed = http.get(ITEMS, params={"filter": "code IN ('" + "','".join(strange) + "')", "limit": 100}).json()
    assert {f["id"] for f in listed["features"]} == set(strange)
    for code in strange:
        if code in ("..", "a/history"):
            continue  # dot segments are resolved by clients; a code ending in /history is its neighbour's history
        page = http.get(ITEMS, params={"code": code}).json()
        assert [f["id"] for f in page["features"]] == [code]
        response = http.get(f"{ITEMS}/{quote(code, safe='')}")
        assert response.status_code == 200, code
        assert response.json()["id"] == code
        links = {one["rel"]: one["href"] for one in response.json()["links"]}
        assert http.get(links["self"]).json()["id"] == code
        assert http.get(links["version-history"]).json()["revisions"][0]["rev"] == 1
        again = http.get(ITEMS, params={"limit": 1, "filter": f"code >= '{code}'"}).json()
        following = [one["href"] for one in again["links"] if one["rel"] == "next"]
        assert not following or http.get(following[0]).status_code == 200


ORACLES = [
    "owner_name = 'Han Meimei'",
    "owner_name IS NULL",
    "owner_name LIKE 'H%'",
    "CASEI(owner_name) = CASEI('han meimei')",
    "owner_id > '1'",
    "owner_id IN ('110101199003070031')",
    "name = owner_name",
    "A_CONTAINS((owner_name, name), ('Han Meimei'))",
    "code = 'x' AND NOT owner_id BETWEEN '1' AND '2'",
]
ORACLE_OF_JSON = '{"op": "=", "args": [{"property": "owner_name"}, "Han Meimei"]}'


def test_private_values_never_leave(http: httpx.Client, city: City) -> None:
    """From no path of units, in no format and no state: all that the OpenAPI document has, whoever adds one."""
    root = "/collections/unit"
    filled = {"{code}": "unit-00001", "{tileMatrix}": "14", "{tileRow}": "6261", "{tileCol}": "13516"}
    looked_at = 0
    document = http.get("/api").json()
    shared = document["components"]["parameters"]
    for path, operations in document["paths"].items():
        address = path
        for name, value in filled.items():
            address = address.replace(name, value)
        if not path.startswith(root) or "get" not in operations or path.endswith("/private"):
            continue
        assert "{" not in address
        parameters = operations["get"]["parameters"]
        declared = {one["name"]: one for one in (shared.get(p.get("$ref", "")[24:], p) for p in parameters)}
        forms = declared["f"]["schema"]["enum"] if "f" in declared else [None]
        for form, state in product(forms, [None, city.tree_head().size] if "as-of" in declared else [None]):
            asked = {name: value for name, value in (("f", form), ("as-of", state)) if value is not None}
            answer = http.get(address, params=asked)
            assert answer.status_code == 200, (address, asked, answer.text[:200])
            content = answer.content
            if form in ("parquet", "geoparquet"):
                content = str(pq.read_table(io.BytesIO(content)).to_pylist()).encode()
            assert not any(secret in content for secret in (b"Han Meimei", b"110101199003070031", b"owner_")), address
            looked_at += 1
        oracles = [{"owner_name": "Han Meimei"}]
        if "filter" in declared:
            oracles += [{"filter": text} for text in ORACLES] + [{"filter-lang": "cql2-json", "filter": ORACLE_OF_JSON}]
        if "sortby" in declared:
            oracles += [{"sortby": "owner_name"}, {"sortby": "-owner_id"}, {"sortby": "owner_id", "resultType": "hits"}]
        if "properties" in declared:
            oracles += [{"properties": "owner_name"}, {"properties": "code,owner_id"}]
        if {"filter", "properties"} <= declared.keys():
            oracles.append({"properties": "owner_name", "filter": "code = 'nosuch'"})
        if "resultType" in declared:
            oracles.append({"properties": "owner_name", "resultType": "hits"})
        if path.endswith("/tiles/WebMercatorQuad"):
            continue  # it says where tiles are, and hands on to them what was asked
        for asked in oracles:
            assert http.get(address, params=asked).status_code == 400, (address, asked)
    assert looked_at > 40


def test_history(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    table = city.database.table("building")
    with city.database.engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.code == "building-00001").values(name="renamed"))
    city.sequence()
    with city.database.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.code == "building-00001"))
    city.sequence()
    history = http.get(f"{ITEMS}/building-00001/history").json()["revisions"]
    assert [(r["rev"], r["op"], (r["body"] or {}).get("name")) for r in history] == [
        (1, "insert", None), (2, "update", "renamed"), (3, "delete", None),
    ]  # fmt: skip
    assert history[0]["at"].endswith("Z")
    leaves = [r["leaf"] for r in history]
    assert leaves == sorted(leaves)
    earlier = http.get(f"{ITEMS}/building-00001/history", params={"as-of": leaves[2]}).json()["revisions"]
    assert earlier == history[:2]
    assert http.get(f"{ITEMS}/nosuch/history").status_code == 404


def test_a_history_does_not_say_it_is_of_an_older_state(
    own: tuple[City, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log goes on between what the route asks of it: the answer is ahead of the tree size it names."""
    city, http = own

    def overtaken(self: City, as_of: Any) -> Any:
        monkeypatch.undo()
        head = self.tree_head(as_of)
        with city.database.engine.begin() as connection:
            table = city.database.table("building")
            connection.execute(sa.update(table).where(table.c.code == "building-00001").values(name=str(head.size)))
        city.sequence()
        return head

    monkeypatch.setattr(City, "tree_head", overtaken)
    answer = http.get(f"{ITEMS}/building-00001/history")
    assert answer.json()["revisions"][-1]["leaf"] >= int(answer.headers["cim-tree-size"])
    assert answer.headers["cim-state"] == "ahead"
    assert http.get(f"{ITEMS}/building-00001/history").headers["cim-state"] == "current"
