"""Vector tiles of collections (OGC API Tiles, MVT), live and at any tree size."""

from __future__ import annotations

import gzip
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters, tileset
from api.links import JSON, json_response, link, unchanged, url
from api.routes import READ
from api.schemas import schema_digest
from api.selecting import selection_of
from api.site import Site, State, site_of
from api.tileset import MVT, SCHEME
from cim.db.access import reading
from cim.db.tiles import Tile
from cim.dictionary import FeatureType
from cim.errors import NotFound

router = APIRouter()

F_TILESET = parameters.f_of(("json", "tilejson"))
_FEW_BYTES = 1024  # below, compression is not worth its header


@router.api_route("/tileMatrixSets", methods=READ)
def matrix_sets(request: Request) -> Response:
    """List the tile matrix sets."""
    parameters.read(request, [parameters.F_JSON])
    own = [link("self", url(request, "tileMatrixSets", SCHEME), JSON, SCHEME)]
    return json_response({"tileMatrixSets": [{"id": SCHEME, "uri": tileset.SCHEME_URI, "links": own}]})


@router.api_route("/tileMatrixSets/{scheme}", methods=READ)
def matrix_set(request: Request, scheme: str) -> Response:
    """Define a tile matrix set."""
    parameters.read(request, [parameters.F_JSON])
    _check(scheme)
    return json_response(tileset.matrix_set(request))


@router.api_route("/collections/{type_name}/tiles", methods=READ)
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


@router.api_route("/collections/{type_name}/tiles/{scheme}", methods=READ)
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


@router.api_route("/collections/{type_name}/tiles/{scheme}/{zoom:int}/{row:int}/{column:int}", methods=READ)
async def tile(request: Request, type_name: str, scheme: str, zoom: int, row: int, column: int) -> Response:
    """Give a tile. Its ETag is the tree size; while live tables are ahead of the log it has none."""
    site, feature_type = _shaped(request, type_name)
    own = parameters.property_parameters(feature_type)
    asked = parameters.read(request, [*parameters.TILES, *own])
    _check(scheme)
    wanted = Tile(zoom, row, column)
    pinned = await site.pinned(asked.get("as-of"))
    known = pinned or State.live(await site.reader.live())
    query = sorted((name, text) for name, text in request.query_params.items() if name != "as-of")
    key = (type_name, reading(), zoom, row, column, *query)
    if unchanged(request, _etag(feature_type, known)) and known.kind != "ahead":
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_headers(feature_type, known))
    packed = site.tiles.get((*key, known.size)) if known.kind != "ahead" else None
    if packed is None:
        selection = selection_of(site, asked, [parameter.name for parameter in own], pinned)
        content, live = await site.reader.tile(type_name, selection, wanted, asked.get("properties"))
        known = pinned or State.live(live)
        packed = await run_in_threadpool(gzip.compress, content, 6, mtime=0) if len(content) > _FEW_BYTES else content
        if known.kind != "ahead":
            site.tiles.put((*key, known.size), packed)
    return await _answered(request, site, feature_type, wanted, known, packed)


async def _answered(
    request: Request, site: Site, feature_type: FeatureType, wanted: Tile, state: State, packed: bytes
) -> Response:
    headers = _headers(feature_type, state)
    if not packed:
        extent = (await site.reader.extents())[feature_type.name]
        if not tileset.within(extent, wanted.zoom, wanted.row, wanted.column):
            raise NotFound(
                f"tile {wanted.zoom}/{wanted.row}/{wanted.column} lies outside the tileMatrixSetLimits of "
                f"{feature_type.name}"
            )
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    if packed[:2] == gzip.compress(b"")[:2]:
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            packed = gzip.decompress(packed)
    return Response(packed, headers=headers, media_type=MVT)


def _headers(feature_type: FeatureType, state: State) -> dict[str, str]:
    tag = {} if state.kind == "ahead" else {"ETag": _etag(feature_type, state)}
    return {**state.headers, **tag, "Vary": "Accept-Encoding"}


def _etag(feature_type: FeatureType, state: State) -> str:
    return f'"t{state.size}-{schema_digest(feature_type)}"'


def _shaped(request: Request, type_name: str) -> tuple[Site, FeatureType]:
    site = site_of(request)
    feature_type = site.city.database.dictionary.type(type_name)
    if feature_type.geometry is None:
        raise NotFound(f"{type_name} has no geometry, so there are no tiles of it")
    return site, feature_type


def _check(scheme: str) -> Any:
    if scheme != SCHEME:
        raise NotFound(f"there is no tile matrix set {scheme[:60]!r}; there is {SCHEME}")
