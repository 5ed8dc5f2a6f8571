"""The way in: landing page, conformance, the API's own description, health."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters
from api.access import caller_of
from api.conformance import classes
from api.links import HTML, JSON, OPENAPI_JSON, TEXT, json_response, link, url
from api.openapi import openapi_document
from api.routes import READ
from api.site import site_of

router = APIRouter()

TITLE = "City Information Model"
DESCRIPTION = "Coded city objects, their verifiable history, and renewal scenarios computed on them."
_CSP = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
_pages = Environment(loader=FileSystemLoader(Path(__file__).parents[1] / "templates"), autoescape=True)


@router.api_route("/", methods=READ)
def landing(request: Request) -> Response:
    """Say what there is, as JSON or as a page."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML])
    form = asked.get("f") or links.preferred(request.headers.get("accept", ""), {"json": JSON, "html": HTML})
    site = site_of(request)
    log = {"origin": site.city.settings.origin, "verifier": site.city.publisher.signer.verifier.to_text()}
    own = _landing_links(request, form)
    headers = {"Vary": "Accept", "Cache-Control": "no-cache"}
    if form == "json":
        document = {"title": TITLE, "description": DESCRIPTION, "links": own, "x-cim-log": log}
        return json_response(document, {**headers, "Link": links.link_header(own)})
    types = [
        (feature_type, url(request, "collections", feature_type.name, "items"))
        for feature_type in site.city.database.dictionary.types.values()
        if caller_of(request).sees(feature_type.name)
    ]
    page = _pages.get_template("landing.html").render(
        title=TITLE, description=DESCRIPTION, links=own, types=types, log=log
    )
    return Response(page, headers={**headers, "Content-Security-Policy": _CSP}, media_type=HTML)


def _landing_links(request: Request, form: str) -> list[dict[str, str]]:
    forms = {"json": JSON, "html": HTML}
    other = "html" if form == "json" else "json"
    return [
        link("self", url(request, query={"f": form}), forms[form], "This page"),
        link("alternate", url(request, query={"f": other}), forms[other], f"This page as {other.upper()}"),
        link("service-desc", url(request, "api"), OPENAPI_JSON, "Description of this API (OpenAPI 3.0)"),
        link("conformance", url(request, "conformance"), JSON, "Standards it conforms to"),
        link(links.REL_CONFORMANCE, url(request, "conformance"), JSON, "Standards it conforms to"),
        link("data", url(request, "collections"), JSON, "Collections of city objects"),
        link(links.REL_PROCESSES, url(request, "processes"), JSON, "Renewal scenarios"),
        link("related", url(request, "log", "checkpoint"), TEXT, "Signed checkpoint of the change log"),
        link("status", url(request, "health"), JSON, "Health"),
    ]


@router.api_route("/conformance", methods=READ)
def conformance(request: Request) -> Response:
    """List the conformance classes that hold."""
    parameters.read(request, [parameters.F_JSON])
    return json_response({"conformsTo": classes(writing=site_of(request).writing(caller_of(request)))})


@router.api_route("/api", methods=READ)
def api(request: Request) -> Response:
    """Give the OpenAPI document."""
    parameters.read(request, [parameters.F_JSON])
    site = site_of(request)
    base = str(request.base_url).rstrip("/")
    document = openapi_document(site.city.database.dictionary, base, writing=site.writing(caller_of(request)))
    return json_response(document, media_type=OPENAPI_JSON)


@router.api_route("/health", methods=READ)
async def health(request: Request) -> Response:
    """Say whether the database answers and the log follows; 503 where the database does not."""
    parameters.read(request, [parameters.F_JSON])
    site = site_of(request)
    live = await site.reader.live()
    document: dict[str, Any] = {
        "status": "ok" if site.sequencing.failure is None else "degraded",
        "tree_size": live.size,
        "tree_root": live.root.hex(),
        "ahead": live.ahead,
        "sequencing": site.sequencing.failure or "ok",
    }
    return json_response(document, {"Cache-Control": "no-store"})
