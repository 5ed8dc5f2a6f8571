"""Vector tiles of collections (OGC API Tiles, MVT), live and at any tree size."""

from __future__ import annotations

import gzip
from collections.abc import Hashable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters, tileset
from api.links import JSON, json_response, link, unchanged, url
from api.preconditions import etag_of_state
from api.routing import READ, Router
from api.selecting import selection_of
from api.site import Site, State, site_of
from api.through import asked_state
from api.tileset import MVT, SCHEME
from cim.db.access import reading
from cim.db.tiles import Tile
from cim.dictionary import FeatureType
from cim.errors import NotFound

router = Router()

F_TILESET = parameters.f_of(("json", "tilejson"))
_FEW_BYTES = 1024  # below, compression is not worth its header
_LEVEL = 3  # a third of the time of the usual 6, for a tenth more bytes


@router.route("/tileMatrixSets", READ)
def matrix_sets(request: Request) -> Response:
    """List the tile matrix sets."""
    parameters.read(request, [parameters.F_JSON])
    own = [link("self", url(request, "tileMatrixSets", SCHEME), JSON, SCHEME)]
    return json_response({"tileMatrixSets": [{"id": SCHEME, "uri": tileset.SCHEME_URI, "links": own}]})


@router.route("/tileMatrixSets/{scheme}", READ)
def matrix_set(request: Request, scheme: str) -> Response:
    """Define a tile matrix set."""
    parameters.read(request, [parameters.F_JSON])
    _check(scheme)
    return json_response(tileset.matrix_set(request))


@router.route("/collections/{type_name}/tiles", READ)
async def tilesets(request: Request, type_name: str) -> Response:
    """List the tilesets of a collection."""
    parameters.read(request, [parameters.F_JSON])
    site, feature_type = _shaped(request, type_name)
    extent = (await site.reader.extents())[type_name]
    own = [
        link("self", links.here(request), JSON, "Tilesets"),
        link("collection", url(request, "collections", type_name), JSON, feature_type.title),
    ]
    document = {"links": own, "tilesets": [tileset.tileset(request, feature_type, extent, {})]}
    return json_response(document, {"Cache-Control": "no-cache"})


@router.route("/collections/{type_name}/tiles/{scheme}", READ)
async def one_tileset(request: Request, type_name: str, scheme: str) -> Response:
    """Describe the tileset of a collection, as OGC has it or as TileJSON; what else was asked goes on to its tiles."""
    site, feature_type = _shaped(request, type_name)
    own = parameters.property_parameters(feature_type)
    asked = parameters.read(request, [*parameters.TILES, F_TILESET, *own])
    _check(scheme)
    extent = (await site.reader.extents())[type_name]
    query = {name: text for name, text in request.query_params.items() if name != "f"}
    described = tileset.tilejson if asked.get("f") == "tilejson" else tileset.tileset
    return json_response(described(request, feature_type, extent, query), {"Cache-Control": "no-cache"})


@router.route("/collections/{type_name}/tiles/{scheme}/{zoom:int}/{row:int}/{column:int}", READ)
async def tile(request: Request, type_name: str, scheme: str, zoom: int, row: int, column: int) -> Response:
    """Give a tile. Its ETag is the tree size.

    While live tables are ahead of the log it has none, nor through a proposal, and is not kept.
    """
    site, feature_type = _shaped(request, type_name)
    given = request.query_params if request.scope["query_string"] else {}
    own = parameters.property_parameters(feature_type) if given else []
    asked = parameters.read(request, [*parameters.TILES, *own])
    _check(scheme)
    wanted = Tile(zoom, row, column)
    pinned, branch = await asked_state(request, site, type_name, asked)
    known = pinned or State.live(await site.reader.live())
    tag = None if branch is not None else etag_of_state("t", known, feature_type)
    query = sorted((name, text) for name, text in given.items() if name != "as-of")
    key = (type_name, reading(), zoom, row, column, *query)
    if tag is not None and unchanged(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_headers(known, tag))
    content = None if tag is None else site.tiles.get((*key, known.size))
    if content is None:
        selection = selection_of(site, asked, [parameter.name for parameter in own], pinned, branch)
        content, live = await site.reader.tile(type_name, selection, wanted, asked.get("properties"))
        known = pinned or State.live(live)
        tag = None if branch is not None else etag_of_state("t", known, feature_type)
        if tag is not None:
            site.tiles.put((*key, known.size), content)
    headers = _headers(known, tag)
    if not content:
        return await _empty(site, feature_type, wanted, headers)
    if len(content) > _FEW_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        content = await _packed(site, (*key, known.size, "gzip"), content, kept=tag is not None)
    return Response(content, headers=headers, media_type=MVT)


async def _packed(site: Site, key: Hashable, content: bytes, *, kept: bool) -> bytes:
    found = site.tiles.get(key) if kept else None
    if found is None:
        found = await run_in_threadpool(gzip.compress, content, _LEVEL, mtime=0)
        if kept:
            site.tiles.put(key, found)
    return found


async def _empty(site: Site, feature_type: FeatureType, wanted: Tile, headers: Mapping[str, str]) -> Response:
    """Answer that nothing is in a tile, or that there is no such tile."""
    extent = (await site.reader.extents())[feature_type.name]
    if not tileset.within(extent, wanted.zoom, wanted.row, wanted.column):
        raise NotFound(
            f"tile {wanted.zoom}/{wanted.row}/{wanted.column} lies outside the tileMatrixSetLimits of "
            f"{feature_type.name}"
        )
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)


def _headers(state: State, tag: str | None) -> dict[str, str]:
    return {**state.headers, **({} if tag is None else {"ETag": tag}), "Vary": "Accept-Encoding"}


def _shaped(request: Request, type_name: str) -> tuple[Site, FeatureType]:
    site = site_of(request)
    feature_type = site.city.database.dictionary.type(type_name)
    if feature_type.geometry is None:
        raise NotFound(f"{type_name} has no geometry, so there are no tiles of it")
    return site, feature_type


def _check(scheme: str) -> Any:
    if scheme != SCHEME:
        raise NotFound(f"there is no tile matrix set {scheme[:60]!r}; there is {SCHEME}")
