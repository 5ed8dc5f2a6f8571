"""CityJSON: closed blocks of the right volume, and bodies as they were delivered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from cim.city import City
from ingest import Options, ingest
from sample_data import FORMATS

ITEMS = "/collections/building/items"


def volume(shell: list[Any], vertices: Any) -> float:
    """Volume within a shell by the divergence theorem; negative where surfaces face inwards."""
    found = 0.0
    for surface in shell:
        for ring in surface:
            corners = vertices[ring]
            for at in range(1, len(corners) - 1):
                found += np.dot(corners[0], np.cross(corners[at], corners[at + 1])) / 6
    return float(found)


def placed(document: Any) -> Any:
    scale, translate = (np.array(document["transform"][name]) for name in ("scale", "translate"))
    return np.array(document["vertices"]).reshape(-1, 3) * scale + translate


def test_blocks(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    table = city.database.table("building")
    hollow = "MULTIPOLYGON(((0 0,20 0,20 20,0 20,0 0),(5 5,5 10,10 10,10 5,5 5)),((30 0,40 0,40 10,30 10,30 0)))"
    with city.database.engine.begin() as connection:
        shape = sa.func.ST_Translate(sa.func.ST_GeomFromText(hollow, 4548), 500_000, 4_318_000)
        for code, values in {
            "building-00001": {"height": 12.5, "ground_elevation": 10.0, "name": "block"},
            "building-00002": {"height": 3.0, "geom": shape},
        }.items():
            connection.execute(sa.update(table).where(table.c.code == code).values(**values))
    city.sequence()
    response = http.get(ITEMS, params={"f": "cityjson"})
    assert response.headers["content-type"] == "application/city+json"
    assert response.headers["content-crs"] == "<http://www.opengis.net/def/crs/EPSG/0/4548>"
    document = response.json()
    assert (document["type"], document["version"]) == ("CityJSON", "2.0")
    assert document["metadata"]["referenceSystem"] == "https://www.opengis.net/def/crs/EPSG/0/4548"
    assert len(document["CityObjects"]) == 25 + 2  # of one building two parts
    vertices = placed(document)
    assert vertices[:, 0].min() >= 500_000
    block = document["CityObjects"]["building-00001"]
    assert block["attributes"]["name"] == "block"
    (solid,) = block["geometry"]
    assert (solid["type"], solid["lod"]) == ("Solid", "1")
    corners = vertices[np.unique(np.concatenate([ring for surface in solid["boundaries"][0] for ring in surface]))]
    assert (corners[:, 2].min(), corners[:, 2].max()) == (10.0, 22.5)
    origin = vertices - vertices.min(0)  # far from it the sum would lose its digits
    assert volume(solid["boundaries"][0], origin) == pytest.approx(10 * 10 * 12.5)
    # A building cannot be a MultiSolid (https://github.com/cityjson/cjio/issues/37): of its solids each is a part.
    several = document["CityObjects"]["building-00002"]
    assert several["geometry"] == []
    parts = [document["CityObjects"][name] for name in several["children"]]
    assert [(part["type"], part["parents"]) for part in parts] == [("BuildingPart", ["building-00002"])] * 2
    solids = [solid for part in parts for solid in part["geometry"]]
    assert [(solid["type"], solid["lod"]) for solid in solids] == [("Solid", "1")] * 2
    found = [volume(solid["boundaries"][0], origin) for solid in solids]
    assert found == pytest.approx([(400 - 25) * 3, 100 * 3])
    for solid in solids:
        assert [len(values) for values in solid["semantics"]["values"]] == [len(solid["boundaries"][0])]
    (flat,) = document["CityObjects"]["building-00003"]["geometry"]
    assert (flat["type"], flat["lod"]) == ("MultiSurface", "0")
    assert "geometry" not in document["CityObjects"]["building-00000"]


def test_the_sequence_holds_the_same(own: tuple[City, httpx.Client]) -> None:
    _, http = own
    document = http.get(ITEMS, params={"f": "cityjson"}).json()
    lines = [json.loads(line) for line in http.get(ITEMS, params={"f": "cityjsonseq"}).text.splitlines()]
    assert lines[0]["CityObjects"] == {}
    assert [line["id"] for line in lines[1:]] == list(document["CityObjects"])
    assert sum(len(line["vertices"]) for line in lines) == len(document["vertices"])


def test_bodies_stay_as_they_were_delivered(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    source = [json.loads(line) for line in (FORMATS / "houses.city.jsonl").read_text().splitlines()]
    ingest(city.database, [FORMATS / "houses.city.jsonl"], Options())
    city.sequence()
    with city.database.engine.connect() as connection:
        table = city.database.table("building")
        codes = connection.execute(sa.select(table.c.code).where(table.c.body_file.is_not(None))).scalars().all()
    asked = {"f": "cityjson", "filter": f"code IN ({', '.join(repr(code) for code in codes)})"}
    document = http.get(ITEMS, params=asked).json()
    assert set(codes) <= set(document["CityObjects"])
    delivered = [one for line in source[1:] for one in line["CityObjects"].values()]
    assert len(document["CityObjects"]) == len(delivered)
    lods = sorted(g["lod"] for one in delivered for g in one.get("geometry", ()))
    assert sorted(g["lod"] for one in document["CityObjects"].values() for g in one.get("geometry", ())) == lods
    scale, translate = (np.array(source[0]["transform"][name]) for name in ("scale", "translate"))
    tops = [(np.array(line["vertices"]) * scale + translate)[:, 2].max() for line in source[1:]]
    assert placed(document)[:, 2].max() == pytest.approx(max(tops), abs=0.001)
    for one in document["CityObjects"].values():
        assert all(other in document["CityObjects"] for other in (*one.get("parents", ()), *one.get("children", ())))


def test_several_solids_of_a_body_become_parts(own: tuple[City, httpx.Client], tmp_path: Path) -> None:
    city, http = own
    corners = [[x, y, z] for z in (0, 3000) for x, y in ((0, 0), (9000, 0), (9000, 9000), (0, 9000))]
    vertices = [[500_500_000 + x + step, 4_318_500_000 + y, z] for step in (0, 20_000, 40_000) for x, y, z in corners]
    sides = [[3, 2, 1, 0], [4, 5, 6, 7], *([at, (at + 1) % 4, (at + 1) % 4 + 4, at + 4] for at in range(4))]
    cubes = [[[[[8 * number + corner for corner in side]] for side in sides]] for number in range(3)]
    head = {
        "type": "CityJSON", "version": "2.0", "CityObjects": {}, "vertices": [],
        "metadata": {"referenceSystem": "https://www.opengis.net/def/crs/EPSG/0/4548"},
        "transform": {"scale": [0.001] * 3, "translate": [0.0] * 3},
    }  # fmt: skip
    objects: dict[str, Any] = {
        "h": {"type": "Building", "children": ["p"], "geometry": [
            {"type": "MultiSolid", "lod": "1.2", "boundaries": cubes[:2]},
            {"type": "MultiSurface", "lod": "0", "boundaries": [cubes[0][0][0]]},
        ]},
        "p": {"type": "BuildingPart", "parents": ["h"], "geometry": [
            {"type": "MultiSolid", "lod": "1.2", "boundaries": cubes[2:]}
        ]},
    }  # fmt: skip
    feature = {"type": "CityJSONFeature", "id": "h", "CityObjects": objects, "vertices": vertices}
    file = tmp_path / "several.city.jsonl"
    file.write_text(f"{json.dumps(head)}\n{json.dumps(feature)}\n")
    ingest(city.database, [file], Options())
    document = http.get(ITEMS, params={"f": "cityjson", "filter": "body_file IS NOT NULL"}).json()
    found = document["CityObjects"]
    ((code, building),) = [(name, one) for name, one in found.items() if one["type"] == "Building"]
    assert [(g["type"], g["lod"]) for g in building["geometry"]] == [("MultiSurface", "0")]
    assert sorted(building["children"]) == sorted(set(found) - {code})
    assert len(building["children"]) == 1 + 2 + 1
    solids = [g for name in building["children"] for g in found[name]["geometry"]]
    assert all(found[name]["parents"] == [code] for name in building["children"])
    assert [(g["type"], g["lod"]) for g in solids] == [("Solid", "1.2")] * 3
    there = placed(document)
    volumes = [volume(g["boundaries"][0], there - there.min(0)) for g in solids]
    assert volumes == pytest.approx([9 * 9 * 3] * 3)


def test_other_types_and_refusals(http: httpx.Client) -> None:
    lamps = http.get("/collections/component/items", params={"f": "cityjson"}).json()
    assert {one["type"] for one in lamps["CityObjects"].values()} == {"CityFurniture"}
    assert http.get("/collections/division/items", params={"f": "cityjson"}).status_code == 400
    crs84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
    assert http.get(ITEMS, params={"f": "cityjson", "crs": crs84}).status_code == 400
    assert http.get(ITEMS, params={"f": "cityjson", "filter": "code = 'nosuch'"}).json()["vertices"] == []
