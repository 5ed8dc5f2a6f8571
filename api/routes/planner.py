"""The planner's map page, and the library that draws it: from the wheel it comes in, not from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from api import pages, parameters
from api.access import caller_of
from api.links import url
from api.pages import POLICY, Words
from api.routing import READ, Router
from api.site import Site, site_of
from api.through import SAID_IN
from api.tileset import SCHEME
from cim.dictionary import FeatureType
from cim.errors import NotFound

router = Router()

# MapLibre takes tiles apart in workers that it makes from its own text, and draws patterns from such text too.
_POLICY = f"{POLICY}; worker-src blob:".replace("img-src 'self' data:", "img-src 'self' data: blob:")
_LIBRARY = {"maplibre-gl.js": "text/javascript", "maplibre-gl.css": "text/css"}
# What buildings are coloured by besides codelists: the lower ends of classes (design).
_STEPS: Mapping[str, tuple[int, ...]] = {
    "year_built": (0, 1980, 1990, 2000, 2010),
    "storeys_above": (0, 4, 7, 10, 19),
    "height": (0, 12, 24, 54, 100),
}
_ACTIONS = {
    "keep": "keep",
    "repair": "repair",
    "retrofit": "retrofit",
    "add_lift": "add a lift",
    "add_gas": "add gas",
    "extend": "extend",
    "change_use": "change its use",
    "demolish": "demolish",
    "rebuild": "rebuild",
    "new_build": "new building",
    "new_facility": "new public service",
    "new_green": "new green space",
    "new_road": "new road",
}
# Renewal begins with how old and how safe a building is.
_FIRST = ("danger_grade", "year_built", "usage", "structure")
_SAID = {
    "unknown": "not known",
    "details": "Details",
    "history": "History",
    "proof": "Proof",
    "choose": "Choose this area",
    "none": "none",
    "drawing": "Click the corners; a double click closes the area, Escape gives up.",
    "drawn": "the area drawn",
    "where": "Choose a renewal district or draw an area first.",
    "computing": "Computing…",
    "save": "Save with its seal",
    "report": "Report",
    "proposal": "Proposal",
    "intervene": "Do something here",
    "add": "Add to the proposal",
    "drop": "Leave it out",
    "outside": "Targets off this land, not counted",
    "recorded": "Recorded as",
    "sealed": "Computed on tree size",
    "known": "of which known: {known} of {all}",
    "why": "Why",
    "more": "and {number} more",
}


@router.route("/map", READ)
async def planner(request: Request) -> Response:
    """Show the page."""
    parameters.read(request, [])
    site = site_of(request)
    words = pages.words_of(request, site)
    extents = await site.reader.extents()
    seen = caller_of(request).sees
    types = [
        one for name, one in site.city.database.dictionary.types.items() if one.geometry is not None and seen(name)
    ]
    colours = _colours(site, words)
    bounds = extents.get("renewal_district") or next((found for found in extents.values() if found), None)
    config = {
        "bounds": bounds or (-180, -60, 180, 75),
        "tiles": f"{url(request, 'collections')}/{{type}}/tiles/{SCHEME}",
        "collections": url(request, "collections"),
        "processes": url(request, "processes"),
        "proposals": url(request, "proposals"),
        "proof": url(request, "log", "proof"),
        "types": [{"name": one.name, "geometry": str(one.geometry)} for one in types],
        "titles": {one.name: _titles(site, words, one) for one in types},
        "colours": colours,
        "words": {name: words(text) for name, text in _SAID.items()}
        | {"actions": {name: words(text) for name, text in _ACTIONS.items()}},
    }
    shown = [{"name": one.name, "title": words.title(one)} for one in types]
    text = orjson.dumps(config).decode()
    title = words("Renewal planner")
    records = all(site.writing(caller_of(request), name) for name in SAID_IN)
    page = pages.render(
        request, site, "map.html", title=title, config=text, colours=colours, types=shown, records=records
    )
    page.headers["Content-Security-Policy"] = _POLICY
    return page


@router.route("/map/{name}", READ)
def library(request: Request, name: str) -> Response:
    """Give a file of MapLibre GL JS."""
    parameters.read(request, [])
    if name not in _LIBRARY:
        raise NotFound(f"there is no {name[:60]!r} here; there are {', '.join(_LIBRARY)}")
    headers = {"Cache-Control": "public, max-age=86400"}
    return FileResponse(_library() / name, media_type=_LIBRARY[name], headers=headers)


@cache
def _library() -> Path:
    """Return the folder of the files, without loading the package they come in."""
    found = find_spec("maplibre")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "srcjs"


def _titles(site: Site, words: Words, feature_type: FeatureType) -> dict[str, Any]:
    codelists = site.city.database.dictionary.codelists
    return {
        prop.name: {"title": words.label(prop)}
        | ({} if prop.codelist is None else {"values": _values(words, codelists[prop.codelist].values)})
        for prop in feature_type.public_properties
    }


def _values(words: Words, values: Mapping[str, Any]) -> dict[str, str]:
    return {name: one.title_zh if words.language == "zh" else one.title for name, one in values.items()}


def _colours(site: Site, words: Words) -> list[dict[str, Any]]:
    dictionary = site.city.database.dictionary
    found: list[dict[str, Any]] = []
    for prop in dictionary.type("building").public_properties:
        if prop.codelist is not None:
            values = _values(words, dictionary.codelists[prop.codelist].values)
            found.append({"name": prop.name, "title": words.title(prop), "values": values})
        elif prop.name in _STEPS:
            found.append({"name": prop.name, "title": words.label(prop), "stops": list(_STEPS[prop.name])})
    place = {name: number for number, name in enumerate(_FIRST)}
    return sorted(found, key=lambda one: place.get(one["name"], len(place)))
