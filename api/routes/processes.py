"""Scenarios as processes, executed while the client waits (OGC API Processes 1.0)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters
from api.body import read_json
from api.links import JSON, json_response, link, url
from api.routes import READ
from api.site import site_of
from cim import scenarios
from cim.errors import InvalidData, NotFound

router = APIRouter()

_MEMBERS = ("inputs", "outputs", "response", "subscriber")
MEDIA = {"json": JSON, **{name: form.media_type for name, form in scenarios.FORMATS.items()}}
MAX_BYTES = 16 << 20  # an assessment to verify is a body, with all the objects that its result lists
_QUALIFIED = {"value", "mediaType", "encoding", "schema"}


@router.api_route("/processes", methods=READ)
def processes(request: Request) -> Response:
    """List the scenarios."""
    parameters.read(request, [parameters.F_JSON])
    summary = ("id", "version", "title", "x-cim-title-zh", "description", "jobControlOptions", "outputTransmission")
    described = [scenarios.describe(scenario) for scenario in scenarios.scenarios().values()]
    document = {
        "processes": [
            {
                **{name: one[name] for name in summary if name in one},
                "links": [link("self", url(request, "processes", one["id"]), JSON, one["title"])],
            }
            for one in described
        ],
        "links": [link("self", links.here(request), JSON, "Processes")],
    }
    return json_response(document)


@router.api_route("/processes/{scenario_id}", methods=READ)
def process(request: Request, scenario_id: str) -> Response:
    """Describe one scenario: its inputs, its outputs, a worked example."""
    parameters.read(request, [parameters.F_JSON])
    described = scenarios.describe(scenarios.scenario(scenario_id))
    own = [
        link("self", url(request, "processes", scenario_id), JSON, described["title"]),
        link(links.REL_EXECUTE, url(request, "processes", scenario_id, "execution"), JSON, "Execute"),
    ]
    return json_response({**described, "links": own})


@router.post("/processes/{scenario_id}/execution")
async def execution(request: Request, scenario_id: str) -> Response:
    """Compute a scenario, as JSON or in another format. The same inputs on the same state give the same bytes."""
    asked_for = parameters.read(request, [parameters.f_of(MEDIA)]).get("f")
    form = asked_for or links.preferred(request.headers.get("accept", ""), MEDIA)
    scenarios.scenario(scenario_id)
    inputs, wanted, raw = _asked(await read_json(request, most=MAX_BYTES))
    city = site_of(request).city
    document = await run_in_threadpool(city.scenario, scenario_id, **inputs)
    unknown = [name for name in wanted if name not in document]
    if unknown:
        raise InvalidData(f"{scenario_id} has no output {', '.join(unknown)}; it has {', '.join(document)}")
    seal = document["assessment"]
    headers = {
        "CIM-State": "pinned",
        "CIM-Tree-Size": str(seal["tree_size"]),
        "CIM-Tree-Root": seal["root"],
        "Cache-Control": "no-cache",
        "Vary": "Accept",
    }
    if form != "json" and not _is_file(document["result"]):
        content = await run_in_threadpool(scenarios.render, city.database, [document], form)
        return Response(content, headers=headers, media_type=MEDIA[form])
    if raw and wanted == ["result"] and _is_file(document["result"]):
        return _file(document["result"], headers)
    answer = document[wanted[0]] if raw else {name: document[name] for name in wanted or document}
    return Response(scenarios.canonical(answer), headers=headers, media_type=JSON)


def _is_file(result: Mapping[str, Any]) -> bool:
    """Tell whether a result is itself a file, with its media type, encoding and content."""
    return {"media_type", "encoding", "content"} <= result.keys()


def _file(result: Mapping[str, str], headers: Mapping[str, str]) -> Response:
    content = result["content"].encode()
    if result["encoding"] == "base64":
        content = base64.b64decode(content)
    return Response(content, headers=headers, media_type=result["media_type"])


def _asked(body: Any) -> tuple[dict[str, Any], list[str], bool]:
    """Return the inputs, the outputs wanted (none for all), and whether the one output is wanted bare."""
    if not isinstance(body, dict):
        raise InvalidData('the body must be an object such as {"inputs": {…}}')
    unknown = [name for name in body if name not in _MEMBERS]
    if unknown:
        raise InvalidData(f"the body has no member {unknown[0][:60]!r}; it has {', '.join(_MEMBERS)}")
    inputs, outputs = body.get("inputs", {}), body.get("outputs", {})
    if not isinstance(inputs, dict) or not isinstance(outputs, dict):
        raise InvalidData("inputs and outputs must be objects")
    if "subscriber" in body:
        raise InvalidData("subscriber: no addresses are called back; leave it out, the answer comes at once")
    raw = body.get("response", "document") == "raw"
    if body.get("response", "document") not in ("raw", "document"):
        raise InvalidData("response must be raw or document")
    if raw and len(outputs) != 1:
        raise InvalidData("response raw needs exactly one of the outputs named; ask for document")
    return {name: _plain(value) for name, value in inputs.items()}, list(outputs), raw


def _plain(value: Any) -> Any:
    """Return a qualified value (`{"value": …, "mediaType": …}`) bare."""
    return value["value"] if isinstance(value, dict) and "value" in value and value.keys() <= _QUALIFIED else value


@router.api_route("/jobs/{job_id}", methods=READ)
@router.api_route("/jobs/{job_id}/results", methods=READ)
def job(job_id: str) -> Response:
    """Answer for jobs, of which there are none: every process answers at once."""
    raise NotFound(f"there is no job {job_id[:60]!r}; processes answer at once")
