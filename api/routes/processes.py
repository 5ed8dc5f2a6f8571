"""Scenarios as processes, executed while the client waits or as jobs (OGC API Processes 1.0)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import links, pages, parameters
from api.body import read_json
from api.execution import MEDIA, asked, compute
from api.inputs import MAX_BYTES, inline
from api.links import HTML, JSON, json_response, link, url
from api.pages import Words
from api.routes.jobs import submit
from api.routing import READ, Router
from api.site import site_of
from cim import scenarios

router = Router()

LISTING = (parameters.MOST, parameters.NEXT, parameters.F_JSON_OR_HTML)
_VARIES = {"Vary": "Accept"}
_END = re.compile(r"(?<=\.)\s|(?<=。)")  # of a sentence
_ASYNC = re.compile(r"(^|[,;\s])respond-async\b", re.IGNORECASE)


@router.route("/processes", READ)
def processes(request: Request) -> Response:
    """List the scenarios by id, as JSON or as a page."""
    asked = parameters.read(request, LISTING)
    form, site = pages.form_of(request, asked), site_of(request)
    left = sorted(name for name in scenarios.scenarios() if name > asked.get("next", ""))
    shown = left[: asked.get("limit", len(left))]
    described = [scenarios.describe(scenarios.scenario(name)) for name in shown]
    own = pages.self_and_other(request, form, "Renewal scenarios")
    if len(shown) < len(left):
        following = links.here(request, next=parameters.token_of(shown[-1]))
        own.append(link("next", following, HTML if form == "html" else JSON, "Next page"))
    if form == "html":
        words = pages.words_of(request, site)
        told = [
            {"id": one["id"], "title": words.of(one, "title"), "about": _begins(words.of(one, "description"))}
            for one in described
        ]
        return pages.render(
            request, site, "processes.html", title=words("Renewal scenarios"), processes=told, links=own
        )
    summary = ("id", "version", "title", "x-cim-title-zh", "description", "jobControlOptions", "outputTransmission")
    document = {
        "processes": [
            {
                **{name: one[name] for name in summary if name in one},
                "links": [link("self", url(request, "processes", one["id"]), JSON, one["title"])],
            }
            for one in described
        ],
        "links": own,
    }
    return json_response(document, _VARIES)


@router.route("/processes/{scenario_id}", READ)
def process(request: Request, scenario_id: str) -> Response:
    """Describe one scenario, as JSON or as a page: its inputs, its outputs, a worked example."""
    asked = parameters.read(request, [parameters.F_JSON_OR_HTML])
    form, site = pages.form_of(request, asked), site_of(request)
    described = scenarios.describe(scenarios.scenario(scenario_id))
    result = described["outputs"][scenarios.OUTPUT]["schema"]["oneOf"][0]["properties"]["result"]
    own = [
        *pages.self_and_other(request, form, described["title"]),
        link(links.REL_EXECUTE, url(request, "processes", scenario_id, "execution"), JSON, "Execute"),
    ]
    if form == "html":
        words = pages.words_of(request, site)
        return pages.render(
            request,
            site,
            "process.html",
            title=words.of(described, "title"),
            about=words.of(described, "description").split("\n\n"),
            process=described,
            types=[site.city.database.dictionary.type(name) for name in described["x-cim-reads"]],
            inputs=[_input(words, name, one) for name, one in described["inputs"].items()],
            outputs=list(dict.fromkeys(_outputs(words, result))),
            example={name: pages.pretty(described["x-cim-example"][name]) for name in ("objects", "inputs", "result")},
            on_the_map="oneOf" in described["inputs"].get("scope", {}).get("schema", {}),
            links=own,
        )
    return json_response({**described, "links": own}, _VARIES)


def _begins(text: str) -> str:
    """Return the first sentence of a description."""
    return _END.split(text, maxsplit=1)[0]


def _input(words: Words, name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    schema = described["schema"]
    return {
        "name": name,
        "title": words.of(described, "title"),
        "needed": described["minOccurs"] > 0,
        "kind": " | ".join(_kinds(schema)),
        "default": pages.plain(schema.get("default")),
        "description": described["description"],
    }


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    """Return the values that an input may have where they are listed, else the JSON types."""
    if "oneOf" in schema:
        return [kind for one in schema["oneOf"] for kind in _kinds(one)]
    kinds = schema.get("enum", schema.get("type", []))
    return [kinds] if isinstance(kinds, str) else [str(kind) for kind in kinds]


def _outputs(words: Words, schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield what a result has under a title, from the outside in: where it stands, title, unit, description."""
    if "title" in schema:
        yield path, words.of(schema, "title"), pages.unit(schema.get("x-ogc-unit")), words.of(schema, "description")
    if "x-ogc-unit" in schema:
        return  # what a number is made of is alike in all
    for name, one in schema.get("properties", {}).items():
        yield from _outputs(words, one, f"{path}/{name}")
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, Mapping):
            yield from _outputs(words, inner, f"{path}/…")


@router.route("/processes/{scenario_id}/execution", ["POST"])
async def execution(request: Request, scenario_id: str) -> Response:
    """Compute a scenario, as JSON or in another format, or queue it where the client prefers not to wait."""
    form = parameters.read(request, [parameters.f_of(MEDIA)]).get("f")
    scenarios.scenario(scenario_id)
    what = asked(await read_json(request, most=MAX_BYTES))
    form = form or what.form or links.preferred(request.headers.get("accept", ""), {"": "", **MEDIA})
    what = replace(what, inputs=await inline(request, what.inputs), form=form)
    if _ASYNC.search(request.headers.get("prefer", "")):
        return await submit(request, "process", scenario_id, asdict(what))
    result = await run_in_threadpool(compute, site_of(request).waited_for, scenario_id, what)
    return Response(result.content, headers=result.headers, media_type=result.media_type)
