"""A feature type added as one file is there from ingest to API, with no other change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import geopandas as gpd
import httpx
import pytest
from shapely.geometry import Point

from cim.city import City
from cim.log.verify import verify_proof
from cim.settings import Settings
from ingest import Options, ingest

CHARGER: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Charging point",
    "x-cim-title-zh": "充电桩",
    "description": "A place to charge a vehicle.",
    "x-cim-code-scheme": "provisional",
    "type": "object",
    "properties": {
        "code": {"type": "string", "x-ogc-role": "id"},
        "operator": {"type": "string", "maxLength": 100, "title": "Operator", "x-cim-title-zh": "运营单位"},
        "power": {"type": "number", "minimum": 0, "x-ogc-unit": "kW", "title": "Power", "x-cim-title-zh": "功率"},
        "plug": {"type": "string", "x-cim-codelist": "plug", "title": "Plug", "x-cim-title-zh": "接口"},
        "attributes": {"type": "object"},
        "geom": {"format": "geometry-point", "x-ogc-role": "primary-geometry"},
    },
    "required": ["code", "geom"],
    "additionalProperties": False,
}
PLUGS: dict[str, Any] = {
    "title": "Plug",
    "title-zh": "接口",
    "source": "this test",
    "confidence": "design",
    "values": [
        {"value": "ac", "title": "Alternating current", "title-zh": "交流"},
        {"value": "dc", "title": "Direct current", "title-zh": "直流"},
    ],
}


class Serve(Protocol):
    def __call__(self, settings: Settings, city: City | None = None) -> AbstractContextManager[str]: ...


@pytest.fixture
def with_chargers(settings: Settings, tmp_path: Path) -> Settings:
    folder = tmp_path / "dictionary"
    (folder / "codelists").mkdir(parents=True)
    (folder / "charger.schema.json").write_text(json.dumps(CHARGER), encoding="utf-8")
    (folder / "codelists" / "plug.json").write_text(json.dumps(PLUGS), encoding="utf-8")
    return replace(settings, dictionary=folder)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """Three records: one good, one with a plug nobody knows, one good with a field the dictionary does not name."""
    frame = gpd.GeoDataFrame(
        {
            "operator": ["国网", "国网", "特来电"],
            "power": [7.0, 60.0, 120.0],
            "plug": ["ac", "coal", "dc"],
            "bay": [None, None, "B2"],
        },
        geometry=[Point(500000, 4318000), Point(500010, 4318000), Point(500020, 4318000)],
        crs=4548,
    )
    path = tmp_path / "charger.gpkg"
    frame.to_file(path, layer="charger", engine="pyogrio")
    return path


@pytest.fixture
def city(with_chargers: Settings) -> Iterator[City]:
    with City(with_chargers) as city:
        yield city


def test_a_new_type_works_everywhere(city: City, layer: Path, serving: Serve) -> None:
    (file,) = ingest(city.database, [layer], Options()).files
    (counts,) = file.layers
    assert (counts.read, counts.inserted, counts.rejected) == (3, 2, 1)
    assert any("plug" in reason and "ac, dc" in reason for reason in counts.reasons)
    city.sequence()

    found = city.features("charger", where="power > 100")
    assert found["attributes"].tolist() == [{"bay": "B2"}]
    code = found.index[0]
    city.write("charger", found[["power"]].assign(power=150.0), actor="test")
    city.sequence()
    assert [entry.rev for entry in city.history(code)] == [1, 2]
    verified = verify_proof(city.proof(code), city.publisher.signer.verifier.to_text())
    assert verified.entry["type"] == "charger"
    assert verified.entry["body"]["power"] == 150

    with serving(city.settings, city) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert "charger" in {c["id"] for c in client.get("/collections").json()["collections"]}
        page = client.get("/collections/charger/items", params={"plug": "dc"}).json()
        assert [f["properties"]["power"] for f in page["features"]] == [150]
        old = client.get(f"/collections/charger/items/{code}", params={"as-of": verified.entry["prev"] + 1}).json()
        assert old["properties"]["power"] == 120
        schema = client.get("/collections/charger/schema").json()
        assert schema["properties"]["power"]["x-ogc-unit"] == "kW"
        assert "/collections/charger/items" in client.get("/api").json()["paths"]
