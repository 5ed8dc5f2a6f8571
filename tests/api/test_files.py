"""Bodies of buildings, from a file of CityJSONSeq to the client that draws them."""

from __future__ import annotations

import hashlib
import json
import struct

import httpx
import pytest
import sqlalchemy as sa

from cim.city import City
from cim.files import keep
from ingest import Options, ingest
from sample_data import DATA, FORMATS


def test_the_item_links_to_its_body_and_other_files_stay_closed(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    ingest(city.database, [FORMATS / "houses.city.jsonl"], Options())
    table = city.database.table("building")
    with city.database.engine.connect() as connection:
        codes = connection.execute(sa.select(table.c.code).where(table.c.body_file.is_not(None))).scalars().all()
    assert len(codes) == 3
    item = http.get(f"/collections/building/items/{codes[0]}").json()
    (link,) = [one for one in item["links"] if "/files/" in one["href"]]
    body = http.get(link["href"])
    assert body.headers["content-type"] == link["type"] == "application/city+json-seq"
    assert hashlib.sha256(body.content).hexdigest() == item["properties"]["body_file"]
    assert "immutable" in body.headers["cache-control"]
    without = http.get("/collections/building/items/building-00001").json()
    assert [one for one in without["links"] if "/files/" in one["href"]] == []
    model = keep(city.settings.files_dir, b"ISO-10303-21; a model as delivered")
    assert http.get(f"/files/{model}").status_code == 404


def test_a_building_that_came_as_a_model_links_to_its_gltf(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    (model, *_) = sorted((DATA / "models").glob("*.ifc"))
    ingest(city.database, [model], Options())
    table = city.database.table("building")
    with city.database.engine.connect() as connection:
        code = connection.execute(sa.select(table.c.code).where(table.c.model_file.is_not(None))).scalars().first()
    links = http.get(f"/collections/building/items/{code}").json()["links"]
    (href,) = [one["href"] for one in links if one.get("type") == "model/gltf-binary"]
    scene = http.get(href)
    assert scene.headers["content-type"] == "model/gltf-binary"
    version, length = struct.unpack("<II", scene.content[4:12])
    assert (version, length) == (2, len(scene.content))
    size = struct.unpack("<I", scene.content[12:16])[0]
    assert json.loads(scene.content[20 : 20 + size])["asset"]["version"] == "2.0"


@pytest.mark.parametrize("name", ["0" * 64, "x", "..%2f..%2fkeys", "0" * 63 + "G", "%00" * 64])
def test_what_is_no_body_is_not_found(name: str, city: City, http: httpx.Client) -> None:
    response = http.get(f"/files/{name}")
    assert response.status_code == 404
    assert str(city.settings.home) not in response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_the_image_a_body_names_lies_beside_it(own: tuple[City, httpx.Client]) -> None:
    """By a reference relative to the body, as a reader of CityJSON takes it."""
    city, http = own
    image = b"\x89PNG\r\n\x1a\n" + b"a wall"
    digest = keep(city.settings.files_dir, image)
    found = http.get(f"/files/{digest}")
    assert (found.content, found.headers["content-type"]) == (image, "image/png")
