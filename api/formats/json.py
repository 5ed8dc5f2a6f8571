"""GeoJSON (RFC 7946), in whatever CRS was asked for: the features' finished text with a head before it."""

from __future__ import annotations

from typing import Any

import orjson

from api.formats import Item, Page, PageFormat
from api.links import GEOJSON


def _page(page: Page) -> bytes:
    head: dict[str, Any] = {
        "type": "FeatureCollection",
        "timeStamp": page.state.stamp,
        "numberReturned": page.returned,
    }
    if page.matched is not None:
        head["numberMatched"] = page.matched
    head["links"] = orjson.Fragment(page.links.text)
    return b'%s,"features":[%s]}' % (orjson.dumps(head)[:-1], page.features)


def _item(item: Item) -> bytes:
    return b'%s,"links":%s}' % (item.feature[:-1], item.links.text.encode())


FORMAT = PageFormat("json", GEOJSON, "GeoJSON", _page, _item)
