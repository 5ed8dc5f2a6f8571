"""What words mean here: codelists, and the functions that filters may call."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api import links, pages, parameters
from api.links import JSON, link, url
from api.routing import READ, Router
from api.site import site_of
from cim.db.cql2_functions import FUNCTIONS
from cim.dictionary import Codelist
from cim.errors import NotFound

router = Router()

# How CQL2 names the kinds of arguments (OGC 19-079r2, schema of /functions).
_ARGUMENTS = {"geometry": ["geometry"], "time": ["datetime"], "string": ["string"]}


@router.route("/functions", READ)
def functions(request: Request) -> Response:
    """List the functions that filters may call, beyond those of CQL2 itself."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML])
    document = {
        "functions": [
            {
                "name": one.name,
                "description": one.description,
                "arguments": [{"title": one.argument, "type": _ARGUMENTS[one.argument]}],
                "returns": [one.returns],
            }
            for one in FUNCTIONS.values()
        ],
        "links": [link("self", links.here(request), JSON, "Functions")],
    }
    return pages.answer(request, site_of(request), asked, document, "Functions")


@router.route("/codelists", READ)
def codelists(request: Request) -> Response:
    """List the codelists."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML])
    site = site_of(request)
    document = {
        "codelists": [
            {**_about(one), "links": [link("self", url(request, "codelists", one.name), JSON, one.title)]}
            for one in site.city.database.dictionary.codelists.values()
        ],
        "links": [link("self", links.here(request), JSON, "Codelists")],
    }
    return pages.answer(request, site, asked, document, "Codelists")


@router.route("/codelists/{name}", READ)
def codelist(request: Request, name: str) -> Response:
    """Give a codelist: its values with their titles in English and Chinese, and how sure they are."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML])
    site = site_of(request)
    found = site.city.database.dictionary.codelists.get(name)
    if found is None:
        there_are = ", ".join(site.city.database.dictionary.codelists)
        raise NotFound(f"there is no codelist {name[:60]!r}; there are {there_are}")
    values = [
        {
            "value": one.value,
            "title": one.title,
            "title-zh": one.title_zh,
            "confidence": one.confidence,
            "mappings": dict(one.mappings),
            **({} if one.source == found.source else {"source": one.source}),
        }
        for one in found.values.values()
    ]
    own = [link("self", links.here(request), JSON, found.title)]
    return pages.answer(request, site, asked, {**_about(found), "values": values, "links": own}, found.title)


def _about(one: Codelist) -> dict[str, Any]:
    return {
        "id": one.name,
        "title": one.title,
        "title-zh": one.title_zh,
        "source": one.source,
        "confidence": one.confidence,
    }
