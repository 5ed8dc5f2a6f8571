"""OGC 23-058r2, Features Part 5 / Common Part 3: Schemas. The assertions are those of its Annex A."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from jsonschema import Draft202012Validator

from tests.api.conformance.client import GEOJSON, REL, SCHEMA, Api, linked
from tests.api.conformance.registry import NotApplicable, need, requirement

COMMON = "ogcapi-common-3/1.0/conf/"
PROFILES = "http://www.opengis.net/def/profile/OGC/0/"
KEYWORDS = {
    "$schema", "$id", "type", "title", "description", "required", "properties", "additionalProperties", "format",
    "enum", "oneOf", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
    "maxLength", "pattern", "items", "minItems", "maxItems", "readOnly", "writeOnly", "default",
}  # fmt: skip


@requirement(COMMON + "schemas", "/json-schema", "/properties", "/additional-keywords", "/role-id", "/unit")
@requirement("ogcapi-features-5/1.0/conf/schemas", "/json-schema", "/properties", "/additional-keywords", "/role-id")
def schemas(api: Api) -> None:
    for one, rel in _all(api):
        _sound(api, api.schema(one, rel), f"{one['id']} {rel}")


def _sound(api: Api, schema: Mapping[str, Any], name: str) -> None:
    need(schema["$schema"] == "https://json-schema.org/draft/2020-12/schema", f"{name}: another draft")
    need(schema["$id"].startswith("http") and "?" not in schema["$id"], f"{name}: $id is no plain address")
    need(api.get(schema["$id"], SCHEMA)["$id"] == schema["$id"], f"{name}: $id leads elsewhere")
    need(schema["type"] == "object", f"{name}: no object")
    Draft202012Validator.check_schema(schema)
    for word in (word for part in (schema, *schema["properties"].values()) for word in part):
        need(word in KEYWORDS or word.startswith("x-"), f"{name}: {word} is no keyword")
    ids = [p for p in schema["properties"].values() if p.get("x-ogc-role") == "id"]
    need(len(ids) == 1 and ids[0]["type"] in ("string", "integer"), f"{name}: not one id")
    for prop, said in schema["properties"].items():
        spatial = str(said.get("format", "")).startswith("geometry-")
        need(("type" in said) != spatial and "$ref" not in said, f"{name}.{prop} has no kind, or two")
        need(isinstance(said.get("x-ogc-role", ""), str), f"{name}.{prop}: a role that is no text")
        need("x-ogc-unit" not in said or said["type"] in ("number", "integer"), f"{name}.{prop}: a unit of no number")


@requirement(COMMON + "advanced-property-roles", "/role-primary-geometry", "/role-primary-instant",
             "/role-primary-interval-start", "/primary-temporal-constraints")  # fmt: skip
def roles(api: Api) -> None:
    for one in api.collections:
        properties = api.schema(one)["properties"]
        by_role = {role: [p for p in properties.values() if p.get("x-ogc-role") == role] for role in _ROLES}
        need(all(len(found) <= 1 for found in by_role.values()), f"{one['id']}: a role twice")
        spatial = [p for p in properties.values() if str(p.get("format", "")).startswith("geometry-")]
        need(len(spatial) < 2 or by_role["primary-geometry"], f"{one['id']}: several geometries and none is the first")
        need(all(p in spatial for p in by_role["primary-geometry"]), f"{one['id']}: the geometry is none")
        times = [p for role in _ROLES[1:] for p in by_role[role]]
        need(all(p.get("format") in ("date", "date-time") for p in times), f"{one['id']}: a time that is none")
        need(len({p["format"] for p in times}) <= 1, f"{one['id']}: an interval of two kinds")
        interval = by_role["primary-interval-start"] + by_role["primary-interval-end"]
        need(not (by_role["primary-instant"] and interval), f"{one['id']}: an instant and an interval")


_ROLES = ("primary-geometry", "primary-instant", "primary-interval-start", "primary-interval-end")


@requirement(COMMON + "references", "/role-reference")
def references(api: Api) -> None:
    kinds = {one["id"]: next(p["type"] for p in api.schema(one)["properties"].values() if p.get("x-ogc-role") == "id")
             for one in api.collections}  # fmt: skip
    for one in api.collections:
        for name, said in _references(api, one).items():
            target = said.get("x-ogc-collectionId")
            need(target is not None or "{resourceId}" in said.get("x-ogc-uriTemplate", ""), f"{name} refers to nothing")
            need(target is None or said["type"] == kinds[target], f"{name} is no id of {target}")


@requirement(COMMON + "returnables-and-receivables", "/link", "/op", "/response")
def returnables(api: Api) -> None:
    for one in api.collections:
        need(
            linked(one, REL + "schema") == f"{linked(one, 'self').partition('?')[0]}/schema", "the schema is elsewhere"
        )
        schema = api.schema(one)
        geometry = next((n for n, p in schema["properties"].items() if p.get("x-ogc-role") == "primary-geometry"), None)
        for feature in api.get(api.items(one), GEOJSON, limit=100)["features"]:
            shown = {name: value for name, value in feature["properties"].items() if value is not None}
            if geometry is not None and feature["geometry"] is not None:
                shown[geometry] = feature["geometry"]
            Draft202012Validator(schema).validate(shown)
            for name in feature["properties"]:
                said = schema["properties"].get(name)
                need(said is not None or schema.get("additionalProperties", True), f"{one['id']}.{name} is unknown")
                need(not (said or {}).get("writeOnly"), f"{one['id']}.{name} is to be written only")


@requirement(COMMON + "queryables", "/link", "/op", "/response")
@requirement(COMMON + "sortables", "/link", "/op", "/response")
def linked_schemas(api: Api) -> None:
    for one, rel in _all(api):
        need(linked(one, REL + rel) == f"{linked(one, 'self').partition('?')[0]}/{rel}", f"{rel} are elsewhere")
        if rel == "sortables":
            for name, said in api.schema(one, rel)["properties"].items():
                need(said.get("type") not in (None, "object", "array"), f"{one['id']}.{name} has no order")
    unknown = api.ask(api.items(api.collections[0]), sortby="nosuchproperty_0")
    need(unknown.status_code == 400, "a sortable that there is not is taken")


@requirement(COMMON + "profile-parameter", "/profile-param", "/profile-param-response")
def profile_parameter(api: Api) -> None:
    tried = 0
    for path, operations in api.openapi["paths"].items():
        if "profile" not in (api.parameters(path) if "get" in operations else {}) or "{" in path:
            continue
        tried += 1
        declared = api.parameters(path)["profile"]
        need((declared["in"], declared["required"], declared["style"], declared["explode"])
             == ("query", False, "form", False), "profile is not declared as it must be")  # fmt: skip
        need(declared["schema"]["type"] == "array", "profile is no list")
        names = declared["schema"]["items"]["enum"]
        address = str(api.http.base_url).rstrip("/") + path
        need(api.ask(address).status_code == 200, f"{path} needs a profile")
        for value in (*names, ",".join(names), *(PROFILES + name for name in names)):
            answer = api.ask(address, profile=value)
            need(answer.status_code == 200, f"{path}?profile={value} answers {answer.status_code}")
            need('rel="profile"' in answer.headers.get("link", ""), f"{path}?profile={value} has no Link header")
            document = answer.json()
            if "links" in document:
                need(any(one["rel"] == "profile" for one in document["links"]), f"{path}: no link to the profile")
        for value in ("nosuch", f"{names[0]},nosuch", ""):
            need(api.ask(address, profile=value).status_code == 400, f"{path}?profile={value} is taken")
    need(tried, "no resource has the parameter")


@requirement(COMMON + "profile-references", "/ref-profiles", "/rel-as-key", "/rel-as-uri", "/rel-as-link")
def reference_profiles(api: Api) -> None:
    tried = 0
    for one in api.collections:
        for name, said in _references(api, one).items():
            place = next(api.items(other) for other in api.collections if other["id"] == said["x-ogc-collectionId"])
            features = api.get(api.items(one), GEOJSON, limit=100, profile="rel-as-key")["features"]
            keys = {f["id"]: f["properties"].get(name) for f in features if f["properties"].get(name) is not None}
            need(all(isinstance(key, (str, int)) for key in keys.values()), f"{one['id']}.{name}: a key that is none")
            for profile in ("rel-as-uri", "rel-as-link"):
                page = api.get(api.items(one), GEOJSON, limit=100, profile=profile)
                need(linked(page, "profile") == PROFILES + profile, f"another profile than {profile}")
                shown = {f["id"]: f["properties"].get(name) for f in page["features"]}
                for feature in list(keys)[:3]:
                    tried += 1
                    key, value = keys[feature], shown[feature]
                    if value == key:  # which no address can be: an object that is not there
                        found = api.ask(f"{place}/{quote(str(key), safe='')}")
                        need(found.status_code == 404, f"{one['id']}.{name}: {key} is there, and no link leads to it")
                        continue
                    value = value["href"] if profile == "rel-as-link" else value
                    there = api.get(value, GEOJSON)
                    need(there["id"] == key, f"{value} leads to {there['id']}, not {key}")
    if not tried:
        raise NotApplicable("no feature refers to another")


@requirement(COMMON + "profile-codelists", "/consistency", "/codelist-inline", "/codelist-ref")
def codelist_profiles(api: Api) -> None:
    tried = 0
    for one, rel in _all(api):
        for profile in (None, "codelist-inline", "codelist-ref"):
            schema = api.schema(one, rel, **({} if profile is None else {"profile": profile}))
            _sound(api, schema, f"{one['id']} {rel} {profile}")
            listed = [p for p in schema["properties"].values() if "x-ogc-codelistUri" in p]
            spelt = [p for p in schema["properties"].values() if all("const" in v for v in p.get("oneOf", [{}]))]
            tried += len(listed) + len(spelt)
            need(not (listed and spelt), f"{one['id']} {rel}: two profiles at once")
            need(profile != "codelist-inline" or not listed, f"{one['id']} {rel}: {profile} is not served")
            need(profile != "codelist-ref" or not spelt, f"{one['id']} {rel}: {profile} is not served")
            need(all("enum" in p for p in listed), f"{one['id']} {rel}: a codelist without its values")
    if not tried:
        raise NotApplicable("there is no codelist")


def _references(api: Api, collection: Mapping[str, Any]) -> dict[str, Any]:
    return {n: p for n, p in api.schema(collection)["properties"].items() if p.get("x-ogc-role") == "reference"}


def _all(api: Api) -> Iterator[tuple[dict[str, Any], str]]:
    for one in api.collections:
        rels = {link["rel"].removeprefix(REL) for link in one["links"]}
        for rel in ("schema", "queryables", "sortables"):
            if rel in rels:
                yield one, rel
