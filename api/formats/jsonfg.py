"""JSON-FG: GeoJSON with a CRS, a time and a feature type (OGC 21-045r1, conformance classes core and types-schemas).

Coordinates of WGS 84 stand in `geometry`, those of any other CRS in `place`, in the axis order of its URI.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import orjson

from api.formats import Item, Page, PageFormat
from api.links import url
from api.reference import CRS84
from cim.dictionary import FeatureType

_CONFORMS = [f"http://www.opengis.net/spec/json-fg-1/1.0/conf/{name}" for name in ("core", "types-schemas")]


def _page(page: Page) -> bytes:
    document: dict[str, Any] = {
        "type": "FeatureCollection",
        **_said(page),
        "timeStamp": page.state.stamp,
        "numberReturned": page.returned,
        **({} if page.matched is None else {"numberMatched": page.matched}),
        "links": orjson.Fragment(page.links.text),
        "features": [
            _placed(feature, page.feature_type, page.reference.uri) for feature in orjson.loads(b"[%s]" % page.features)
        ],
    }
    return orjson.dumps(document)


def _item(item: Item) -> bytes:
    feature = _placed(orjson.loads(item.feature), item.feature_type, item.reference.uri)
    return orjson.dumps({**feature, **_said(item), "links": orjson.Fragment(item.links.text)})


def _said(shown: Page | Item) -> dict[str, Any]:
    name, kind = shown.feature_type.name, shown.feature_type.geometry
    return {
        "conformsTo": _CONFORMS,
        "featureType": name,
        "featureSchema": url(shown.request, "collections", name, "schema"),
        **({"geometryDimension": _DIMENSION[kind]} if kind in _DIMENSION else {}),
        "coordRefSys": shown.reference.uri,
    }


_DIMENSION = {"Point": 0, "MultiLineString": 1, "MultiPolygon": 2}


def _placed(feature: dict[str, Any], feature_type: FeatureType, uri: str) -> dict[str, Any]:
    geometry = feature.pop("geometry")
    here = uri == CRS84
    time = _time(feature["properties"], feature_type)
    return {**feature, "time": time, "place": None if here else geometry, "geometry": geometry if here else None}


def _time(properties: Mapping[str, Any], feature_type: FeatureType) -> dict[str, Any] | None:
    """Return the days of validity. Ours end with the first day that is not, those of JSON-FG with the last that is."""
    roles = {p.role: properties.get(p.name) for p in feature_type.public_properties if p.role}
    begin, end = roles.get("primary-interval-start"), roles.get("primary-interval-end")
    if begin is None and end is None:
        return None
    last = ".." if end is None else (date.fromisoformat(end) - timedelta(days=1)).isoformat()
    return {"interval": [begin or "..", last]}


FORMAT = PageFormat("jsonfg", "application/vnd.ogc.fg+json", "JSON-FG", _page, _item)
