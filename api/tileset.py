"""What is said about vector tiles: the tile matrix set, tilesets, TileJSON.

Source
------
OGC 20-057 (OGC API - Tiles - Part 1), OGC 17-083r4 (tile matrix sets), TileJSON 3.0.0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyproj
from starlette.requests import Request

from api import links
from api.links import JSON, link, url
from api.reference import CRS84, uri_of
from cim.crs import Bounds
from cim.db import tiles
from cim.db.tiles import MAX_ZOOM, tile_at
from cim.dictionary import FeatureType

SCHEME = "WebMercatorQuad"
SCHEME_URI = "http://www.opengis.net/def/tilematrixset/OGC/1.0/WebMercatorQuad"
MVT = "application/vnd.mapbox-vector-tile"
# Beyond it maps enlarge these tiles: at zoom level 18 a step of the grid is 4 cm.
TILEJSON_ZOOM = 18
# OGC 17-083r4, table D.1: denominator at level 0 for pixels of 0.28 mm.
_SCALE_AT_0 = 559_082_264.028_717_8
_PIXELS = 256
_DIMENSION = {"Point": 0, "MultiLineString": 1, "MultiPolygon": 2}
_TO_MERCATOR = pyproj.Transformer.from_crs("OGC:CRS84", tiles.SRID, always_xy=True)
_LAST_LATITUDE = math.degrees(math.atan(math.sinh(math.pi)))


def matrix_set(request: Request) -> dict[str, Any]:
    """Return the definition of WebMercatorQuad to zoom level 22."""
    return {
        "id": SCHEME,
        "title": "Google Maps Compatible for the World",
        "uri": SCHEME_URI,
        "crs": uri_of(tiles.SRID),
        "orderedAxes": ["X", "Y"],
        "wellKnownScaleSet": "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible",
        "tileMatrices": [
            {
                "id": str(zoom),
                "scaleDenominator": _SCALE_AT_0 / 2**zoom,
                "cellSize": 2 * tiles.EDGE / _PIXELS / 2**zoom,
                "cornerOfOrigin": "topLeft",
                "pointOfOrigin": [-tiles.EDGE, tiles.EDGE],
                "tileWidth": _PIXELS,
                "tileHeight": _PIXELS,
                "matrixWidth": 1 << zoom,
                "matrixHeight": 1 << zoom,
            }
            for zoom in range(MAX_ZOOM + 1)
        ],
        "links": [link("self", url(request, "tileMatrixSets", SCHEME), JSON, SCHEME)],
    }


def tileset(
    request: Request, feature_type: FeatureType, extent: Bounds | None, query: Mapping[str, str]
) -> dict[str, Any]:
    """Return the metadata of a collection's tileset; `query` goes on to its tiles."""
    here, kind = ("collections", feature_type.name, "tiles", SCHEME), str(feature_type.geometry)
    found: dict[str, Any] = {
        "title": feature_type.title,
        "description": feature_type.description,
        "dataType": "vector",
        "crs": uri_of(tiles.SRID),
        "tileMatrixSetURI": SCHEME_URI,
        "tileMatrixSetId": SCHEME,
        "tileMatrixSetLimits": limits(extent),
        "layers": [
            {
                "id": feature_type.name,
                "title": feature_type.title,
                "dataType": "vector",
                **({"geometryDimension": _DIMENSION[kind]} if kind in _DIMENSION else {}),
                "propertiesSchema": {
                    "type": "object",
                    "properties": {name: _kind(feature_type, name) for name in _columns(feature_type)},
                },
            }
        ],
        "links": [
            link("self", url(request, *here), JSON, "This tileset"),
            link(links.REL_TILING_SCHEME, url(request, "tileMatrixSets", SCHEME), JSON, SCHEME),
            {**link("item", template(request, feature_type, query), MVT, "Tiles"), "templated": True},
            link("describedby", url(request, *here, query={"f": "tilejson"}), JSON, "TileJSON"),
            link("http://www.opengis.net/def/rel/ogc/1.0/geodata", url(request, *here[:2]), JSON, feature_type.title),
        ],
    }
    if extent is not None:
        west, south, east, north = extent
        found["boundingBox"] = {"lowerLeft": [west, south], "upperRight": [east, north], "crs": CRS84}
    return found


def tilejson(
    request: Request, feature_type: FeatureType, extent: Bounds | None, query: Mapping[str, str]
) -> dict[str, Any]:
    """Return the TileJSON 3.0.0 of a collection's tileset."""
    address = template(request, feature_type, query)
    for ours, theirs in (("{tileMatrix}", "{z}"), ("{tileRow}", "{y}"), ("{tileCol}", "{x}")):
        address = address.replace(ours, theirs)
    document: dict[str, Any] = {
        "tilejson": "3.0.0",
        "name": feature_type.title,
        "description": feature_type.description,
        "tiles": [address],
        "vector_layers": [
            {
                "id": feature_type.name,
                "fields": {name: _kind(feature_type, name)["type"].capitalize() for name in _columns(feature_type)},
                "minzoom": 0,
                "maxzoom": TILEJSON_ZOOM,
            }
        ],
        "minzoom": 0,
        "maxzoom": TILEJSON_ZOOM,
    }
    if extent is not None:
        west, south, east, north = extent
        document |= {"bounds": list(extent), "center": [(west + east) / 2, (south + north) / 2, 14]}
    return document


def template(request: Request, feature_type: FeatureType, query: Mapping[str, str]) -> str:
    """Return the template of the tiles' addresses."""
    base, _, rest = url(request, "collections", feature_type.name, "tiles", SCHEME, query=query).partition("?")
    return f"{base}/{{tileMatrix}}/{{tileRow}}/{{tileCol}}{'?' + rest if rest else ''}"


def limits(extent: Bounds | None) -> list[dict[str, Any]]:
    """Return which tiles of each level meet an extent in CRS84."""
    if extent is None:
        return []
    west, south, east, north = extent
    last = _LAST_LATITUDE
    left, bottom = _TO_MERCATOR.transform(west, max(south, -last))
    right, top = _TO_MERCATOR.transform(east, min(north, last))
    found = []
    for zoom in range(MAX_ZOOM + 1):
        first, end = tile_at(zoom, left, top), tile_at(zoom, right, bottom)
        found.append(
            {
                "tileMatrix": str(zoom),
                "minTileRow": first.row,
                "maxTileRow": end.row,
                "minTileCol": first.column,
                "maxTileCol": end.column,
            }
        )
    return found


def within(extent: Bounds | None, zoom: int, row: int, column: int) -> bool:
    """Return whether a tile lies within the limits of an extent."""
    found = limits(extent)
    if not found:
        return False
    one = found[zoom]
    return bool(one["minTileRow"] <= row <= one["maxTileRow"] and one["minTileCol"] <= column <= one["maxTileCol"])


def _columns(feature_type: FeatureType) -> tuple[str, ...]:
    return tiles.columns_of(feature_type, MAX_ZOOM)


def _kind(feature_type: FeatureType, name: str) -> dict[str, str]:
    kind = next((p.kind for p in feature_type.public_properties if p.name == name), "string")
    return {"type": "number" if kind in ("integer", "number") else "boolean" if kind == "boolean" else "string"}
