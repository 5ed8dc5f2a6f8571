"""What a code or another published identifier names."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters
from api.access import caller_of
from api.links import GEOJSON, JSON, json_response, link, url
from api.routing import READ, Router
from api.site import site_of
from cim import codes
from cim.db.identifiers import Resolution
from cim.errors import NotFound

router = Router()


@router.route("/codes/{scheme_name}/{value:path}", READ)
def resolve(request: Request, scheme_name: str, value: str) -> Response:
    """Say which objects an identifier names today, however it is spelt, and through which supersessions."""
    parameters.read(request, [parameters.F_JSON])
    city = site_of(request).city
    scheme = codes.schemes(city.database.dictionary.codelists).get(scheme_name)
    canonical = value if scheme is None else scheme.check(value)
    # What is restricted is shown to whom sees all of it.
    caller = caller_of(request)
    found = [
        one
        for one in city.resolve(canonical, scheme=scheme_name)
        if caller.sees(one.type) and caller.reading(one.type).role != "cim_district"
    ]
    if not found:
        if scheme is None:
            raise NotFound(f"no object here has an identifier of the scheme {scheme_name!r} and that value")
        raise NotFound(f"{scheme_name} {canonical} is a good code, but no object here has or had it")
    document = {
        "scheme": scheme_name,
        "value": canonical,
        "objects": [_described(request, one) for one in found],
        "links": [
            link("self", links.here(request), JSON, "This code"),
            *(link("item", _item(request, one), GEOJSON, one.code) for one in found if one.live),
            *(link("version-history", f"{_item(request, one)}/history", JSON, one.code) for one in found),
        ],
    }
    return json_response(document, {"Cache-Control": "no-cache"})


def _item(request: Request, one: Resolution) -> str:
    return url(request, "collections", one.type, "items", one.code)


def _described(request: Request, one: Resolution) -> dict[str, Any]:
    return {
        "type": one.type,
        "code": one.code,
        "exists": one.live,
        "href": _item(request, one),
        "chain": [asdict(step) for step in one.chain],
        "identifiers": [asdict(row) for row in one.identifiers],
    }
