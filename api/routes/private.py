"""Personal data of an object, for whom a scope allows it; each read is recorded."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters
from api.access import caller_of
from api.links import GEOJSON, JSON, json_response, link, url
from api.routing import READ, Router
from api.site import site_of
from cim.db.access import Reading, read_as, read_private
from cim.errors import NotFound

router = Router()


@router.route("/collections/{type_name}/items/{code:path}/private", READ)
async def private(request: Request, type_name: str, code: str) -> Response:
    """Give the private fields of a feature as they are now. Who read them is recorded first."""
    parameters.read(request, [parameters.F_JSON])
    site, caller = site_of(request), caller_of(request)
    feature_type = site.city.database.dictionary.type(type_name)
    if caller.subject is None or not caller.allows(type_name, "private"):
        raise caller.refusal(f"reading private fields of {type_name}", f"{type_name}:private")
    if caller.divisions is not None:
        with read_as(Reading("cim_district", caller.divisions)):
            if await site.reader.item(type_name, code, None, site.storage.output) is None:
                raise NotFound(f"{type_name} {code} does not exist in the divisions of {caller.name}")
    values = await run_in_threadpool(
        read_private,
        site.city.database,
        feature_type,
        code,
        reader=f"{caller.subject} {caller.name}",
        request=request.scope["cim.request"],
    )
    own = [
        link("self", links.here(request), JSON, "Private fields"),
        link("item", url(request, "collections", type_name, "items", code), GEOJSON, "The feature"),
    ]
    document = {"type": type_name, "code": code, "private": values, "links": own}
    return json_response(document, {"Cache-Control": "no-store"})
