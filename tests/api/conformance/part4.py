"""OGC 20-002r1 (draft), Features Part 4: Create, Replace, Update and Delete, with optimistic locking by ETag."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.api.conformance.client import GEOJSON, Api
from tests.api.conformance.registry import NotApplicable, need, requirement

CRUD = "ogcapi-features-4/1.0/conf/create-replace-delete"
UPDATE = "ogcapi-features-4/1.0/conf/update"
FEATURES = "ogcapi-features-4/1.0/conf/features"
PATCH = "application/merge-patch+json"


@requirement(CRUD, "/insert-post-op", "/insert-response", "/insert-body", "/update-put-op", "/update-put-response",
             "/delete-delete-op", "/delete-response", "/options", "/update-put-rid")  # fmt: skip
@requirement(FEATURES, "/feature-crs", "/content-type", "/optimistic-locking-etags")
@requirement(UPDATE, "/update-patch-op", "/update-patch-response")
def the_life_of_a_feature(api: Api) -> None:
    items, feature = _what_to_write(api)
    need("POST" in _allowed(api, items), "OPTIONS does not allow POST")
    need(_send(api, "POST", items, feature, "text/plain").status_code == 415, "any media type is taken")
    need(_send(api, "POST", items, {}, GEOJSON).status_code == 400, "what is no feature is taken")
    made = _send(api, "POST", items, feature, GEOJSON)
    need(made.status_code == 201, f"POST answers {made.status_code}: {made.text[:200]}")
    item = made.headers["location"]
    try:
        read = api.ask(item, {"Accept": GEOJSON})
        need(read.json()["properties"].items() >= feature["properties"].items(), "what was written is not what is read")
        need({"PUT", "PATCH", "DELETE"} <= _allowed(api, item), "OPTIONS does not allow PUT, PATCH, DELETE")
        _replaced(api, item, read)
        _locked(api, item)
    finally:
        gone = api.http.delete(item, headers={"If-Match": api.ask(item).headers.get("etag", "*")})
    need(gone.status_code in (200, 204), f"DELETE answers {gone.status_code}")
    need(api.ask(item).status_code == 404, "what was deleted is there")
    for method in ("PUT", "DELETE", "PATCH"):
        body, kind = (feature, GEOJSON) if method == "PUT" else ({}, PATCH)
        need(_send(api, method, item, body, kind, "").status_code in (404, 428), f"{method} of what is not there")
        need(
            _send(api, method, item, body, kind, "*").status_code == 412, f"{method} with If-Match of what is not there"
        )


def _replaced(api: Api, item: str, read: httpx.Response) -> None:
    same = _send(api, "PUT", item, read.json(), GEOJSON, read.headers["etag"])
    need(same.status_code in (200, 204), f"PUT of what was read answers {same.status_code}: {same.text[:200]}")
    other = {**read.json(), "id": "another-0"}
    need(
        _send(api, "PUT", item, other, GEOJSON, _tag(api, item)).status_code in (200, 204), "the id of the body counts"
    )
    need(str(api.get(item, GEOJSON)["id"]) == str(read.json()["id"]), "PUT has changed the id")
    # In each CRS the feature is written as it is read, so that nothing moves.
    for crs in next(one["crs"] for one in api.collections if one["id"] == api.into):
        there = api.ask(item, {"Accept": GEOJSON}, crs=crs).json()
        written = api.http.put(item, content=json.dumps(there), headers={
            "Content-Type": GEOJSON, "Content-Crs": f"<{crs}>", "If-Match": _tag(api, item)})  # fmt: skip
        need(written.status_code in (200, 204), f"PUT in {crs} answers {written.status_code}: {written.text[:200]}")
        need(api.get(item, GEOJSON)["geometry"] == read.json()["geometry"], f"PUT in {crs} has moved the feature")


def _locked(api: Api, item: str) -> None:
    before = _tag(api, item)
    properties: dict[str, Any] = api.get(item, GEOJSON)["properties"]
    name = next(n for n, v in properties.items() if isinstance(v, (int, float)) and not isinstance(v, bool))
    change = {"properties": {name: properties[name] + 1}}
    need(_send(api, "PATCH", item, change, PATCH, before).status_code in (200, 204), "PATCH is refused")
    need(api.get(item, GEOJSON)["properties"] == {**properties, **change["properties"]}, "PATCH changes something else")
    need(_tag(api, item) != before, "the ETag stays the same")
    need(_send(api, "PATCH", item, change, PATCH, before).status_code == 412, "a stale If-Match is taken by PATCH")
    need(_send(api, "PUT", item, api.get(item, GEOJSON), GEOJSON, before).status_code == 412, "or by PUT")
    need(_send(api, "DELETE", item, None, PATCH, before).status_code == 412, "or by DELETE")
    need(_send(api, "PATCH", item, change, "text/plain", _tag(api, item)).status_code == 415, "any media type is taken")


def _what_to_write(api: Api) -> tuple[str, dict[str, Any]]:
    if api.writable is None or api.into is None:
        raise NotApplicable("give a feature with --feature and --into")
    collection = next(one for one in api.collections if one["id"] == api.into)
    return api.items(collection), dict(api.writable)


def _send(api: Api, method: str, address: str, body: Any, media_type: str, tag: str | None = None) -> httpx.Response:
    headers = {"Content-Type": media_type} | ({"If-Match": tag} if tag else {})
    return api.http.request(method, address, content=None if body is None else json.dumps(body), headers=headers)


def _tag(api: Api, item: str) -> str:
    return str(api.ask(item, {"Accept": GEOJSON}).headers["etag"])


def _allowed(api: Api, address: str) -> set[str]:
    answer = api.http.options(address)
    need(answer.status_code == 200, f"OPTIONS answers {answer.status_code}")
    return {one.strip() for one in answer.headers["allow"].split(",")}
