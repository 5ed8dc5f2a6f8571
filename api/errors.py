"""What the outside sees of an error: one table from class to status, and problem documents (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

import orjson
import psycopg
import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from cim.errors import (
    AuditFailed,
    Busy,
    CimError,
    Conflict,
    DatabaseError,
    Forbidden,
    InvalidData,
    NotFound,
    StaleRevision,
    Unreachable,
)
from cim.scenarios import scenarios

log = logging.getLogger("cim.api")

# Subclasses have their parent's status.
STATUS: Mapping[type[CimError], int] = {
    InvalidData: 400,
    NotFound: 404,
    DatabaseError: 503,
    Conflict: 409,
    StaleRevision: 412,
    Busy: 429,
    Forbidden: 403,
    AuditFailed: 500,
    CimError: 500,
}
RETRY_AFTER = "5"

# OGC API Processes 1.0 (18-062r2), requirements /req/core/process-exception/no-such-process and no-such-job.
EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
_TYPES = {"/processes/": EXCEPTIONS + "no-such-process", "/jobs/": EXCEPTIONS + "no-such-job"}


def status_of(error: CimError) -> int:
    """Return the HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(
    status: int, detail: str, *, kind: str = "about:blank", instance: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Return a problem document."""
    document = {
        "type": kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
    }
    # A path may hold half a character, which has no JSON.
    body = orjson.dumps(
        {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in document.items()}
    )
    return Response(body, status, headers=headers, media_type="application/problem+json")


def answer_of(scope: Scope, error: Exception) -> Response:
    """Return the problem document of any error; what we did not foresee is logged and told to nobody."""
    request = Request(scope)
    match error:
        case DatabaseError(__cause__=sa.exc.DBAPIError() as cause):  # what it says may name hosts, tables and users
            return answer_of(scope, cause)
        case Unreachable():
            return _busy(request, error)
        case CimError(__cause__=OSError()) if status_of(error) == HTTPStatus.INTERNAL_SERVER_ERROR:  # names folders
            return _defect(request, error)
        case CimError():
            return _foreseen(request, error)
        case HTTPException():
            return _refused(request, error)
        case sa.exc.TimeoutError() | sa.exc.OperationalError():  # no free connection, or a database that went away
            return _busy(request, error)
        case _:
            return _defect(request, error)


def _foreseen(request: Request, error: CimError) -> Response:
    status = status_of(error)
    headers = {"Retry-After": RETRY_AFTER} if status in (429, 503) else None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s %s: %s", request.method, request.url.path, error)
    return problem(status, str(error), kind=_kind(request, status), instance=request.url.path, headers=headers)


def _busy(request: Request, error: Exception) -> Response:
    log.error("%s %s: %s", request.method, request.url.path, error)
    detail = "the database is busy or away; try again"
    if isinstance(getattr(error, "orig", None), psycopg.errors.QueryCanceled):
        detail = "this takes longer than a client may wait for; have it done as a job, with Prefer: respond-async"
    return problem(503, detail, instance=request.url.path, headers={"Retry-After": RETRY_AFTER})


def _refused(request: Request, error: HTTPException) -> Response:
    details: dict[int, str] = {
        HTTPStatus.NOT_FOUND: f"there is no resource {request.url.path}; / links to all there are",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not possible on {request.url.path}",
    }
    generic = error.detail == HTTPStatus(error.status_code).phrase
    detail = details.get(error.status_code, error.detail) if generic else error.detail
    return problem(error.status_code, detail, instance=request.url.path, headers=error.headers)


def _defect(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = "the request met a defect of the server, which has been logged"
    return problem(500, detail, instance=request.url.path)


def _kind(request: Request, status: int) -> str:
    if status != HTTPStatus.NOT_FOUND:
        return "about:blank"
    # What an execution does not find may as well be the land that it asks about.
    if request.path_params.get("scenario_id") in scenarios():
        return "about:blank"
    return next((kind for prefix, kind in _TYPES.items() if request.url.path.startswith(prefix)), "about:blank")
