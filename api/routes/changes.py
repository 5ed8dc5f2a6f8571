"""The changes of a collection, leaf by leaf: what another system mirrors it by."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters, reference
from api.links import JSON, TEXT, link, url
from api.routing import READ, Router
from api.site import site_of
from cim.errors import NotFound

router = Router()


@router.route("/collections/{type_name}/changes", READ)
async def changes(request: Request, type_name: str) -> Response:
    """Give every revision from leaf `since` on, up to the signed tree size, or that of as-of, in the log's order.

    Whoever applies each page's changes in turn and follows `next` holds, where no `next` is left, the collection at
    tree size `size`; it goes on from there with since=size. A page may be empty.
    """
    site = site_of(request)
    site.city.database.dictionary.type(type_name)
    asked = parameters.read(request, parameters.CHANGES)
    state = await site.pinned(asked.get("as-of")) or await site.signed()
    output = reference.named(site.references, "crs", asked.get("crs"))
    since, limit = asked.get("since", 0), asked.get("limit", parameters.DEFAULT_LIMIT)
    if since > state.size:
        raise NotFound(f"since={since} lies beyond tree size {state.size}; a mirror cannot be ahead of the log")
    page = await site.reader.changes(type_name, since, state.size, output.output, limit)
    own = [
        link("self", links.here(request), JSON, "This page"),
        link("collection", url(request, "collections", type_name), JSON, "The collection"),
        link("related", url(request, "log", "checkpoint"), TEXT, "Signed checkpoint of the change log"),
    ]
    if page.next is not None:
        own.append(link("next", links.here(request, since=str(page.next)), JSON, "Next page"))
    head = {"links": own, "type": type_name, "since": since, "size": state.size, "numberReturned": page.returned}
    body = b'%s,"changes":[%s]}' % (orjson.dumps(head)[:-1], page.changes.encode())
    headers = {**state.headers, "Content-Crs": f"<{output.uri}>", "Link": links.link_header(own)}
    return Response(body, headers=headers, media_type=JSON)
