"""Items are found by any identifier an object has or had."""

from __future__ import annotations

from typing import Any

import httpx
import sqlalchemy as sa

from cim.city import City
from cim.codes.provisional import mint_many
from cim.db.identifiers import Identifier

ITEMS = "/collections/building/items"
CRS = "http://www.opengis.net/def/crs/EPSG/0/4548"


def location(response: httpx.Response) -> str:
    assert response.status_code == 303, response.text
    assert response.content == b""
    return httpx.URL(response.headers["location"]).raw_path.decode()


def test_other_identifiers_lead_to_the_item(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    (provisional,) = mint_many("building", "identifiers", ["1"])
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("building")).values(code=provisional))
    rows = [("cadastre", "A/7 & b", "building-00001"), ("gb-uprn", "100023336956", provisional)]
    city.identify([Identifier(scheme, value, "building", code) for scheme, value, code in rows])
    assert location(http.get(f"{ITEMS}/A%2F7%20%26%20b")) == f"{ITEMS}/building-00001"
    assert location(http.head(f"{ITEMS}/100023336956")) == f"{ITEMS}/{provisional}"
    assert location(http.get(f"{ITEMS}/{provisional.lower()}")) == f"{ITEMS}/{provisional}"
    followed = http.get(f"{ITEMS}/100023336956", params={"crs": CRS}, follow_redirects=True)
    assert followed.json()["id"] == provisional
    assert followed.headers["content-crs"] == f"<{CRS}>"
    assert http.get("/collections/parcel/items/100023336956").status_code == 404


def test_a_code_that_gave_way_leads_to_what_took_over(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    before = city.sequence().size
    first, second, left, right = mint_many("building", "identifiers", ["1", "2", "3", "4"])
    city.supersede("building", {"building-00001": first}, reason="renumbered")
    city.supersede("building", {first: second}, reason="renumbered again")
    old = f"{ITEMS}/building-00001"
    assert location(http.get(old)) == f"{ITEMS}/{second}"
    assert http.get(old, params={"as-of": before}).json()["id"] == "building-00001"
    after = city.sequence().size
    assert location(http.get(old, params={"as-of": after})) == f"{ITEMS}/{second}?as-of={after}"

    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("building")).values([{"code": left}, {"code": right}]))
    city.supersede("building", {second: [left, right]}, reason="divided")
    response = http.get(old)
    assert response.status_code == 404
    assert left in response.json()["detail"]
    assert right in response.json()["detail"]


def test_what_a_code_named_stays_what_it_named(own: tuple[City, httpx.Client]) -> None:
    """An identifier that is dropped, and a code that gives way and ends, as of four states of the log."""
    city, http = own
    first, second = mint_many("building", "identifiers", ["1", "2"])
    building = city.database.table("building")
    cadastre, registry = "/codes/cadastre/A%207", f"/codes/provisional/{first}"

    def execute(statement: sa.Executable) -> int:
        with city.database.engine.begin() as connection:
            connection.execute(statement)
        return city.sequence().size

    def named(address: str, **asked: int) -> list[Any]:
        answer = http.get(address, params=asked)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cim-tree-size"] == str(asked.get("as-of", city.tree_head().size))
        assert answer.headers["cim-state"] == ("pinned" if asked else "current")
        found = []
        for one in answer.json()["objects"]:
            item = http.get(one["href"])
            assert (item.status_code == 200) is one["exists"]
            assert item.headers.get("cim-tree-size", "") in ("", answer.headers["cim-tree-size"])
            values = [row["value"] for row in one["identifiers"]]
            found.append((one["code"], one["exists"], [step["old"] for step in one["chain"]], values))
        return found

    nothing = city.sequence().size
    execute(sa.insert(building).values(code=first))
    city.identify([Identifier("cadastre", "A 7", "building", first), Identifier("cadastre", "A", "building", first)])
    begun = city.sequence().size
    kept = http.get(cadastre, params={"as-of": begun})
    assert "immutable" in kept.headers["cache-control"]
    city.supersede("building", {first: second}, reason="renumbered")
    renamed = city.sequence().size
    dropped = execute(sa.text("DELETE FROM cim.identifier WHERE value = 'A 7'"))
    ended = execute(sa.delete(building).where(building.c.code == second))

    of_first, of_second = (first, True, [], ["A", "A 7"]), (second, True, [first], ["A", "A 7"])
    assert [named(address, **{"as-of": begun}) for address in (cadastre, registry)] == [[of_first]] * 2
    assert [named(address, **{"as-of": renamed}) for address in (cadastre, registry)] == [[of_second]] * 2
    assert named(registry, **{"as-of": dropped}) == [(second, True, [first], ["A"])]
    assert named(registry, **{"as-of": ended}) == named(registry) == [(second, False, [first], ["A"])]
    assert http.get(cadastre, params={"as-of": begun}).content == kept.content
    for address, asked in ((cadastre, {"as-of": nothing}), (registry, {"as-of": nothing}),
                           (cadastre, {"as-of": dropped}), (cadastre, {}), (cadastre, {"as-of": 10**9})):  # fmt: skip
        assert http.get(address, params=asked).status_code == 404
    assert http.get(cadastre, params={"as-of": "x"}).status_code == 400
    assert [one.code for one in city.resolve("A 7", as_of=begun)] == [first]
    assert city.resolve("A 7", as_of=nothing) == city.resolve("A 7") == []


def test_what_names_nothing_leads_nowhere(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    with city.database.engine.begin() as connection:
        building = city.database.table("building")
        connection.execute(sa.delete(building).where(building.c.code == "building-00002"))
    for ended in ("building-00002", "nothing", "%F0%9F%8F%9B", "%FF", "a" * 600):
        response = http.get(f"{ITEMS}/{ended}")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
