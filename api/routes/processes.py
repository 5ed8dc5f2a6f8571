"""Scenarios as processes, executed while the client waits or as jobs (OGC API Processes 1.0)."""

from __future__ import annotations

import re
from dataclasses import asdict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import links, parameters
from api.body import read_json
from api.execution import MEDIA, asked, compute
from api.links import JSON, json_response, link, url
from api.routes.jobs import submit
from api.routing import READ, Router
from api.site import site_of
from cim import scenarios

router = Router()

MAX_BYTES = 16 << 20  # an assessment to verify is a body, with all the objects that its result lists
_ASYNC = re.compile(r"(^|[,;\s])respond-async\b", re.IGNORECASE)


@router.route("/processes", READ)
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


@router.route("/processes/{scenario_id}", READ)
def process(request: Request, scenario_id: str) -> Response:
    """Describe one scenario: its inputs, its outputs, a worked example."""
    parameters.read(request, [parameters.F_JSON])
    described = scenarios.describe(scenarios.scenario(scenario_id))
    own = [
        link("self", url(request, "processes", scenario_id), JSON, described["title"]),
        link(links.REL_EXECUTE, url(request, "processes", scenario_id, "execution"), JSON, "Execute"),
    ]
    return json_response({**described, "links": own})


@router.route("/processes/{scenario_id}/execution", ["POST"])
async def execution(request: Request, scenario_id: str) -> Response:
    """Compute a scenario, as JSON or in another format, or queue it where the client prefers not to wait."""
    form = parameters.read(request, [parameters.f_of(MEDIA)]).get("f")
    form = form or links.preferred(request.headers.get("accept", ""), MEDIA)
    scenarios.scenario(scenario_id)
    what = asked(await read_json(request, most=MAX_BYTES), form)
    if _ASYNC.search(request.headers.get("prefer", "")):
        return await submit(request, "process", scenario_id, asdict(what))
    result = await run_in_threadpool(compute, site_of(request).waited_for, scenario_id, what)
    return Response(result.content, headers=result.headers, media_type=result.media_type)
