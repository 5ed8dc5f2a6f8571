"""OGC API Features Parts 1 to 5 on a city whose numbers are known. What holds of any API is checked in conformance/."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator

from cim.city import City

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
REL = "http://www.opengis.net/def/rel/ogc/1.0/"
MAXIMUM = 10_000


def linked(document: dict[str, Any], rel: str, media_type: str | None = None) -> str:
    found = [one["href"] for one in document["links"] if one["rel"] == rel and media_type in (None, one["type"])]
    assert found, f"no link {rel} {media_type or ''}"
    return str(found[0])


def get(http: httpx.Client, address: str, media_type: str = "application/json", **parameters: Any) -> Any:
    response = http.get(address, params=parameters or None)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == media_type
    return response.json()


@pytest.fixture(scope="module")
def landing(http: httpx.Client) -> Any:
    return get(http, "/")


@pytest.fixture(scope="module")
def collections(http: httpx.Client, landing: Any) -> Any:
    return get(http, linked(landing, "data"))


@pytest.fixture(scope="module")
def openapi(http: httpx.Client, landing: Any) -> Any:
    return get(http, linked(landing, "service-desc", OPENAPI), OPENAPI)


def counts(city: City) -> dict[str, int]:
    with city.database.engine.connect() as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in city.database.metadata.sorted_tables
        }


def test_landing_page_links_to_everything(http: httpx.Client, landing: Any) -> None:
    assert linked(landing, "self") != linked(landing, "alternate", "text/html")
    conforms = get(http, linked(landing, "conformance"))["conformsTo"]
    prefix = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/"
    assert {prefix + "core", prefix + "geojson", prefix + "oas30"} <= set(conforms)
    assert len(conforms) == len(set(conforms))


def test_parameters_as_clients_look_for_them(openapi: Any, collections: Any) -> None:
    shared = openapi["components"]["parameters"]
    for collection in collections["collections"]:
        operation = openapi["paths"][f"/collections/{collection['id']}/items"]["get"]
        declared = {}
        for parameter in operation["parameters"]:
            found = shared[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter
            declared[found["name"]] = found
        for name in ("limit", "bbox", "datetime"):
            assert declared[name]["in"] == "query"
            assert declared[name]["required"] is False
            assert (declared[name]["style"], declared[name]["explode"]) == ("form", False)
        assert declared["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": MAXIMUM, "default": 10}
        assert "cql-text" in declared["filter-lang"]["schema"]["enum"]
        assert "hits" in declared["resultType"]["schema"]["enum"]
        assert {"as-of", "f", "code"} <= declared.keys()
    assert not {"owner_name", "owner_id"} & set(str(openapi).split("'"))


def test_collections(http: httpx.Client, collections: Any, city: City) -> None:
    assert {c["id"] for c in collections["collections"]} == set(city.database.dictionary.types)
    assert collections["crs"][0] == CRS84
    for listed in collections["collections"]:
        single = get(http, linked(listed, "self"))
        assert single == listed
        assert {"id", "title", "description", "extent", "itemType", "crs", "storageCrs"} <= listed.keys()
        linked(listed, "items", "application/geo+json")
        west, south, east, north = listed["extent"]["spatial"]["bbox"][0]
        assert 116.99 < west <= east < 117.1
        assert 38.99 < south <= north < 39.01
        assert listed["crs"][0] == CRS84
        assert listed["storageCrs"] in listed["crs"]


def test_pages_hold_every_feature_once(http: httpx.Client, collections: Any, city: City) -> None:
    """As a conformance suite does it: limit replaced by the maximum, the rest of `next` encoded again."""
    expected = counts(city)
    for collection in collections["collections"]:
        for limit in (10, 1000, MAXIMUM):
            if limit == 10 and expected[collection["id"]] > 1000:
                continue
            codes: list[str] = []
            address: str | None = f"{linked(collection, 'items')}?limit={limit}"
            while address is not None:
                page = get(http, address, "application/geo+json")
                assert page["numberReturned"] == len(page["features"]) <= limit
                codes += [feature["id"] for feature in page["features"]]
                found = [one for one in page["links"] if one["rel"] == "next"]
                address = replaced(found[0]["href"], limit="1000") if found else None
                limit = 1000 if found and limit == 10 else limit
            assert len(set(codes)) == len(codes) == expected[collection["id"]]
            assert codes == sorted(codes)


def replaced(address: str, **changes: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), **changes})))


def test_limits(http: httpx.Client) -> None:
    items = "/collections/building/items"
    kind = "application/geo+json"
    assert get(http, items, kind)["numberReturned"] == 10
    assert get(http, items, kind, limit=1)["numberReturned"] == 1
    assert get(http, items, kind, limit=10**12)["numberReturned"] == 2603
    hits = get(http, items, kind, resultType="hits")
    assert (hits["numberMatched"], hits["numberReturned"], hits["features"]) == (2603, 0, [])


def test_feature_collection(http: httpx.Client) -> None:
    response = http.get("/collections/building/items", params={"limit": 3})
    page = response.json()
    assert page["type"] == "FeatureCollection"
    assert datetime.fromisoformat(page["timeStamp"]).tzinfo is not None
    linked(page, "self", "application/geo+json")
    linked(page, "next", "application/geo+json")
    assert response.headers["content-crs"] == f"<{CRS84}>"
    assert f'rel="{REL}queryables"' in response.headers["link"]
    for feature in page["features"]:
        assert feature["type"] == "Feature"
        if feature["geometry"] is not None:
            for longitude, latitude in feature["geometry"]["coordinates"][0][0]:
                assert 116.9 < longitude < 117.1
                assert 38.9 < latitude < 39.1


def test_features_fit_the_published_schema(http: httpx.Client, collections: Any) -> None:
    for collection in collections["collections"]:
        schema = get(http, linked(collection, REL + "schema"), "application/schema+json")
        assert schema["$id"] == linked(collection, REL + "schema")
        Draft202012Validator.check_schema(schema)
        roles = [p["x-ogc-role"] for p in schema["properties"].values() if "x-ogc-role" in p]
        assert roles.count("id") == 1
        assert roles.count("primary-geometry") <= 1
        standard = {"$schema", "$id", "type", "title", "description", "required", "properties", "additionalProperties"}
        assert all(keyword in standard or keyword.startswith("x-") for keyword in schema)
        page = get(http, linked(collection, "items"), "application/geo+json", limit=5)
        for feature in page["features"]:
            present = {name: value for name, value in feature["properties"].items() if value is not None}
            if feature["geometry"] is not None:
                present["geom"] = feature["geometry"]
            Draft202012Validator(schema).validate(present)
            assert feature["properties"].keys() <= schema["properties"].keys()


def test_queryables(http: httpx.Client, collections: Any) -> None:
    for collection in collections["collections"]:
        address = linked(collection, REL + "queryables")
        document = get(http, address, "application/schema+json")
        assert document["$id"] == address
        assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert (document["type"], document["additionalProperties"]) == ("object", False)
        for name, schema in document["properties"].items():
            if name == "geom":
                assert schema["format"].startswith("geometry-")
                assert not {"type", "$ref"} & schema.keys()
            else:
                assert isinstance(schema["type"], str)
        if collection["id"] == "unit":
            assert "owner_name" not in document["properties"]


def test_every_claim_about_filters_holds(http: httpx.Client, landing: Any) -> None:
    """One filter for each claimed class of CQL2, in both encodings, against the number of features it must match.

    Building n of 2,603 is named House n, is n/10 high and was built 1950 + n mod 70; every tenth has no geometry.
    """
    name, height, built = ({"property": one} for one in ("name", "height", "year_built"))
    corners = [[116.9, 38.9], [117.1, 38.9], [117.1, 39.1], [116.9, 39.1], [116.9, 38.9]]
    place = {"op": "s_within", "args": [{"property": "geom"}, {"type": "Polygon", "coordinates": [corners]}]}
    ring = "POLYGON((116.9 38.9, 117.1 38.9, 117.1 39.1, 116.9 39.1, 116.9 38.9))"
    claims: dict[str, tuple[str, Any, int]] = {
        "basic-cql2": ("height < 1", {"op": "<", "args": [height, 1]}, 10),
        "advanced-comparison-operators": (
            "height BETWEEN 1 AND 2 AND name LIKE 'House 1%'",
            {"op": "and", "args": [{"op": "between", "args": [height, 1, 2]},
                                   {"op": "like", "args": [name, "House 1%"]}]},
            10,
        ),
        "case-insensitive-comparison": (
            "CASEI(name) = CASEI('hOUSE 7')",
            {"op": "=", "args": [{"op": "casei", "args": [name]}, {"op": "casei", "args": ["hOUSE 7"]}]},
            1,
        ),
        "accent-insensitive-comparison": (
            "ACCENTI(name) = ACCENTI('Hoüsé 7')",
            {"op": "=", "args": [{"op": "accenti", "args": [name]}, {"op": "accenti", "args": ["Hoüsé 7"]}]},
            1,
        ),
        "basic-spatial-functions": (
            "S_INTERSECTS(geom, BBOX(116.9, 38.9, 117.1, 39.1))",
            {"op": "s_intersects", "args": [{"property": "geom"}, {"bbox": [116.9, 38.9, 117.1, 39.1]}]},
            2342,
        ),
        "basic-spatial-functions-plus": (
            f"S_INTERSECTS(geom, {ring})",
            {**place, "op": "s_intersects"},
            2342,
        ),
        "spatial-functions": (f"S_WITHIN(geom, {ring})", place, 2342),
        "temporal-functions": (
            "T_AFTER(valid_from, DATE('2020-01-01'))",
            {"op": "t_after", "args": [{"property": "valid_from"}, {"date": "2020-01-01"}]},
            0,
        ),
        "array-functions": (
            "A_OVERLAPS((name, code), ('House 5', 'building-00006'))",
            {"op": "a_overlaps", "args": [[name, {"property": "code"}], ["House 5", "building-00006"]]},
            2,
        ),
        "property-property": ("height > year_built", {"op": ">", "args": [height, built]}, 0),
        "functions": (
            "area(geom) > 99",
            {"op": ">", "args": [{"op": "area", "args": [{"property": "geom"}]}, 99]},
            2342,
        ),
        "arithmetic": (
            "year_built - 1950 + height * 10 = 2",
            {"op": "=", "args": [{"op": "+", "args": [{"op": "-", "args": [built, 1950]},
                                                      {"op": "*", "args": [height, 10]}]}, 2]},
            1,
        ),
    }  # fmt: skip
    claimed = {
        one.rpartition("/")[2] for one in get(http, linked(landing, "conformance"))["conformsTo"] if "cql2/" in one
    }
    assert claimed == claims.keys() | {"cql2-text", "cql2-json"}
    items = "/collections/building/items"
    for text, tree, expected in claims.values():
        for language, condition in (("cql2-text", text), ("cql2-json", json.dumps(tree))):
            asked = {"filter": condition, "filter-lang": language, "resultType": "hits"}
            assert get(http, items, "application/geo+json", **asked)["numberMatched"] == expected, condition


def test_functions_codelists_and_sortables(http: httpx.Client, landing: Any, collections: Any) -> None:
    functions = get(http, linked(landing, REL + "functions"))["functions"]
    assert {one["name"] for one in functions} == {"area", "length", "perimeter", "year"}
    assert all(one["arguments"] and one["returns"] for one in functions)
    for collection in collections["collections"]:
        schema = get(http, linked(collection, REL + "schema"), "application/schema+json")
        for prop in schema["properties"].values():
            if "enum" in prop:
                codelist = get(http, prop["x-ogc-codelistUri"])
                assert [one["value"] for one in codelist["values"]] == prop["enum"]
        sortables = get(http, linked(collection, REL + "sortables"), "application/schema+json")
        assert "code" in sortables["properties"]
        assert "geom" not in sortables["properties"]
    assert http.get("/codelists/nosuch").status_code == 404


def test_box_in_every_crs_selects_the_same(http: httpx.Client, collections: Any) -> None:
    """The buildings on x 500,000 … 500,100 and y 4,318,000 … 4,318,030, in each CRS of the collection."""
    boxes = {
        CRS84: "117.0,38.9954,117.0011,38.9957",
        "http://www.opengis.net/def/crs/EPSG/0/4326": "38.9954,117.0,38.9957,117.0011",
        "http://www.opengis.net/def/crs/EPSG/0/4490": "38.9954,117.0,38.9957,117.0011",
        "http://www.opengis.net/def/crs/EPSG/0/4548": "4317995,500000,4318025,500095",
        # 117° and 117.0011° times 6378137 π/180; 38.9954° and 38.9957° by R ln tan(π/4 + φ/2).
        "http://www.opengis.net/def/crs/EPSG/0/3857": "13024380.4,4721012.7,13024502.9,4721055.7",
    }
    building = next(c for c in collections["collections"] if c["id"] == "building")
    assert set(boxes) == set(building["crs"])
    found = {}
    for crs, bbox in boxes.items():
        page = get(
            http, linked(building, "items"), "application/geo+json", **{"bbox": bbox, "bbox-crs": crs, "limit": 1000}
        )
        found[crs] = [f["id"] for f in page["features"] if f["geometry"] is not None]
    expected = [f"building-{number:05d}" for number in (1, 2, 3, 4, 101, 102, 103, 104)]
    assert found == dict.fromkeys(boxes, expected)


def test_output_in_every_crs_has_the_axis_order_of_its_uri(http: httpx.Client) -> None:
    first = {
        CRS84: (117.000230868, 38.99546),
        "http://www.opengis.net/def/crs/EPSG/0/4326": (38.99546, 117.000230868),
        "http://www.opengis.net/def/crs/EPSG/0/4490": (38.99546, 117.000230868),
        "http://www.opengis.net/def/crs/EPSG/0/4548": (4318000, 500020),
        "http://www.opengis.net/def/crs/EPSG/0/3857": (13024406.1, 4721021.3),
    }
    for crs, expected in first.items():
        for address in ("/collections/building/items/building-00001", "/collections/building/items"):
            response = http.get(address, params={"crs": crs})
            assert response.headers["content-crs"] == f"<{crs}>"
            body = response.json()
            geom = (body["features"][1] if "features" in body else body)["geometry"]
            scale = 1e-6 if expected[0] < 1000 else 1.0
            assert geom["coordinates"][0][0][0] == pytest.approx(expected, abs=scale)
