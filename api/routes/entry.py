"""The way in: landing page, conformance, the API's own description, health."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api import links, pages, parameters
from api.access import caller_of
from api.conformance import classes
from api.links import HTML, JSON, OPENAPI_JSON, TEXT, json_response, link, url
from api.openapi import openapi_document
from api.routing import READ, Router
from api.site import site_of

router = Router()

TITLE = "City Information Model"
DESCRIPTION = "Coded city objects, their verifiable history, and renewal scenarios computed on them."


@router.route("/", READ)
def landing(request: Request) -> Response:
    """Say what there is, as JSON or as a page."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML])
    form = pages.form_of(request, asked)
    site = site_of(request)
    log = {"origin": site.city.settings.origin, "verifier": site.city.publisher.signer.verifier.to_text()}
    own = _landing_links(request, form)
    headers = {"Vary": "Accept", "Cache-Control": "no-cache"}
    if form == "json":
        document = {"title": TITLE, "description": DESCRIPTION, "links": own, "x-cim-log": log}
        return json_response(document, {**headers, "Link": links.link_header(own)})
    types = [one for name, one in site.city.database.dictionary.types.items() if caller_of(request).sees(name)]
    return pages.render(request, site, "landing.html", headers=headers, title=TITLE, links=own, types=types, log=log)


def _landing_links(request: Request, form: str) -> list[dict[str, str]]:
    forms = {"json": JSON, "html": HTML}
    other = "html" if form == "json" else "json"
    return [
        link("self", url(request, query={"f": form}), forms[form], "This page"),
        link("alternate", url(request, query={"f": other}), forms[other], f"This page as {other.upper()}"),
        link("service-doc", url(request, "api", query={"f": "html"}), HTML, "This API for readers"),
        link("service-desc", url(request, "api"), OPENAPI_JSON, "Description of this API (OpenAPI 3.0)"),
        link("conformance", url(request, "conformance"), JSON, "Standards it conforms to"),
        link(links.REL_CONFORMANCE, url(request, "conformance"), JSON, "Standards it conforms to"),
        link("data", url(request, "collections"), JSON, "Collections of city objects"),
        link(links.REL_FUNCTIONS, url(request, "functions"), JSON, "Functions that filters may call"),
        link(links.REL_CODELISTS, url(request, "codelists"), JSON, "Codelists"),
        link(links.REL_PROCESSES, url(request, "processes"), JSON, "Renewal scenarios"),
        link("related", url(request, "proposals"), JSON, "Recorded proposals"),
        link(links.REL_JOBS, url(request, "jobs"), JSON, "Jobs"),
        link("related", url(request, "log", "checkpoint"), TEXT, "Signed checkpoint of the change log"),
        link("status", url(request, "health"), JSON, "Health"),
    ]


@router.route("/conformance", READ)
def conformance(request: Request) -> Response:
    """List the conformance classes that hold."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML])
    site = site_of(request)
    document = {"conformsTo": classes(writing=site.writing(caller_of(request)))}
    return pages.answer(request, site, asked, document, "Conformance")


@router.route("/api", READ)
def api(request: Request) -> Response:
    """Give the OpenAPI document."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML])
    site = site_of(request)
    base = links.base_of(request)
    document = openapi_document(site.city.database.dictionary, base, writing=site.writing(caller_of(request)))
    if pages.form_of(request, asked, OPENAPI_JSON) == "json":
        return json_response(document, {"Vary": "Accept"}, media_type=OPENAPI_JSON)
    shared = document["components"]["parameters"]
    tags: dict[str, list[tuple[str, str, dict[str, Any]]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            named = [shared[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in operation["parameters"]]
            tags[operation["tags"][0]].append((verb, path, {**operation, "parameters": named}))
    return pages.render(request, site, "api.html", title="API", document=document, tags=list(tags.items()))


@router.route("/health", READ)
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
