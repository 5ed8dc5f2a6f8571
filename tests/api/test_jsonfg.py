"""JSON-FG: what its standard says of each member, and dates as it has them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator

from cim.city import City

ITEMS = "/collections/building/items"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
STORAGE = "http://www.opengis.net/def/crs/EPSG/0/4548"
CORE = "http://www.opengis.net/spec/json-fg-1/1.0/conf/core"
# What OGC 21-045r1 says of each member, of its classes core and types-schemas.
JSON_FG: dict[str, Any] = {
    "type": "object",
    "required": ["type", "conformsTo", "featureType", "featureSchema", "coordRefSys"],
    "properties": {
        "conformsTo": {"type": "array", "items": {"type": "string", "format": "uri"}, "contains": {"const": CORE}},
        "featureType": {"type": "string"},
        "featureSchema": {"type": "string", "pattern": "^http"},
        "geometryDimension": {"enum": [0, 1, 2, 3]},
        "coordRefSys": {"type": "string", "pattern": "^http://www.opengis.net/def/crs/"},
        "links": {"type": "array", "items": {"type": "object", "required": ["href", "rel"]}},
        "features": {"type": "array", "items": {"$ref": "#/$defs/feature"}},
    },
    "if": {"properties": {"type": {"const": "Feature"}}},
    "then": {"$ref": "#/$defs/feature"},
    "else": {"properties": {"type": {"const": "FeatureCollection"}}, "required": ["features"]},
    "$defs": {
        "feature": {
            "type": "object",
            "required": ["type", "id", "time", "place", "geometry", "properties"],
            "properties": {
                "type": {"const": "Feature"},
                "id": {"type": ["string", "number"]},
                "time": {
                    "type": ["object", "null"],
                    "minProperties": 1,
                    "additionalProperties": False,
                    "properties": {
                        "interval": {
                            "type": "array",
                            "minItems": 2,
                            "maxItems": 2,
                            "items": {"pattern": r"^(\.\.|\d{4}-\d\d-\d\d)$"},
                        }
                    },
                },
                "place": {"type": ["object", "null"], "required": ["type", "coordinates"]},
                "geometry": {"type": ["object", "null"], "required": ["type", "coordinates"]},
                "properties": {"type": ["object", "null"]},
            },
        },
    },
}


def test_json_fg(http: httpx.Client) -> None:
    page = http.get(ITEMS, params={"f": "jsonfg", "crs": STORAGE, "limit": 2, "skipGeometry": "false"}).json()
    assert (page["featureType"], page["coordRefSys"], page["geometryDimension"]) == ("building", STORAGE, 2)
    assert page["features"][1]["place"]["coordinates"][0][0][0] == [4318000, 500020]
    assert page["features"][1]["geometry"] is None
    assert [one["type"] for one in page["links"] if one["rel"] == "next"] == ["application/vnd.ogc.fg+json"]
    single = http.get(f"{ITEMS}/building-00001", params={"f": "jsonfg"}).json()
    assert single["place"] is None
    assert single["geometry"]["type"] == "MultiPolygon"
    assert single["time"] is None


@pytest.mark.parametrize("crs", [CRS84, STORAGE])
def test_json_fg_is_as_its_standard_has_it(crs: str, http: httpx.Client, city: City) -> None:
    check = Draft202012Validator(JSON_FG)
    for name, feature_type in city.database.dictionary.types.items():
        items, asked = f"/collections/{name}/items", {"f": "jsonfg", "crs": crs}
        page = http.get(items, params={**asked, "limit": 100}).json()
        check.validate(page)
        item = http.get(f"{items}/{page['features'][1]['id']}", params=asked).json()
        check.validate(item)
        shown = [one for one in (*page["features"], item) if one["geometry"] or one["place"]]
        assert bool(shown) is (feature_type.geometry is not None)
        # Each geometry once: in place, or where any GeoJSON reader looks for it if it is of WGS 84.
        assert {(one["geometry"] is None, one["place"] is None) for one in shown} <= {(crs != CRS84, crs == CRS84)}


def test_dates_of_json_fg_end_with_the_last_day(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    table = city.database.table("building")
    with city.database.engine.begin() as connection:
        dates = {"valid_from": "1990-05-01", "valid_to": "2010-05-01"}
        connection.execute(sa.update(table).where(table.c.code == "building-00003").values(**dates))
    time = http.get(f"{ITEMS}/building-00003", params={"f": "jsonfg"}).json()["time"]
    assert time == {"interval": ["1990-05-01", "2010-04-30"]}
