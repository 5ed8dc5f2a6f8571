"""HTML: a page as a table with a map, an item with its history and its proof, labelled in English or Chinese."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson

from api import links, pages
from api.formats import Item, Page, PageFormat
from api.links import HTML, url
from api.parameters import DEFAULT_LIMIT, MAX_LIMIT
from cim.errors import NotFound

# What the form asks anew; whatever else was asked goes on with it, or another question would be answered.
_FIELDS = frozenset({"f", "filter", "as-of", "limit", "next", "resultType"})


def _page(page: Page) -> bytes:
    features = orjson.loads(b"[%s]" % page.features)
    query = dict(page.request.query_params)
    name, here = page.feature_type.name, pages.state_asked(page.request)
    rows = [
        {
            "code": feature["id"],
            "href": url(page.request, "collections", name, "items", feature["id"], query={**here, "f": "html"}),
            "properties": feature["properties"],
        }
        for feature in features
    ]
    asked: dict[str, Any] = {"filter": query.get("filter"), "as-of": query.get("as-of")}
    limit = min(int(query.get("limit", DEFAULT_LIMIT)), MAX_LIMIT)
    return pages.text(
        page.request,
        page.site,
        "items.html",
        title=pages.words_of(page.request, page.site).title(page.feature_type),
        type=page.feature_type,
        state=page.state,
        rows=rows,
        columns=pages.columns(page.feature_type, [row["properties"] for row in rows]),
        matched=page.matched,
        asked=asked,
        also={key: value for key, value in query.items() if key not in _FIELDS},
        limit=limit,
        limits=sorted({10, 50, 200, 1000, limit}),
        example=_example(page),
        data=links.here(page.request, f="json", crs=None),
        links=page.links,
    )


def _example(page: Page) -> str:
    """Return a filter that this collection understands."""
    for prop in page.feature_type.public_properties:
        if prop.codelist is not None:
            value = next(iter(page.site.city.database.dictionary.codelists[prop.codelist].values))
            return f"{prop.name} = '{value}'"
    return "code LIKE '1%'"


def _item(item: Item) -> bytes:
    feature = orjson.loads(item.feature)
    code, properties, name = feature["id"], feature["properties"], item.feature_type.name
    entries = []
    with suppress(NotFound):  # what a proposal adds has no history
        entries = item.site.city.history(code, type_name=name)
    if item.state.kind == "pinned":
        entries = [entry for entry in entries if entry.leaf is not None and entry.leaf < item.state.size]
    attributes = {key: pages.plain(value) for key, value in (properties.get("attributes") or {}).items()}
    return pages.text(
        item.request,
        item.site,
        "item.html",
        title=properties.get("name") or code,
        type=item.feature_type,
        state=item.state,
        code=code,
        name=properties.get("name"),
        properties=properties,
        columns=pages.columns(item.feature_type, [properties]),
        attributes=attributes,
        shaped=feature["geometry"] is not None,
        history=entries,
        data=links.here(item.request, f="json", crs=None),
        proof=next(one["href"] for one in item.links if one["rel"] == "evidence"),
        verifier=item.site.city.publisher.signer.verifier.to_text(),
        links=item.links,
    )


FORMAT = PageFormat("html", HTML, "HTML", _page, _item, pages.HEADERS)
