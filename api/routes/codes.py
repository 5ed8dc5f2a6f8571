"""What a code or another published identifier names."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters
from api.access import caller_of
from api.links import GEOJSON, JSON, json_response, link, url
from api.routing import READ, Router
from api.site import Site, State, site_of
from cim import codes
from cim.db.identifiers import Resolution
from cim.db.live import Live
from cim.errors import NotFound

router = Router()


@router.route("/codes/{scheme_name}/{value:path}", READ)
async def resolve(request: Request, scheme_name: str, value: str) -> Response:
    """Say which objects an identifier names, however it is spelt, and through which supersessions.

    Today, or by what the log had at `as-of`, on the day of it.
    """
    asked = parameters.read(request, [parameters.F_JSON, parameters.AS_OF])
    site = site_of(request)
    city = site.city
    scheme = codes.schemes(city.database.dictionary.codelists).get(scheme_name)
    canonical = value if scheme is None else scheme.check(value)
    pinned = await site.pinned(asked.get("as-of"))
    before = await site.reader.live()
    size = None if pinned is None else pinned.size
    resolved = await run_in_threadpool(city.resolve, canonical, scheme=scheme_name, as_of=size)
    state = pinned or await _live(site, before)
    # What is restricted is shown to whom sees all of it.
    caller = caller_of(request)
    found = [one for one in resolved if caller.sees(one.type) and caller.reading(one.type).role != "cim_district"]
    if not found:
        when = "" if pinned is None else f" at tree size {pinned.size}"
        if scheme is None:
            raise NotFound(f"no object here has an identifier of the scheme {scheme_name!r} and that value{when}")
        raise NotFound(f"{scheme_name} {canonical} is a good code, but no object here has or had it{when}")
    document = {
        "scheme": scheme_name,
        "value": canonical,
        "objects": [_described(request, one) for one in found],
        "links": [
            link("self", links.here(request), JSON, "This code"),
            *(link("item", _item(request, one), GEOJSON, one.code) for one in found if one.live),
            *(link("version-history", _item(request, one, "history"), JSON, one.code) for one in found),
        ],
    }
    return json_response(document, state.headers)


async def _live(site: Site, before: Live) -> State:
    """Return the state of what was read since: ahead of it where the city went on meanwhile."""
    return State.live(before if await site.reader.live() == before else replace(before, ahead=True))


def _item(request: Request, one: Resolution, *below: str) -> str:
    """Return the address of an object, or of what is below it, in the state that was asked for."""
    as_of = request.query_params.get("as-of")
    query = {} if as_of is None else {"as-of": as_of}
    return url(request, "collections", one.type, "items", one.code, *below, query=query)


def _described(request: Request, one: Resolution) -> dict[str, Any]:
    return {
        "type": one.type,
        "code": one.code,
        "exists": one.live,
        "href": _item(request, one),
        "chain": [asdict(step) for step in one.chain],
        "identifiers": [asdict(row) for row in one.identifiers],
    }
