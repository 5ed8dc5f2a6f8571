"""Create, replace, update and delete items: OGC API Features Part 4, every write through the change log.

For callers whose scopes allow it; where the deployment's `CIM_API_WRITE` says so, for whoever reaches the API.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api import parameters, preconditions, reference
from api.access import caller_of
from api.body import read_json
from api.links import GEOJSON, JSON, MERGE_PATCH, link, link_header, url
from api.routing import Router
from api.site import Site, State, site_of
from api.through import SAID_IN
from cim.db import record
from cim.db.record import Author, Written
from cim.errors import InvalidData, NotFound

router = Router()

_READING = "GET, HEAD, OPTIONS"
_MAX_WAIT = 10.0
_MAX_TEXT = 500


@router.route("/collections/{type_name}/items", ["OPTIONS"])
@router.route("/collections/{type_name}/items/{code:path}", ["OPTIONS"])
def options(request: Request, type_name: str, code: str | None = None) -> Response:
    """Say which methods there are."""
    site = site_of(request)
    site.city.database.dictionary.type(type_name)
    writing = "PUT, PATCH, DELETE" if code is not None else "POST"
    open_to = type_name not in SAID_IN and site.writing(caller_of(request), type_name)
    return Response(headers={"Allow": f"{_READING}, {writing}" if open_to else _READING})


@router.route("/collections/{type_name}/items", ["POST"])
async def create(request: Request, type_name: str) -> Response:
    """Create a feature."""
    site = _writable(request, type_name)
    feature = _object(await read_json(request, (GEOJSON, JSON)))
    written = await run_in_threadpool(record.create, site.city.database, type_name, feature, author_of(request, site))
    location = url(request, "collections", type_name, "items", written.code)
    return await _answer(request, site, type_name, written, 201, {"Location": location})


@router.route("/collections/{type_name}/items/{code:path}", ["PUT"])
async def replace(request: Request, type_name: str, code: str) -> Response:
    """Replace a feature."""
    return await _change(request, type_name, code, record.replace, (GEOJSON, JSON))


@router.route("/collections/{type_name}/items/{code:path}", ["PATCH"])
async def update(request: Request, type_name: str, code: str) -> Response:
    """Change parts of a feature."""
    return await _change(request, type_name, code, record.update, (MERGE_PATCH,))


async def _change(
    request: Request, type_name: str, code: str, write: Callable[..., Written], accepted: tuple[str, ...]
) -> Response:
    site = _writable(request, type_name)
    expected = _expected(request, site, type_name)
    document = _object(await read_json(request, accepted))
    written = await run_in_threadpool(
        write, site.city.database, type_name, checked_code(code), document, author_of(request, site), expected
    )
    return await _answer(request, site, type_name, written, 204)


@router.route("/collections/{type_name}/items/{code:path}", ["DELETE"])
async def remove(request: Request, type_name: str, code: str) -> Response:
    """Delete a feature; its history stays."""
    site = _writable(request, type_name)
    expected = _expected(request, site, type_name)
    written = await run_in_threadpool(
        record.remove, site.city.database, type_name, checked_code(code), author_of(request, site), expected
    )
    return await _answer(request, site, type_name, written, 204)


def _writable(request: Request, type_name: str) -> Site:
    site = site_of(request)
    site.city.database.dictionary.type(type_name)
    if type_name in SAID_IN:
        # Or a draft could be called merged that nobody judged or carried out.
        raise HTTPException(405, f"{type_name} is written by way of {url(request, 'proposals')}", {"Allow": _READING})
    if not site.writing(caller_of(request), type_name):
        detail = f"to everybody this API is read-only: CIM_API_WRITE is no; the scope {type_name}:write opens it"
        raise HTTPException(405, detail, {"Allow": _READING})
    parameters.read(request, [])
    return site


def _expected(request: Request, site: Site, type_name: str) -> record.Expected:
    expected = preconditions.expected(request, site.city.database.dictionary.type(type_name))
    if expected is None and site.city.settings.api_write == "if-match":
        raise HTTPException(428, "say by If-Match which revision is to change: the ETag it was read with")
    return expected


def author_of(request: Request, site: Site) -> Author:
    """Read who writes and why (percent-encoded UTF-8), and the CRS of the body's coordinates.

    Raises
    ------
    InvalidData : who or why is too long, or not printable; or there is no such CRS.
    """
    crs = request.headers.get("content-crs")
    given = reference.named(site.references, "Content-Crs", None if crs is None else crs.strip().strip("<>"))
    said = {}
    for name in ("CIM-Actor", "CIM-Reason"):
        said[name] = text = unquote(request.headers.get(name, ""))
        if len(text) > _MAX_TEXT or not text.isprintable():
            raise InvalidData(f"{name} must be at most {_MAX_TEXT} printable characters, percent-encoded UTF-8")
    caller = caller_of(request)
    # Who is known is not asked: what they say of themselves is put behind their name.
    actor = said["CIM-Actor"] or None
    if caller.subject is not None:
        actor = caller.name if actor is None else f"{caller.name}: {actor}"
    return Author(actor, said["CIM-Reason"] or None, given.srid, given.flip, caller.divisions)


def _object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InvalidData("the body must be one GeoJSON feature, or a merge patch of one")
    return document


def checked_code(code: str) -> str:
    """Return the code of a path.

    Raises
    ------
    NotFound : it holds what no code can.
    """
    if "\0" in code:
        raise NotFound(f"{code[:60]!r} is no code of any object")
    return code


async def _answer(
    request: Request, site: Site, type_name: str, written: Written, status: int, more: dict[str, str] | None = None
) -> Response:
    """Answer with the revision, and its leaf where it has one by the time the client is willing to wait (RFC 7240)."""
    item = ("collections", type_name, "items", written.code)
    feature_type = site.city.database.dictionary.type(type_name)
    headers = {"CIM-Revision": str(written.rev), **(more or {})}
    headers["Link"] = link_header([link("version-history", url(request, *item, "history"), JSON)])
    if request.method != "DELETE":
        headers["ETag"] = preconditions.etag_of(written.rev, site.references[reference.CRS84], feature_type)
    leaf = await _leaf(request, site, type_name, written)
    if leaf is not None:
        headers["CIM-Leaf"] = str(leaf)
    state = State.live(await site.reader.live())
    return Response(status_code=status, headers={**state.headers, **headers})


async def _leaf(request: Request, site: Site, type_name: str, written: Written) -> int | None:
    asked = re.search(r"\bwait=(\d{1,4})\b", request.headers.get("prefer", ""), re.ASCII)
    until = time.monotonic() + (min(float(asked[1]), _MAX_WAIT) if asked else 0.0)
    while True:
        history = await run_in_threadpool(site.city.history, written.code, type_name=type_name)
        leaf = next((entry.leaf for entry in history if entry.rev == written.rev), None)
        if leaf is not None or time.monotonic() >= until:
            return leaf
        await asyncio.sleep(0.05)
