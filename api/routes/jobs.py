"""Jobs: what became of work that a client did not wait for (OGC API Processes 1.0, 7.11 to 7.14), and uploads."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api import pages, parameters
from api.access import Caller, caller_of
from api.body import check_declared
from api.errors import EXCEPTIONS, problem
from api.links import JSON, json_response, link, url
from api.parameters import Parameter
from api.routing import READ, Router
from api.site import Site, rfc3339, site_of
from api.work import uploads
from cim import crs
from cim.db import jobs
from cim.db.jobs import Job, Kind, Status
from cim.errors import CimError, InvalidData, NotFound

router = Router()

MAX_UPLOAD_BYTES = 2 << 30
_PATIENCE = 60.0  # without a byte
_LONGEST = 3600.0  # for the whole file
_NAME = re.compile(r"[^\x00-\x1f/\\\x7f]{1,120}")
_MAPPING = re.compile(r"[A-Za-z0-9_-]{1,60}", re.ASCII)
MODES = ("upsert", "insert-only", "replace-layer")

NAME = Parameter("name", {"type": "string"}, "Name of the file; its ending tells the format.")
MAPPING = Parameter("mapping", {"type": "string"}, "Name of a mapping of the operator's, or of a published one.")
TYPE = Parameter("type", {"type": "string"}, "Feature type of layers that no mapping takes.")
CRS = Parameter("crs", {"type": "string"}, "CRS of layers that state none, as EPSG:4490.")
ASSUME_CRS = Parameter("assume-crs", {"type": "string"}, "CRS to take all layers for, whatever they state.")
MODE = parameters.choices("mode", "As `cim ingest --mode`.", *MODES, default="upsert")
TYPE_OF_JOB = parameters.several("type", "Only jobs of these types; there is one.", "process")
PROCESS = parameters.several("processID", "Only jobs of these processes.")
STATUS = parameters.several("status", "Only jobs that are so.", *get_args(Status))
CREATED = Parameter("datetime", {"type": "string"}, "Only jobs made then, or from start to end.", parameters.instants)
SHORTEST = parameters.seconds("minDuration", "Only jobs that ran, or have run so far, for so many seconds at least.")
LONGEST = parameters.seconds("maxDuration", "Only jobs that ran, or have run so far, for so many seconds at most.")
LISTING = (TYPE_OF_JOB, PROCESS, STATUS, CREATED, SHORTEST, LONGEST, parameters.MOST, parameters.F_JSON_OR_HTML)
INGEST = (NAME, MAPPING, TYPE, CRS, ASSUME_CRS, MODE)


async def submit(
    request: Request, kind: Kind, process: str, asked: dict[str, Any], number: uuid.UUID | None = None
) -> Response:
    """Queue a job and answer with it: 201, and where its status is.

    Raises
    ------
    Busy : the caller has as many open jobs as may be.
    """
    site, owner = site_of(request), caller_of(request).subject

    def write() -> Job:
        with site.city.database.engine.begin() as connection:
            return jobs.submit(connection, kind, process, asked, owner, number)

    job = await run_in_threadpool(write)
    site.worker.wake()
    headers = {"Location": url(request, "jobs", str(job.id)), "Cache-Control": "no-store"}
    if kind == "process":
        headers["Preference-Applied"] = "respond-async"
    return json_response(_status(request, job), headers, status=201)


@router.route("/jobs", READ)
def listed(request: Request) -> Response:
    """List the caller's jobs, newest first, as JSON or as a page. Those of everybody are not: the id opens them."""
    asked = parameters.read(request, LISTING)
    owner, found = caller_of(request).subject, []
    if owner is not None:
        most = min(asked.get("limit", parameters.MAX_LIMIT), parameters.MAX_LIMIT)
        with site_of(request).city.database.engine.connect() as connection:
            found = jobs.of_owner(
                connection,
                owner,
                most,
                processes=asked.get("processID"),
                statuses=asked.get("status"),
                created=asked.get("datetime", (None, None)),
                seconds=(asked.get("minDuration"), asked.get("maxDuration")),
            )
    form, shown = pages.form_of(request, asked), [_status(request, job) for job in found]
    own = pages.self_and_other(request, form, "Jobs")
    return _page(request, "Jobs", shown, own) if form == "html" else _told({"jobs": shown, "links": own})


@router.route("/jobs/{job_id}", READ)
def status(request: Request, job_id: str) -> Response:
    """Say how far a job is, as JSON or as a page."""
    form = pages.form_of(request, parameters.read(request, [parameters.F_JSON_OR_HTML]))
    shown = _status(request, _found(request, job_id))
    if form == "html":
        return _page(request, "Job", [shown], pages.self_and_other(request, form, "Job"))
    return _told(shown)


@router.route("/jobs/{job_id}/results", READ)
def results(request: Request, job_id: str) -> Response:
    """Give the results, as the process would have answered."""
    parameters.read(request, [])
    job = _found(request, job_id)
    if job.status == "failed":
        return problem(job.failure or 500, str(job.message), instance=request.url.path, headers=_NO_STORE)
    if job.status != "successful":
        kind = EXCEPTIONS + "result-not-ready"
        return problem(404, f"job {job.id} is {job.status}", kind=kind, instance=request.url.path, headers=_NO_STORE)
    with site_of(request).city.database.engine.connect() as connection:
        found = jobs.result_of(connection, job.id)
    return Response(found.content, headers=found.headers, media_type=found.media_type)


@router.route("/jobs/{job_id}", ["DELETE"])
def dismiss(request: Request, job_id: str) -> Response:
    """End a job, or forget its results."""
    parameters.read(request, [])
    job = _found(request, job_id)
    with site_of(request).city.database.engine.begin() as connection:
        return json_response(_status(request, jobs.dismiss(connection, job.id)), _NO_STORE)


# ---------------------------------------------------------------------- uploads


@router.route("/ingest", ["POST"])
async def ingest(request: Request) -> Response:
    """Take a file, the body of the request, into the city, as a job that does what `cim ingest` does."""
    caller, site = caller_of(request), site_of(request)
    if not caller.allows("*", "write") or caller.divisions is not None:
        raise caller.refusal("taking files in", "*:write, without a limit to divisions,")
    asked = parameters.read(request, INGEST)
    check_declared(request, MAX_UPLOAD_BYTES)
    name, options = await run_in_threadpool(_options, site, caller, asked)
    number = uuid.uuid4()
    folder = uploads(site.city.settings) / str(number)
    try:
        await _receive(request, folder, name)
        return await submit(request, "ingest", "ingest", {"name": name, "options": options}, number)
    except BaseException:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)
        raise


def _options(site: Site, caller: Caller, asked: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the file's name and the options of `cim ingest`.

    Raises
    ------
    InvalidData : the name, the mapping or a CRS is none. NotFound : there is no such type.
    """
    name = asked.get("name", "")
    if not _NAME.fullmatch(name) or name.startswith((".", "-")):
        raise InvalidData("name must be that of a file, such as roads.gpkg: /ingest?name=roads.gpkg")
    options = {"actor": caller.name, "mode": asked.get("mode", "upsert")}
    for option in ("crs", "assume-crs"):
        if option in asked:
            crs.parse(asked[option])
            options[option] = asked[option]
    if "type" in asked:
        options["type"] = site.city.database.dictionary.type(asked["type"]).name
    if "mapping" in asked:
        options["mapping"] = _mapping(site.city.settings.home / "mappings", asked["mapping"])
    return name, options


def _mapping(folder: Path, name: str) -> str:
    if not _MAPPING.fullmatch(name):
        raise InvalidData(f"mapping must be a name such as osm, got {name[:60]!r}")
    own = sorted(folder.glob(f"{name}.*"))
    return str(own[0]) if own else name


async def _receive(request: Request, folder: Path, name: str) -> None:
    """Write the body to a file and look whether a format reads it.

    Raises
    ------
    HTTPException : 408 where it stalls, 413 where it is too large. UnknownFormat : no format reads it.
    """
    await run_in_threadpool(folder.mkdir, parents=True, mode=0o700)
    received, latest = 0, anyio.current_time() + _LONGEST
    async with await anyio.open_file(folder / name, "wb") as file:
        stream = request.stream()
        while True:
            try:
                with anyio.fail_after(_PATIENCE):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise HTTPException(408, f"nothing of the file came for {_PATIENCE:g} s") from None
            if anyio.current_time() > latest:
                raise HTTPException(408, f"the file did not come within {_LONGEST:g} s")
            if chunk is None:
                break
            received += len(chunk)
            if received > MAX_UPLOAD_BYTES:
                raise HTTPException(413, f"the file has more than {MAX_UPLOAD_BYTES} bytes")
            await file.write(chunk)
    if not received:
        raise InvalidData("the body is empty; send the file as it is: curl --data-binary @roads.gpkg")
    await run_in_threadpool(_check_format, folder / name)


def _check_format(path: Path) -> None:
    # The formats are another package's, found as its commands are.
    for check in entry_points(group="cim.uploads"):
        try:
            check.load()(path)
        except CimError as error:
            raise InvalidData(str(error).replace(f"{path.parent}/", "")) from None


# ---------------------------------------------------------------------- one job

_NO_STORE = {"Cache-Control": "no-store"}
_TIMES = ("created", "started", "finished")


def _told(document: Mapping[str, Any]) -> Response:
    return json_response(document, {**_NO_STORE, "Vary": "Accept"})


def _page(request: Request, title: str, shown: list[dict[str, Any]], own: list[dict[str, str]]) -> Response:
    site = site_of(request)
    title = pages.words_of(request, site)(title)
    rows = [dict.fromkeys(("message", *_TIMES)) | job for job in shown]
    page = pages.render(request, site, "jobs.html", title=title, jobs=rows, times=_TIMES, links=own)
    page.headers.update(_NO_STORE)
    return page


def _found(request: Request, text: str) -> Job:
    """Return a job of the caller's, or one of everybody's.

    Raises
    ------
    NotFound : there is none, or it is another's.
    """
    try:
        number = uuid.UUID(text)
    except ValueError:
        raise NotFound(f"there is no job {text[:60]!r}") from None
    with site_of(request).city.database.engine.connect() as connection:
        job = jobs.find(connection, number)
    if job.owner not in (None, caller_of(request).subject):
        raise NotFound(f"there is no job {number}")
    return job


def _status(request: Request, job: Job) -> dict[str, Any]:
    own = [link("self", url(request, "jobs", str(job.id)), JSON, "This job")]
    if job.status == "successful":
        results = "http://www.opengis.net/def/rel/ogc/1.0/results"
        own.append(link(results, url(request, "jobs", str(job.id), "results"), JSON, "Results"))
    times = {name: getattr(job, name) for name in _TIMES}
    document = {
        "processID": job.process,
        "type": "process",
        "jobID": str(job.id),
        "status": job.status,
        "message": job.message,
        **{name: rfc3339(at) for name, at in times.items() if at is not None},
        "links": own,
    }
    return {name: value for name, value in document.items() if value is not None}
