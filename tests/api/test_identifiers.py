"""Items are found by any identifier an object has or had."""

from __future__ import annotations

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


def test_what_names_nothing_leads_nowhere(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    with city.database.engine.begin() as connection:
        building = city.database.table("building")
        connection.execute(sa.delete(building).where(building.c.code == "building-00002"))
    for ended in ("building-00002", "nothing", "%F0%9F%8F%9B", "%FF", "a" * 600):
        response = http.get(f"{ITEMS}/{ended}")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
