"""Collections and features: OGC API Features Parts 1, 2, 3 and 5, with history and as-of."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters, reference
from api.links import GEOJSON, JSON, SCHEMA_JSON, json_response, link, url
from api.preconditions import etag_of
from api.reference import Reference
from api.routes import READ
from api.schemas import queryables_document, schema_document
from api.site import Site, State, rfc3339, site_of
from cim import bodies
from cim.crs import Bounds
from cim.db.features import Selection
from cim.dictionary import FeatureType
from cim.errors import NotFound

router = APIRouter()


# ---------------------------------------------------------------------- collections


@router.api_route("/collections", methods=READ)
async def collections(request: Request) -> Response:
    """List the feature types."""
    parameters.read(request, [parameters.F_JSON])
    site = site_of(request)
    extents = await site.reader.extents()
    types = site.city.database.dictionary.types.values()
    document = {
        "links": [link("self", links.here(request), JSON, "Collections")],
        "crs": list(site.references),
        "collections": [_collection(request, site, feature_type, extents[feature_type.name]) for feature_type in types],
    }
    return json_response(document, {"Cache-Control": "no-cache"})


@router.api_route("/collections/{type_name}", methods=READ)
async def collection(request: Request, type_name: str) -> Response:
    """Describe one feature type."""
    parameters.read(request, [parameters.F_JSON])
    site, feature_type = _found(request, type_name)
    document = _collection(request, site, feature_type, (await site.reader.extents())[type_name])
    wanted = [one for one in document["links"] if one["rel"] in (links.REL_QUERYABLES, links.REL_SCHEMA)]
    return json_response(document, {"Cache-Control": "no-cache", "Link": links.link_header(wanted)})


def _collection(request: Request, site: Site, feature_type: FeatureType, extent: Bounds | None) -> dict[str, Any]:
    name, title = feature_type.name, feature_type.title
    document: dict[str, Any] = {
        "id": name,
        "title": title,
        "x-cim-title-zh": feature_type.title_zh,
        "description": feature_type.description,
        "itemType": "feature",
        "x-cim-code-scheme": feature_type.code_scheme,
        "crs": list(site.references),
        "storageCrs": site.storage.uri,
        "links": [
            link("self", url(request, "collections", name), JSON, title),
            link("items", url(request, "collections", name, "items"), GEOJSON, f"{title}: features"),
            link(links.REL_QUERYABLES, url(request, "collections", name, "queryables"), SCHEMA_JSON, "Queryables"),
            link(links.REL_SCHEMA, url(request, "collections", name, "schema"), SCHEMA_JSON, "Schema"),
            link("related", url(request, "collections", name, "changes"), JSON, f"{title}: changes, leaf by leaf"),
        ],
    }
    if extent is not None:
        document["extent"] = {"spatial": {"bbox": [list(extent)], "crs": reference.CRS84}}
    return document


@router.api_route("/collections/{type_name}/schema", methods=READ)
async def schema(request: Request, type_name: str) -> Response:
    """Give the schema of the features (Part 5)."""
    parameters.read(request, [parameters.F_JSON])
    site, feature_type = _found(request, type_name)
    identity = url(request, "collections", type_name, "schema")
    document = schema_document(feature_type, site.city.database.dictionary, identity)
    return json_response(document, media_type=SCHEMA_JSON)


@router.api_route("/collections/{type_name}/queryables", methods=READ)
async def queryables(request: Request, type_name: str) -> Response:
    """Give what filters may name (Part 3)."""
    parameters.read(request, [parameters.F_JSON])
    site, feature_type = _found(request, type_name)
    identity = url(request, "collections", type_name, "queryables")
    document = queryables_document(feature_type, site.city.database.dictionary, identity)
    return json_response(document, media_type=SCHEMA_JSON)


# ---------------------------------------------------------------------- items


@router.api_route("/collections/{type_name}/items", methods=READ)
async def items(request: Request, type_name: str) -> Response:
    """Give a page of features, or their number."""
    site, feature_type = _found(request, type_name)
    own = parameters.property_parameters(feature_type)
    asked = parameters.read(request, [*parameters.ITEMS, *own])
    pinned = await site.pinned(asked.get("as-of"))
    output = reference.named(site.references, "crs", asked.get("crs"))
    selection = _selection(site, asked, [parameter.name for parameter in own], pinned)
    if asked.get("resultType") == "hits":
        matched, live = await site.reader.count(type_name, selection)
        state = pinned or State.live(live)
        return _feature_collection(request, type_name, output, state, "", 0, None, matched)
    limit = asked.get("limit", parameters.DEFAULT_LIMIT)
    page = await site.reader.page(type_name, selection, output.output, limit, asked.get("next"))
    state = pinned or State.live(page.live)
    token = parameters.token_of(page.last) if page.more and page.last is not None else None
    whole = page.returned if token is None and "next" not in asked else None
    return _feature_collection(request, type_name, output, state, page.features, page.returned, token, whole)


def _selection(site: Site, asked: Mapping[str, Any], own: list[str], pinned: State | None) -> Selection:
    box_crs = reference.named(site.references, "bbox-crs", asked.get("bbox-crs"))
    filter_crs = reference.named(site.references, "filter-crs", asked.get("filter-crs"))
    return Selection(
        tree_size=None if pinned is None else pinned.size,
        bbox=box_crs.box(asked["bbox"]) if "bbox" in asked else None,
        bbox_srid=box_crs.srid,
        where=asked.get("filter"),
        where_srid=filter_crs.srid,
        where_flip=filter_crs.flip,
        equal={name: asked[name] for name in own if name in asked},
        period=asked.get("datetime"),
    )


def _feature_collection(
    request: Request,
    type_name: str,
    output: Reference,
    state: State,
    features: str,
    returned: int,
    token: str | None,
    matched: int | None,
) -> Response:
    """Put a feature collection together around the features' finished text."""
    own = [
        link("self", links.here(request), GEOJSON, "This page"),
        link("collection", url(request, "collections", type_name), JSON, "The collection"),
    ]
    if token is not None:
        own.append(link("next", links.here(request, next=token), GEOJSON, "Next page"))
    head: dict[str, Any] = {"type": "FeatureCollection", "timeStamp": state.stamp, "numberReturned": returned}
    if matched is not None:
        head["numberMatched"] = matched
    body = b'%s,"features":[%s]}' % (orjson.dumps({**head, "links": own})[:-1], features.encode())
    queryables_link = link(links.REL_QUERYABLES, url(request, "collections", type_name, "queryables"), SCHEMA_JSON)
    headers = {
        **state.headers,
        "Content-Crs": f"<{output.uri}>",
        "Link": links.link_header([*own, queryables_link]),
    }
    return Response(body, headers=headers, media_type=GEOJSON)


# A code may hold a slash, so that of an item takes the rest of the path, and what lies below an item comes first.
@router.api_route("/collections/{type_name}/items/{code:path}/history", methods=READ)
def history(request: Request, type_name: str, code: str) -> Response:
    """Give every revision of a feature, oldest first; as of a tree size, those the log had by then."""
    asked = parameters.read(request, [parameters.F_JSON, parameters.AS_OF])
    site, _ = _found(request, type_name)
    head = site.city.tree_head(asked.get("as-of"))
    pinned = State.pinned(head, fixed=asked.get("as-of", "").isdecimal()) if "as-of" in asked else None
    entries = site.city.history(_code(code), type_name=type_name)
    if pinned is not None:
        entries = [entry for entry in entries if entry.leaf is not None and entry.leaf < pinned.size]
        if not entries:
            raise NotFound(f"{type_name} {code} was not recorded yet at tree size {pinned.size}")
    ahead = "ahead" if any(entry.leaf is None for entry in entries) else "current"
    state = pinned or State(head.size, head.root, head.at, ahead)
    document = {
        "links": [
            link("self", links.here(request), JSON, "History"),
            link("item", url(request, "collections", type_name, "items", code), GEOJSON, "The feature"),
        ],
        "revisions": [
            {
                "rev": entry.rev,
                "op": entry.op,
                "at": rfc3339(entry.at),
                "by": entry.actor,
                "reason": entry.reason,
                "dataset": entry.dataset,
                "leaf": entry.leaf,
                "body": entry.body,
            }
            for entry in entries
        ],
    }
    return json_response(document, state.headers)


@router.api_route("/collections/{type_name}/items/{code:path}", methods=READ)
async def item(request: Request, type_name: str, code: str) -> Response:
    """Give one feature. Its ETag is the revision, in this form and CRS.

    Any other identifier of an object, the codes it gave up included, leads to its code (303).
    """
    site, feature_type = _found(request, type_name)
    asked = parameters.read(request, parameters.ITEM)
    pinned = await site.pinned(asked.get("as-of"))
    output = reference.named(site.references, "crs", asked.get("crs"))
    found = await site.reader.item(type_name, _code(code), pinned.size if pinned else None, output.output)
    if found is None:
        when = "" if pinned is None else f" at tree size {pinned.size}"
        return await run_in_threadpool(_elsewhere, request, site, type_name, code, when)
    state = pinned or State.live(found.live)
    etag = etag_of(found.rev, output, feature_type)
    headers = {**state.headers, "ETag": etag, "Content-Crs": f"<{output.uri}>"}
    if links.unchanged(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    own = [
        link("self", links.here(request), GEOJSON, "This feature"),
        link("collection", url(request, "collections", type_name), JSON, "The collection"),
        link("version-history", url(request, "collections", type_name, "items", code, "history"), JSON, "History"),
        link("describedby", url(request, "collections", type_name, "schema"), SCHEMA_JSON, "Schema"),
        link("evidence", url(request, "log", "proof", query={"code": code, "type": type_name}), links.TEXT, "Proof"),
    ]
    own += [
        link("alternate", url(request, "files", digest), kind.media_type, "Body in three dimensions")
        for kind, digest in bodies.named_in(orjson.loads(found.feature)["properties"])
    ]
    body = b'%s,"links":%s}' % (found.feature.encode()[:-1], orjson.dumps(own))
    return Response(body, headers={**headers, "Link": links.link_header(own)}, media_type=GEOJSON)


def _elsewhere(request: Request, site: Site, type_name: str, text: str, when: str) -> Response:
    """Lead to the one object that a text names otherwise.

    Not for ever (308): a code may give way to another again.

    Raises
    ------
    NotFound : it names none, or several, as after a split.
    """
    objects = sorted({one.code for one in site.city.resolve(text) if one.type == type_name and one.live} - {text})
    if len(objects) == 1:
        target = url(request, "collections", type_name, "items", objects[0], query=request.query_params)
        return Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": target, "Cache-Control": "no-cache"})
    today = f"; today it names {', '.join(objects[:20])}" if objects else ""
    raise NotFound(f"{type_name} {text} does not exist{when}{today}")


def _found(request: Request, type_name: str) -> tuple[Site, FeatureType]:
    site = site_of(request)
    return site, site.city.database.dictionary.type(type_name)


def _code(code: str) -> str:
    """Refuse what no code can be and PostgreSQL would choke on."""
    if "\0" in code or len(code) > 512:
        raise NotFound(f"{code[:60]!r} is no code of any object")
    return code
