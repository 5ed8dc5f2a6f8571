"""OGC 17-069r4, Features Part 1: Core, GeoJSON, HTML, OpenAPI 3.0."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from openapi_spec_validator import OpenAPIV30SpecValidator

from tests.api.conformance.client import GEOJSON, OPENAPI, Api, linked
from tests.api.conformance.registry import need, requirement

CORE = "ogcapi-features-1/1.0/conf/core"
JSON = "ogcapi-features-1/1.0/conf/geojson"
HTML = "ogcapi-features-1/1.0/conf/html"
OAS = "ogcapi-features-1/1.0/conf/oas30"


@requirement(CORE, "/root-op", "/root-success")
def landing_page(api: Api) -> None:
    for rel in ("conformance", "data", "self"):
        linked(api.landing, rel)
    need({"service-desc", "service-doc"} & {one["rel"] for one in api.landing["links"]}, "no service-desc, no -doc")


@requirement(CORE, "/conformance-op", "/conformance-success")
def conformance(api: Api) -> None:
    listed = api.get(linked(api.landing, "conformance"))["conformsTo"]
    need(all(isinstance(one, str) for one in listed), "conformsTo holds what is no text")
    need(len(set(listed)) == len(listed), "a class is claimed twice")


@requirement(CORE, "/api-definition-op", "/api-definition-success")
def description(api: Api) -> None:
    need(api.openapi["openapi"].startswith("3.0"), "the description is no OpenAPI 3.0")


@requirement(OAS, "/oas-definition-2", "/completeness", "/oas-impl")
def description_is_valid(api: Api) -> None:
    OpenAPIV30SpecValidator(api.openapi).validate()
    away = [one for one in re.findall(r"'\$ref': '([^']*)'", str(api.openapi)) if not one.startswith("#/")]
    need(not away, f"references lead away: {away[:3]}")
    for collection in api.collections:
        for path in (f"/collections/{collection['id']}/items", f"/collections/{collection['id']}"):
            need(path in api.openapi["paths"], f"{path} is not described")


@requirement(CORE, "/fc-md-op", "/fc-md-success", "/fc-md-links", "/fc-md-items", "/fc-md-items-links")
def collections(api: Api) -> None:
    document = api.get(linked(api.landing, "data"))
    linked(document, "self")
    need(any(one["rel"] == "alternate" for one in document["links"]), "no alternate")
    for one in document["collections"]:
        linked(one, "items", GEOJSON)
        need(all("type" in link for link in one["links"]), f"{one['id']}: a link without type")


@requirement(CORE, "/sfc-md-op", "/sfc-md-success", "/fc-md-extent")
def collection(api: Api) -> None:
    for listed in api.collections:
        single = api.get(linked(listed, "self"))
        for name in ("id", "title", "description", "extent", "links"):
            need(single.get(name) == listed.get(name), f"{listed['id']}: {name} differs from that in the list")


@requirement(CORE, "/fc-op", "/fc-response", "/fc-links", "/fc-timeStamp", "/fc-numberReturned")
def features(api: Api) -> None:
    for one in api.collections:
        page = api.get(api.items(one), GEOJSON)
        need((page["type"], isinstance(page["features"], list)) == ("FeatureCollection", True), "no collection")
        need(datetime.fromisoformat(page["timeStamp"]).tzinfo is not None, "timeStamp without zone")
        need(page["numberReturned"] == len(page["features"]), "numberReturned is not how many there are")
        linked(page, "self", GEOJSON)
        declared = {link.get("type") for link in one["links"] if link["rel"] == "items"} - {GEOJSON}
        there = {link.get("type") for link in page["links"] if link["rel"] == "alternate"}
        need(declared <= there, f"{one['id']}: no alternate in {declared - there}")


@requirement(CORE, "/fc-numberMatched", "/fc-next-1", "/fc-prev")
def paging(api: Api) -> None:
    for one in api.collections:
        pages = list(api.pages(one, limit=10))
        ids = [feature["id"] for page in pages for feature in page["features"]]
        need(len(set(ids)) == len(ids), f"{one['id']}: a feature comes twice")
        told = {page["numberMatched"] for page in pages if "numberMatched" in page}
        need(told <= {len(ids)}, f"{one['id']}: numberMatched {told}, but there are {len(ids)}")


@requirement(CORE, "/fc-limit-definition", "/fc-limit-response-1")
def limit(api: Api) -> None:
    for one in api.collections:
        declared = api.parameters(f"/collections/{one['id']}/items")["limit"]
        _as_clients_look_for_it(declared, "integer")
        need({"minimum", "maximum", "default"} <= declared["schema"].keys(), "limit without bounds or default")
        need(api.get(api.items(one), GEOJSON, limit=1)["numberReturned"] <= 1, "more than limit")
    for bad in ("0", "-1", "x", "1.5", ""):
        need(api.ask(api.items(api.collections[0]), limit=bad).status_code == 400, f"limit={bad} is taken")
    above = api.parameters(f"/collections/{api.collections[0]['id']}/items")["limit"]["schema"]["maximum"] + 1
    need(api.ask(api.items(api.collections[0]), limit=above).status_code == 200, "limit above maximum is refused")


@requirement(CORE, "/fc-bbox-definition", "/fc-bbox-response")
def bbox(api: Api) -> None:
    one, (x, y) = api.sample.collection, api.sample.position
    declared = api.parameters(f"/collections/{one['id']}/items")["bbox"]
    _as_clients_look_for_it(declared, "array")
    here, step = f"{x - 1e-6},{y - 1e-6},{x + 1e-6},{y + 1e-6}", 1e-6
    need(api.sample.id in api.ids(one, bbox=here), "a box around a feature does not find it")
    need(
        api.sample.id in api.ids(one, bbox=f"{x - step},{y - step},-99,{x + step},{y + step},99"), "a box of 6 does not"
    )
    west, south, east, north = one["extent"]["spatial"]["bbox"][0]
    need(api.first(one, bbox=f"{west},{south},{east},{north}") == api.first(one), "the extent leaves features out")
    far = api.get(api.items(one), GEOJSON, bbox=f"{-x - 1},{-y - 1},{-x},{-y}", limit=1000)["features"]
    need(all(feature["geometry"] is None for feature in far), "a box elsewhere finds a feature")
    # Across the antimeridian a box goes the other way round.
    need(
        api.sample.id not in api.first(one, bbox=f"{x + 1},{y - 1},{x - 1},{y + 1}"), "the antimeridian is not crossed"
    )
    for bad in ("1,2,3", "a,b,c,d", "1,5,2,4", "0,0,nan,1", ""):
        need(api.ask(api.items(one), bbox=bad).status_code == 400, f"bbox={bad} is taken")


@requirement(CORE, "/fc-time-definition", "/fc-time-response")
def time(api: Api) -> None:
    for one in api.collections:
        declared = api.parameters(f"/collections/{one['id']}/items")["datetime"]
        _as_clients_look_for_it(declared, "string")
        for good in (
            "2020-01-01T00:00:00Z",
            "2020-01-01",
            "../2020-01-01",
            "2020-01-01/..",
            "/2020-01-01",
            "2020-01-01/",
        ):
            need(api.ask(api.items(one), datetime=good).status_code == 200, f"datetime={good} is refused")
        need(api.first(one, datetime="0001-01-01/9999-12-31") == api.first(one), "all of time leaves features out")
    for bad in ("yesterday", "2020-13-01", "2020-01-02/2020-01-01", ""):
        need(api.ask(api.items(api.collections[0]), datetime=bad).status_code == 400, f"datetime={bad} is taken")


@requirement(CORE, "/query-param-unknown", "/query-param-invalid")
def parameters(api: Api) -> None:
    for address in (str(api.http.base_url), linked(api.landing, "conformance"), linked(api.landing, "data"),
                    linked(api.collections[0], "self"), api.items(api.collections[0])):  # fmt: skip
        need(api.ask(address, {}, unknownparameter="x").status_code == 400, f"{address} takes a parameter it has not")


@requirement(CORE, "/f-op", "/f-success", "/f-links")
def feature(api: Api) -> None:
    for one in api.collections:
        for listed in api.get(api.items(one), GEOJSON, limit=3)["features"]:
            single = api.get(_item(api, one, listed["id"]), GEOJSON)
            need(
                {k: v for k, v in single.items() if k != "links"} == listed, f"{listed['id']} differs from that listed"
            )
            need(linked(single, "collection") == linked(one, "self"), "collection is another")
            linked(single, "self", GEOJSON)
            need(any(link["rel"] == "alternate" for link in single["links"]), "no alternate")
        need(api.ask(_item(api, one, "nosuch-0")).status_code == 404, "a feature that is not there is no 404")


@requirement(CORE, "/http", "/crs84")
def http(api: Api) -> None:
    need(api.ask(f"{str(api.http.base_url).rstrip('/')}/collections/nosuch-0").status_code == 404, "no 404")
    need(api.http.request("TRACE", linked(api.landing, "data")).status_code in (405, 501), "any method is taken")


@requirement(JSON, "/definition", "/content")
def geojson(api: Api) -> None:
    for one in api.collections:
        for shown in api.get(api.items(one), GEOJSON, limit=100)["features"]:
            need(shown["type"] == "Feature" and isinstance(shown["properties"], dict), "no GeoJSON feature")
            need(set(shown) >= {"id", "geometry"}, "a feature without id or geometry")
            for x, y in _positions(shown["geometry"]):
                need(-180 <= x <= 180 and -90 <= y <= 90, f"{shown['id']} is not on the globe")


@requirement(HTML, "/definition", "/content")
def html(api: Api) -> None:
    for address in (str(api.http.base_url), linked(api.landing, "data"), linked(api.collections[0], "self"),
                    api.items(api.collections[0])):  # fmt: skip
        page = api.ask(address, {"Accept": "text/html"})
        need(page.headers["content-type"].startswith("text/html"), f"{address} has no page")
        need("<html" in page.text.lower(), f"{address} answers with what is no page")


@requirement(CORE, "/link-rel-types")
def links_lead_somewhere(api: Api) -> None:
    documents = [api.landing, *api.collections]
    links = {one["href"]: one for document in documents for one in document["links"] if "{" not in one["href"]}
    for href, one in links.items():
        answer = api.ask(href, {"Accept": one.get("type", "*/*")})
        need(answer.status_code == 200, f"{one['rel']} {href} answers {answer.status_code}")
        found = answer.headers["content-type"].partition(";")[0]
        need(found == one["type"].partition(";")[0], f"{one['rel']} {href} is {found}, not {one['type']}")
    linked(api.landing, "service-desc", OPENAPI)


def _as_clients_look_for_it(declared: dict[str, Any], kind: str) -> None:
    need((declared["in"], declared["required"]) == ("query", False), f"{declared['name']} is not optional in the query")
    need(declared["schema"]["type"] == kind, f"{declared['name']} is no {kind}")
    need((declared["style"], declared["explode"]) == ("form", False), f"{declared['name']} without style and explode")


def _item(api: Api, collection: dict[str, Any], code: str) -> str:
    return str(api.http.build_request("GET", f"{api.items(collection).partition('?')[0]}/{code}").url)


def _positions(geometry: dict[str, Any] | None) -> list[tuple[float, float]]:
    if geometry is None:
        return []
    if geometry["type"] == "GeometryCollection":
        return [position for part in geometry["geometries"] for position in _positions(part)]
    level = [geometry["coordinates"]]
    while level and isinstance(level[0][0], list):
        level = [part for node in level for part in node]
    return [(position[0], position[1]) for position in level]
