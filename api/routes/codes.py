"""What a code or another published identifier names."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters
from api.links import GEOJSON, JSON, json_response, link, url
from api.routes import READ
from api.site import site_of
from cim import codes
from cim.errors import NotFound

router = APIRouter()


@router.api_route("/codes/{scheme_name}/{value:path}", methods=READ)
def resolve(request: Request, scheme_name: str, value: str) -> Response:
    """Check a code by its scheme and say which objects it names, however it is spelt."""
    parameters.read(request, [parameters.F_JSON])
    canonical = codes.check(scheme_name, value)
    found = site_of(request).city.resolve_code(canonical)
    if not found:
        raise NotFound(f"{scheme_name} {canonical} is a good code, but no object here has it")
    document = {
        "scheme": scheme_name,
        "value": canonical,
        "objects": [
            {"type": one.type, "code": one.code, "href": url(request, "collections", one.type, "items", one.code)}
            for one in found
        ],
        "links": [
            link("self", links.here(request), JSON, "This code"),
            *(link("item", url(request, "collections", o.type, "items", o.code), GEOJSON, o.code) for o in found),
        ],
    }
    return json_response(document, {"Cache-Control": "no-cache"})
