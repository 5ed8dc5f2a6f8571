"""Collections and features: OGC API Features Parts 1, 2, 3 and 5, with history and as-of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import bulk, formats, links, pages, parameters, reference
from api.access import caller_of
from api.formats import BulkFormat, Item, Page, PageFormat
from api.links import HTML, JSON, SCHEMA_JSON, Links, json_response, link, url
from api.preconditions import etag_of, etag_of_state
from api.routing import READ, Router
from api.schemas import Description
from api.selecting import output_of, profile_link, profile_of, selection_of
from api.site import Site, State, site_of
from api.through import asked_state
from cim import bodies
from cim.crs import Bounds
from cim.db import reader
from cim.dictionary import FeatureType
from cim.errors import NotFound

router = Router()

Format = PageFormat | BulkFormat


# ---------------------------------------------------------------------- collections


@router.route("/collections", READ)
async def collections(request: Request) -> Response:
    """List the feature types."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML])
    site = site_of(request)
    extents = await site.reader.extents()
    types = [one for name, one in site.city.database.dictionary.types.items() if caller_of(request).sees(name)]
    listed = [_collection(request, site, feature_type, extents[feature_type.name]) for feature_type in types]
    form = pages.form_of(request, asked)
    document = {
        "links": pages.self_and_other(request, form, "Collections"),
        "crs": list(site.references),
        "collections": listed,
    }
    if form == "html":
        shown = zip(types, listed, strict=True)
        return pages.render(request, site, "collections.html", title="Collections", types=list(shown))
    return json_response(document, {"Cache-Control": "no-cache", "Vary": "Accept"})


@router.route("/collections/{type_name}", READ)
async def collection(request: Request, type_name: str) -> Response:
    """Describe one feature type."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML])
    site, feature_type = _found(request, type_name)
    document = _collection(request, site, feature_type, (await site.reader.extents())[type_name])
    if pages.form_of(request, asked) == "html":
        codelists, words = site.city.database.dictionary.codelists, pages.words_of(request, site)
        shown: dict[str, Any] = {"title": words.title(feature_type), "type": feature_type, "codelists": codelists}
        return pages.render(request, site, "collection.html", document=document, **shown)
    wanted = [one for one in document["links"] if one["rel"] in (links.REL_QUERYABLES, links.REL_SCHEMA)]
    headers = {"Cache-Control": "no-cache", "Link": links.link_header(wanted), "Vary": "Accept"}
    return json_response(document, headers)


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
            link("alternate", url(request, "collections", name, query={"f": "html"}), HTML, f"{title} as HTML"),
            *_items_links(request, feature_type),
            link(links.REL_QUERYABLES, url(request, "collections", name, "queryables"), SCHEMA_JSON, "Queryables"),
            link(links.REL_SORTABLES, url(request, "collections", name, "sortables"), SCHEMA_JSON, "Sortables"),
            link(links.REL_SCHEMA, url(request, "collections", name, "schema"), SCHEMA_JSON, "Schema"),
            # GDAL takes types from it, spelt so; else from the first objects, whose 0 makes all that follow whole.
            link("describedBy", url(request, "collections", name, "feature-schema"), SCHEMA_JSON, "Schema of GeoJSON"),
            link("related", url(request, "collections", name, "changes"), JSON, f"{title}: changes, leaf by leaf"),
        ],
    }
    if feature_type.geometry is not None:
        tiles = link(links.REL_TILESETS, url(request, "collections", name, "tiles"), JSON, f"{title}: vector tiles")
        document["links"].append(tiles)
    if extent is not None:
        document["extent"] = {"spatial": {"bbox": [list(extent)], "crs": reference.CRS84}}
    return document


def _items_links(request: Request, feature_type: FeatureType) -> list[dict[str, str]]:
    """Return a link to the items in each of their formats; QGIS looks for FlatGeobuf among them."""
    base, title = ("collections", feature_type.name, "items"), feature_type.title
    return [
        link("items", url(request, *base, query={} if name == formats.DEFAULT else {"f": name}), one.media_type,
             f"{title}: features" if name == formats.DEFAULT else f"{title} as {one.title}")
        for name, one in formats.of_items(feature_type).items()
    ]  # fmt: skip


@router.route("/collections/{type_name}/schema", READ)
async def schema(request: Request, type_name: str) -> Response:
    """Give the schema of the features (Part 5)."""
    return _told(request, type_name, "schema", Description.schema)


@router.route("/collections/{type_name}/feature-schema", READ)
async def feature_schema(request: Request, type_name: str) -> Response:
    """Give the schema of the features as GeoJSON has them."""
    return _told(request, type_name, "feature-schema", Description.feature)


@router.route("/collections/{type_name}/queryables", READ)
async def queryables(request: Request, type_name: str) -> Response:
    """Give what filters may name (Part 3)."""
    return _told(request, type_name, "queryables", Description.queryables)


@router.route("/collections/{type_name}/sortables", READ)
async def sortables(request: Request, type_name: str) -> Response:
    """Give what features can be ordered by."""
    return _told(request, type_name, "sortables", Description.sortables)


def _told(
    request: Request, type_name: str, what: str, describe: Callable[[Description, str], dict[str, Any]]
) -> Response:
    """Answer with a JSON Schema that says something of a type's properties."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML, parameters.CODELIST_PROFILE])
    site, feature_type = _found(request, type_name)
    profile = asked.get("profile", ("codelist-ref",))[0]
    inline = profile == "codelist-inline"
    dictionary = site.city.database.dictionary
    described = Description(feature_type, dictionary, url(request, "codelists"), inline=inline)
    document = describe(described, url(request, "collections", type_name, what))
    headers = {"Link": links.link_header([profile_link(profile)])}
    title = f"{feature_type.title}: {what}"
    return pages.answer(request, site, asked, document, title, headers=headers, media_type=SCHEMA_JSON)


# ---------------------------------------------------------------------- items


@dataclass(frozen=True, slots=True)
class Declared:
    """What items are asked by: names of their properties, all parameters, formats, and what links say of those."""

    own: tuple[str, ...]
    known: Mapping[str, parameters.Parameter]
    offered: Mapping[str, Format]
    offers: tuple[Offer, ...]


class Offer(NamedTuple):
    """A format on offer: its name, media type and title."""

    name: str
    media_type: str
    title: str


def _offers(offered: Mapping[str, Format]) -> tuple[Offer, ...]:
    return tuple(Offer(name, one.media_type, one.title) for name, one in offered.items())


def _declared(site: Site, feature_type: FeatureType) -> Declared:
    """Return it, made once: it would take as long as answering does."""
    found: Declared | None = site.declared.get(feature_type.name)
    if found is None:
        own, offered = parameters.property_parameters(feature_type), formats.of_items(feature_type)
        known = parameters.by_name([*parameters.ITEMS, parameters.f_of([*offered, *formats.ALIASES]), *own])
        found = site.declared[feature_type.name] = Declared(
            tuple(one.name for one in own), known, offered, _offers(offered)
        )
    return found


@router.route("/collections/{type_name}/items", READ)
async def items(request: Request, type_name: str) -> Response:
    """Give a page of features, their number, or all of them in a bulk format.

    Its ETag is the tree size; it has none while live tables are ahead of the log, nor through a proposal.
    """
    site, feature_type = _found(request, type_name)
    declared = _declared(site, feature_type)
    offered = declared.offered
    asked = parameters.read(request, declared.known)
    chosen = offered[formats.chosen(request, asked, offered)]
    pinned, branch = await asked_state(request, site, type_name, asked)
    tag = partial(_tag, request, feature_type, chosen, branch)
    if "if-none-match" in request.headers:
        known = pinned or State.live(await site.reader.live())
        held = tag(known)
        if links.unchanged(request, held.get("ETag", "").removeprefix("W/")):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={**known.headers, **held, "Vary": "Accept"})
    selection = selection_of(site, asked, declared.own, pinned, branch)
    hits = asked.get("resultType") == "hits"
    if isinstance(chosen, BulkFormat):
        if not hits:
            named = site.storage.uri if chosen.native and "crs" not in asked else asked.get("crs")
            output = reference.named(site.references, "crs", named)
            leaving, part = (
                output_of(request, feature_type, output, asked, chosen),
                (asked.get("limit"), asked.get("next")),
            )
            return await bulk.answer(
                request, site, feature_type, chosen, selection, output, leaving, pinned, tag, *part
            )
        chosen = formats.of_item()[formats.DEFAULT]
    output = reference.named(site.references, "crs", asked.get("crs"))
    leaving, token, matched = output_of(request, feature_type, output, asked, chosen), None, None
    if hits:
        matched, live = await site.reader.count(type_name, selection)
        read = reader.Page(b"", 0, None, more=False, live=live)
    else:
        limit = min(asked.get("limit", parameters.DEFAULT_LIMIT), parameters.MAX_LIMIT)
        read = await site.reader.page(type_name, selection, leaving, limit, asked.get("next"))
        token = parameters.token_of(read.last) if read.more and read.last is not None else None
        matched = read.returned if token is None and "next" not in asked else None
    state = pinned or State.live(read.live)
    listed = links.base_of(request), type_name, chosen.name, declared.offers, profile_of(chosen, asked)
    own = _page_links(*listed, more=token is not None)
    following = "" if token is None else links.query_text({**request.query_params, "next": token})
    own = own.filled(**_asked_again(request), next=following)
    shown = Page(request, site, feature_type, output, state, own, read.features, read.returned, matched)
    headers = {
        **state.headers,
        **tag(state),
        "Content-Crs": f"<{output.uri}>",
        "Link": own.header,
        "Vary": "Accept",
        **chosen.headers,
    }
    body = chosen.page(shown) if chosen.name == formats.DEFAULT else await run_in_threadpool(chosen.page, shown)
    return Response(body, headers=headers, media_type=chosen.media_type)


def _tag(
    request: Request, feature_type: FeatureType, chosen: Format, branch: str | None, state: State
) -> dict[str, str]:
    """Return the ETag of a page, if it has one: a weak one, since it says when it was made, too."""
    if branch is not None or "html" in chosen.media_type:  # a page for people depends on their language as well
        return {}
    asked = sha256(request.scope["query_string"]).hexdigest()[:8]
    tag = etag_of_state("p", state, feature_type, chosen.name, asked)
    return {} if tag is None else {"ETag": f"W/{tag}"}


@lru_cache(maxsize=1024)
def _page_links(
    base: str, type_name: str, form: str, offers: tuple[Offer, ...], profile: str | None, *, more: bool
) -> Links:
    """Return the links of a page, with gaps for its query: `query`, `others` (without `f`) and `next`."""
    collection = links.address(base, "collections", type_name)
    media_type = next(one.media_type for one in offers if one.name == form)
    onwards = [
        link("self", f"{collection}/items{{query}}", media_type, "This page"),
        link("collection", collection, JSON, "The collection"),
    ]
    if more:
        onwards.append(link("next", f"{collection}/items{{next}}", media_type, "Next page"))
    if profile is not None:
        onwards.append(profile_link(profile))
    queryables_link = link(links.REL_QUERYABLES, f"{collection}/queryables", SCHEMA_JSON)
    return Links.of([*onwards, *_alternates(f"{collection}/items", form, offers)], [*onwards, queryables_link])


def _alternates(address: str, form: str, offers: tuple[Offer, ...]) -> list[dict[str, str]]:
    return [
        link("alternate", f"{address}{{others}}f={one.name}", one.media_type, f"This as {one.title}")
        for one in offers
        if one.name != form
    ]


def _asked_again(request: Request) -> dict[str, str]:
    """Return the query of a request as it is, and as it goes on with another format."""
    if not request.scope["query_string"]:
        return {"query": "", "others": "?"}
    query = dict(request.query_params)
    whole = links.query_text(query)
    query.pop("f", None)
    return {"query": whole, "others": f"{links.query_text(query)}&" if query else "?"}


_OF_ITEM = formats.of_item()
_OFFERS_OF_ITEM = _offers(_OF_ITEM)
_KNOWN_OF_ITEM = parameters.by_name([*parameters.ITEM, parameters.f_of([*_OF_ITEM, "geojson"])])


# A code may hold a slash, so that of an item takes the rest of the path: what lies below one is looked at before.
@router.route("/collections/{type_name}/items/{code:path}", READ)
async def item(request: Request, type_name: str, code: str) -> Response:
    """Give one feature. Its ETag is the revision, in this form and CRS.

    Any other identifier of an object, the codes it gave up included, leads to its code (303).
    """
    site, feature_type = _found(request, type_name)
    offered = _OF_ITEM
    asked = parameters.read(request, _KNOWN_OF_ITEM)
    chosen = offered[formats.chosen(request, asked, offered)]
    pinned, branch = await asked_state(request, site, type_name, asked)
    output = reference.named(site.references, "crs", asked.get("crs"))
    profile = profile_of(chosen, asked)
    leaving = output_of(request, feature_type, output, asked, chosen)
    found = await site.reader.item(type_name, as_code(code), pinned.size if pinned else None, leaving, branch)
    if found is None:
        when = "" if pinned is None else f" at tree size {pinned.size}"
        return await _elsewhere(request, site, type_name, code, when)
    state = pinned or State.live(found.live)
    plain = leaving == output.output and profile is None
    # Whether what it refers to is there, its revision does not tell.
    linked = b"" if leaving.references == "key" else found.feature
    parts = "" if plain else sha256(repr((leaving, profile, linked)).encode()).hexdigest()[:8]
    etag = etag_of(found.rev, output, feature_type, "" if chosen.name == formats.DEFAULT else chosen.name, parts)
    headers = {**state.headers, "ETag": etag, "Content-Crs": f"<{output.uri}>", "Vary": "Accept"}
    headers |= chosen.headers
    if "html" in chosen.media_type or branch is not None:
        # A page shows the history, too; and no write may take what was read through a proposal for what is there.
        del headers["ETag"]
    elif links.unchanged(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    named = bodies.named_in(_properties_of(found.feature)) if bodies.may_be_named_in(found.feature) else ()
    own = _item_links(links.base_of(request), type_name, chosen.name, _OFFERS_OF_ITEM, profile)
    own = own.filled(code=links.escaped(code), **_asked_again(request)).also(
        [
            link("alternate", url(request, "files", digest), kind.media_type, f"Body as {kind.name}")
            for kind, digest in named
        ]
    )
    shown = Item(request, site, feature_type, output, state, own, found.feature)
    body = chosen.item(shown) if chosen.name == formats.DEFAULT else await run_in_threadpool(chosen.item, shown)
    headers["Link"] = own.header
    return Response(body, headers=headers, media_type=chosen.media_type)


def _properties_of(feature: bytes) -> dict[str, Any]:
    properties: dict[str, Any] = orjson.loads(feature)["properties"]
    return properties


@lru_cache(maxsize=1024)
def _item_links(base: str, type_name: str, form: str, offers: tuple[Offer, ...], profile: str | None) -> Links:
    """Return the links of an item, with gaps for its code and its query: `query`, and `others` (without `f`)."""
    collection = links.address(base, "collections", type_name)
    one = f"{collection}/items/{{code}}"
    media_type = next(offer.media_type for offer in offers if offer.name == form)
    proof = f"{links.address(base, 'log', 'proof')}?code={{code}}&type={type_name}"
    return Links.of(
        [
            *([] if profile is None else [profile_link(profile)]),
            link("self", f"{one}{{query}}", media_type, "This feature"),
            link("collection", collection, JSON, "The collection"),
            link("version-history", f"{one}/history", JSON, "History"),
            link("describedby", f"{collection}/schema", SCHEMA_JSON, "Schema"),
            link("evidence", proof, links.TEXT, "Proof"),
            *_alternates(one, form, offers),
        ]
    )


async def _elsewhere(request: Request, site: Site, type_name: str, text: str, when: str) -> Response:
    """Lead to the one object, of those that the caller may read, that a text names otherwise.

    Not for ever (308): a code may give way to another again.

    Raises
    ------
    NotFound : it names none, or several, as after a split.
    """
    named = await run_in_threadpool(site.city.resolve, text)
    codes = sorted({one.code for one in named if one.type == type_name and one.live} - {text})
    objects = [code for code in codes if await site.reader.item(type_name, code, None, site.storage.output)]
    if len(objects) == 1:
        target = url(request, "collections", type_name, "items", objects[0], query=request.query_params)
        return Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": target, "Cache-Control": "no-cache"})
    today = f"; today it names {', '.join(objects[:20])}" if objects else ""
    raise NotFound(f"{type_name} {text} does not exist{when}{today}")


def _found(request: Request, type_name: str) -> tuple[Site, FeatureType]:
    site = site_of(request)
    return site, site.city.database.dictionary.type(type_name)


def as_code(code: str) -> str:
    """Refuse what no code can be and PostgreSQL would choke on."""
    if "\0" in code or len(code) > 512:
        raise NotFound(f"{code[:60]!r} is no code of any object")
    return code
