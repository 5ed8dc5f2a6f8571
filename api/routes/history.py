"""The history of an item: every revision, and for people what each of them changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api import links, pages, parameters
from api.links import GEOJSON, JSON, json_response, link, url
from api.routes.features import as_code
from api.routing import READ, Router
from api.site import State, rfc3339, site_of
from cim.db.history import Entry
from cim.dictionary import FeatureType
from cim.errors import NotFound

router = Router()


@router.route("/collections/{type_name}/items/{code:path}/history", READ)
def history(request: Request, type_name: str, code: str) -> Response:
    """Give every revision of a feature, oldest first; as of a tree size, those the log had by then."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML, parameters.AS_OF])
    site = site_of(request)
    feature_type = site.city.database.dictionary.type(type_name)
    head = site.city.tree_head(asked.get("as-of"))
    pinned = State.pinned(head, fixed=asked.get("as-of", "").isdecimal()) if "as-of" in asked else None
    entries = site.city.history(as_code(code), type_name=type_name)
    if pinned is not None:
        entries = [entry for entry in entries if entry.leaf is not None and entry.leaf < pinned.size]
        if not entries:
            raise NotFound(f"{type_name} {code} was not recorded yet at tree size {pinned.size}")
    # What was written since the head was asked for may have its leaf by now.
    ahead = any(entry.leaf is None or entry.leaf >= head.size for entry in entries)
    state = pinned or State(head.size, head.root, head.at, "ahead" if ahead else "current")
    if pages.form_of(request, asked) == "html":
        return _page(request, feature_type, code, state, entries)
    document = {
        "links": [
            link("self", links.here(request), JSON, "History"),
            link("item", url(request, "collections", type_name, "items", code), GEOJSON, "The feature"),
        ],
        "revisions": [
            {
                "rev": entry.rev,
                "op": entry.op,
                "at": rfc3339(entry.at),
                "by": entry.actor,
                "reason": entry.reason,
                "dataset": entry.dataset,
                "leaf": entry.leaf,
                "body": entry.body,
            }
            for entry in entries
        ],
    }
    return json_response(document, {**state.headers, "Vary": "Accept"})


def _page(request: Request, feature_type: FeatureType, code: str, state: State, entries: Sequence[Entry]) -> Response:
    """Show the revisions, the latest first, each with what it changed."""
    site = site_of(request)
    words = pages.words_of(request, site)
    before: Mapping[str, Any] | None = None
    revisions = []
    for entry in entries:
        # The first one changes everything, and one that ends the object nothing that is left.
        both = before is not None and entry.body is not None
        changed = pages.changed(words, request, feature_type, before or {}, entry.body or {}) if both else []
        revisions.append((entry, changed))
        before = entry.body
    return pages.render(
        request,
        site,
        "history.html",
        headers=state.headers,
        title=f"{words('History')}: {code}",
        type=feature_type,
        code=code,
        state=state,
        revisions=revisions[::-1],
        links=pages.self_and_other(request, "html", "History"),
    )
