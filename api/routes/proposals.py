"""Recorded proposals over HTTP: drawn up, revised, compared, rebased and merged, as `cim proposal` does it.

A proposal names objects of the whole city and is judged on all of it. So whoever draws one up runs processes, and no
division limits them; whoever merges it may write what it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import pages, parameters
from api.access import caller_of
from api.body import read_json
from api.inputs import check_vertices
from api.links import JSON, json_response, link, url
from api.openapi_schemas import record
from api.parameters import Parameter
from api.routes.editing import author_of, checked_code
from api.routing import READ, Router
from api.site import Site, site_of
from api.through import SAID_IN
from cim.errors import InvalidData
from cim.proposals import WRITES, Proposals

router = Router()

AGAINST = Parameter("against", {"type": "string"}, "Code of another proposal; default the state it is pinned to.")
_WORD: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
_DAY: dict[str, Any] = {"type": "string", "format": "date"}
_DRAWN: dict[str, Any] = {
    "interventions": {"type": "array", "items": record(["target", "action"], target=_WORD, action=_WORD)},
    "crs": {"oneOf": [_WORD, {"type": "integer"}], "default": "OGC:CRS84"},
}
_STATE: dict[str, Any] = {
    "oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "minLength": 1}],
    "description": "Tree size, RFC 3339 instant or signed checkpoint",
}
_JUDGED: dict[str, Any] = {
    "accept": {"type": "boolean", "default": False},
    "inputs": {"type": "object", "description": "More inputs of check-constraints, such as rule_pack and facts"},
}


# What each write takes as its body, as JSON Schema.
BODIES: Mapping[str, Mapping[str, Any]] = {
    name: record(required, **properties) | {"additionalProperties": False}
    for name, required, properties in (
        (
            "create",
            ["name", "interventions"],
            {"name": _WORD, **_DRAWN, "scope": _WORD, "author": _WORD, "as_of": _STATE},
        ),
        ("revise", ["interventions"], _DRAWN),
        ("rebase", [], {"as_of": _STATE, **_JUDGED}),
        ("merge", ["permit", "effective_on"], {"permit": _WORD, "effective_on": _DAY, **_JUDGED}),
        ("withdraw", ["reason"], {"reason": _WORD}),
    )
}


@router.route("/proposals", READ)
def listed(request: Request) -> Response:
    """List the recorded proposals, by code, as JSON or as a page."""
    form = pages.form_of(request, parameters.read(request, [parameters.F_JSON_OR_HTML]))
    site = _readable(request, SAID_IN)
    found = _proposals(site).records()
    own = pages.self_and_other(request, form, "Proposals")
    if form == "html":
        title = pages.words_of(request, site)("Recorded proposals")
        columns = pages.columns(site.city.database.dictionary.type("proposal"), found)
        return pages.render(request, site, "proposals.html", title=title, proposals=found, columns=columns, links=own)
    described = [one | {"links": _links(request, one["code"])} for one in found]
    return json_response({"proposals": described, "links": own}, {**_NO_CACHE, "Vary": "Accept"})


@router.route("/proposals/{code}", READ)
def one(request: Request, code: str) -> Response:
    """Give a proposal: its record, its interventions as processes take them, and their digest."""
    parameters.read(request, [parameters.F_JSON])
    return _document(request, _readable(request, SAID_IN), checked_code(code))


@router.route("/proposals/{code}/diff", READ)
def diff(request: Request, code: str) -> Response:
    """Say object by object what a proposal changes."""
    asked = parameters.read(request, [AGAINST, parameters.F_JSON])
    site = _readable(request, (*SAID_IN, *WRITES, "parcel"))
    changes = _proposals(site).diff(checked_code(code), asked.get("against"))
    return json_response({"changes": changes}, _NO_CACHE)


@router.route("/proposals", ["POST"])
async def create(request: Request) -> Response:
    """Record a proposal over a state of the city."""

    def write(proposals: Proposals, body: dict[str, Any], said: dict[str, Any]) -> str:
        return proposals.create(body.pop("name"), body.pop("interventions"), **body, **said)

    site, code = await _write(request, "create", write)
    return await run_in_threadpool(_document, request, site, code, 201)


@router.route("/proposals/{code}", ["PUT"])
async def revise(request: Request, code: str) -> Response:
    """Put other interventions in the place of a draft's."""
    site, _ = await _write(
        request, "revise", lambda proposals, body, said: proposals.revise(checked_code(code), **body, **said)
    )
    return await run_in_threadpool(_document, request, site, code)


@router.route("/proposals/{code}/rebase", ["POST"])
async def rebase(request: Request, code: str) -> Response:
    """Pin a draft to another state, and name what stands against that; `done` says whether it was carried out."""
    _, found = await _write(
        request, "rebase", lambda proposals, body, said: proposals.rebase(checked_code(code), **body, **said)
    )
    return json_response(asdict(found), _NO_CACHE)


@router.route("/proposals/{code}/merge", ["POST"])
async def merge(request: Request, code: str) -> Response:
    """Write an approved draft into the city, dated, with the permit as the reason."""

    def write(proposals: Proposals, body: dict[str, Any], said: dict[str, Any]) -> Any:
        day = date.fromisoformat(body.pop("effective_on"))
        return proposals.merge(checked_code(code), effective_on=day, **body, actor=said["actor"])

    _, found = await _write(request, "merge", write, WRITES)
    return json_response(asdict(found), _NO_CACHE)


@router.route("/proposals/{code}/withdrawal", ["POST"])
async def withdraw(request: Request, code: str) -> Response:
    """Withdraw a draft; it stays readable."""
    site, _ = await _write(
        request,
        "withdraw",
        lambda proposals, body, said: proposals.withdraw(checked_code(code), **body, actor=said["actor"]),
    )
    return await run_in_threadpool(_document, request, site, code)


_NO_CACHE = {"Cache-Control": "no-cache"}


def _proposals(site: Site) -> Proposals:
    """Return the proposals over the connections of what clients wait for."""
    return Proposals(site.waited_for)


def _readable(request: Request, types: Iterable[str]) -> Site:
    """Return the site for who may read all of some collections.

    Raises
    ------
    HTTPException : 401 or 403, the caller may not.
    """
    caller = caller_of(request)
    for name in types:
        if not caller.sees(name) or caller.reading(name).role == "cim_district":
            raise caller.refusal("reading proposals", f"{name}:read, without a limit to divisions,")
    return site_of(request)


async def _write(
    request: Request,
    what: str,
    write: Callable[[Proposals, dict[str, Any], dict[str, Any]], Any],
    more: Iterable[str] = (),
) -> tuple[Site, Any]:
    """Return the site, and what a write gave that takes the body BODIES has for it, and who writes and why.

    Raises
    ------
    HTTPException : 401, 403 or 405, the caller may not write proposals, or `more` types. InvalidData : another body.
    """
    site, caller = site_of(request), caller_of(request)
    for name in (*SAID_IN, *more):
        stated = site.city.settings.api_write == "if-match" and not caller.allows(name, "write")
        if stated or not site.writing(caller, name) or caller.divisions is not None:
            raise caller.refusal("writing proposals", f"{name}:write, without a limit to divisions,")
    parameters.read(request, [])
    body = _checked(what, await read_json(request))
    author = author_of(request, site)
    said = {"actor": author.actor, "reason": author.reason}
    return site, await run_in_threadpool(write, _proposals(site), body, said)


def _checked(what: str, body: Any) -> dict[str, Any]:
    from jsonschema import Draft202012Validator  # slow to load
    from jsonschema.exceptions import best_match

    checker = Draft202012Validator(BODIES[what], format_checker=Draft202012Validator.FORMAT_CHECKER)
    error = best_match(checker.iter_errors(body))
    if error is not None:
        raise InvalidData(f"body: {error.json_path.removeprefix('$.')}: {error.message[:200]}")
    for name, value in body.items():
        check_vertices(name, value)
    return dict(body)


def _document(request: Request, site: Site, code: str, status: int = 200) -> Response:
    found = _proposals(site).get(code)
    headers = _NO_CACHE | ({"Location": url(request, "proposals", code)} if status == 201 else {})
    return json_response(found | {"links": _links(request, code)}, headers, status=status)


def _links(request: Request, code: str) -> list[dict[str, str]]:
    return [
        link("self", url(request, "proposals", code), JSON, "The proposal"),
        link("related", url(request, "proposals", code, "diff"), JSON, "What it changes, object by object"),
        link("version-history", url(request, "collections", "proposal", "items", code, "history"), JSON, "Its history"),
    ]
