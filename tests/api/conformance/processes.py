"""OGC 18-062r2, Processes Part 1: Core, with its classes of encodings, of the list of jobs and of dismissal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from tests.api.conformance.client import GEOJSON, OPENAPI, REL, Api, linked
from tests.api.conformance.registry import NotApplicable, need, requirement

CORE = "ogcapi-processes-1/1.0/conf/core"
JSON = "ogcapi-processes-1/1.0/conf/json"
OAS = "ogcapi-processes-1/1.0/conf/oas30"
LIST = "ogcapi-processes-1/1.0/conf/job-list"
DISMISS = "ogcapi-processes-1/1.0/conf/dismiss"
EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
JSON_TYPE = "application/json"
STATUSES = {"accepted", "running", "successful", "failed", "dismissed"}
PATIENCE = 300.0


@requirement(CORE, "/landingpage-op", "/landingpage-success", "/api-definition-op", "/api-definition-success")
def entry(api: Api) -> None:
    for rel in ("processes", "conformance"):
        need(api.get(linked(api.landing, REL + rel)), f"{rel} leads to nothing")
    need(api.openapi["paths"], "the description of the API has no paths")


@requirement(CORE, "/conformance-op", "/conformance-success")
@requirement(JSON, "/definition")
def declared(api: Api) -> None:
    need(all(isinstance(one, str) for one in api.claims), "a conformance class is no text")


@requirement(CORE, "/process-list", "/process-list-success", "/pl-links", "/process-op", "/process-success")
def processes(api: Api) -> None:
    listed = api.get(linked(api.landing, REL + "processes"))
    need({one["rel"] for one in listed["links"]} >= {"self", "alternate"}, "the list does not link to itself")
    need(listed["processes"], "there are no processes")
    for one in listed["processes"]:
        described = api.get(linked(one, "self"))
        for name in ("id", "version", "title"):
            need(described[name] == one[name], f"{one['id']} has another {name} in the list")
        need(set(described["jobControlOptions"]) <= {"sync-execute", "async-execute", "dismiss"}, "unknown job control")
        need(set(described["outputTransmission"]) <= {"value", "reference"}, "unknown transmission")
        for which in ("inputs", "outputs"):
            need(all(part["schema"] for part in described[which].values()), f"{which} of {one['id']} without schema")


@requirement(CORE, "/pl-limit-definition", "/pl-limit-response")
def limit(api: Api) -> None:
    schema = api.parameters("/processes")["limit"]["schema"]
    need(schema["type"] == "integer" and schema["minimum"] == 1 and "maximum" in schema, "limit is declared otherwise")
    address = linked(api.landing, REL + "processes")
    need(len(api.get(address, limit=1)["processes"]) == 1, "limit=1 gives another number of processes")
    need(len(api.get(address, limit=schema["maximum"])["processes"]) <= schema["maximum"], "more than the maximum")


@requirement(
    CORE, "/process-exception/no-such-process", "/job-exception-no-such-job", "/job-results-exception/no-such-job"
)
def nothing(api: Api) -> None:
    address = f"{linked(api.landing, REL + 'processes')}/no-such-thing"
    jobs = f"{linked(api.landing, REL + 'job-list')}/00000000-0000-4000-8000-000000000000"
    for answer, kind in (
        (api.ask(address), "no-such-process"),
        (api.http.post(f"{address}/execution", json={"inputs": {}}), "no-such-process"),
        (api.ask(jobs), "no-such-job"),
        (api.ask(f"{jobs}/results"), "no-such-job"),
    ):
        need(answer.status_code == 404, f"{answer.url} answers {answer.status_code}")
        need(answer.json()["type"] == EXCEPTIONS + kind, f"{answer.url} is not {kind}")


@requirement(CORE, "/process-execute-op", "/process-execute-request", "/process-execute-default-execution-mode")
@requirement(CORE, "/process-execute-default-outputs", "/process-execute-sync-raw-value-one")
def one_value(api: Api) -> None:
    """Without a word on mode, outputs and response: while the client waits, all outputs, raw."""
    for process, inputs in _askable(api):
        answer = _execute(api, process, inputs, headers={"Accept": "*/*"})
        need(answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}")
        media = answer.headers["content-type"].partition(";")[0]
        if len(process["outputs"]) > 1:
            need(media == "multipart/related", f"several raw values come as {media}")
            continue
        ((name, output),) = process["outputs"].items()
        need(media in set(_media_types(output["schema"])), f"{media} is not declared of {name}")
        for other in _media_types(output["schema"]):
            wanted = {name: {"format": {"mediaType": other}, "transmissionMode": "value"}}
            answer = _execute(api, process, inputs, outputs=wanted, response="raw")
            need(answer.headers["content-type"].partition(";")[0] == other, f"{other} was asked for, {answer.headers}")


@requirement(CORE, "/process-execute-sync-document")
def in_a_document(api: Api) -> None:
    for process, inputs in _askable(api):
        raw, answer = _execute(api, process, inputs), _execute(api, process, inputs, response="document")
        need((answer.status_code, answer.headers["content-type"]) == (200, JSON_TYPE), "it is no document")
        found = answer.json()
        need(found.keys() == process["outputs"].keys(), f"it holds {sorted(found)}")
        for value in found.values():
            need(not isinstance(value, dict) or "value" in value or "href" in value, "an object is not qualified")
            need(value == {"value": raw.json(), "mediaType": JSON_TYPE}, "it is another value than the raw one")


@requirement(
    CORE, "/process-execute-inputs", "/process-execute-input-inline-object", "/process-execute-input-inline-mixed"
)
def in_line(api: Api) -> None:
    for process, inputs in _askable(api):
        qualified = {name: {"value": value} for name, value in inputs.items()}
        need(
            _execute(api, process, qualified).content == _execute(api, process, inputs).content,
            "a qualified value is another one",
        )


@requirement(CORE, "/process-execute-inputs", "/process-execute-input-validation")
def by_reference(api: Api) -> None:
    """A feature's geometry by a link to it counts as that geometry in line, and is validated as such."""
    feature = linked_feature(api)
    for process, inputs in _askable(api):
        name = next(iter(inputs))
        in_line = _execute(api, process, {name: api.get(feature, GEOJSON)["geometry"]})
        referred = _execute(api, process, {name: {"href": feature, "type": GEOJSON}})
        need(referred.status_code == 200, referred.text[:300])
        need(referred.content == in_line.content, "what a link leads to is another value")
        for wrong in (
            linked(api.landing, REL + "conformance"),
            "https://example.org/geometry.json",
            "file:///etc/hosts",
        ):
            answer = _execute(api, process, {name: {"href": wrong}})
            need(answer.status_code == 400, f"{wrong} is taken for a geometry")


@requirement(CORE, "/process-execute-input-inline-bbox", "/process-execute-input-validation")
def boxes(api: Api) -> None:
    for process, inputs in _askable(api):
        ((name, box),) = inputs.items()
        west, south, east, north = box["bbox"]
        for wrong in ([west, south, east], ["x", south, east, north], [east, south, west, north]):
            answer = _execute(api, process, {name: {**box, "bbox": wrong}})
            need(answer.status_code == 400, f"{wrong} is taken for a box")
            need(name in answer.json()["detail"], "the problem does not name the input")
        high = _execute(api, process, {name: {"bbox": [west, south, 0, east, north, 9]}})
        need(high.json()["result"] == _execute(api, process, inputs).json()["result"], "a box with heights is another")


@requirement(CORE, "/process-execute-auto-execution-mode", "/process-execute-success-async", "/job", "/job-success")
@requirement(CORE, "/job-results", "/job-results-async-raw-value-one", "/job-results-async-document")
@requirement(CORE, "/job-results-exception/results-not-ready")
def as_a_job(api: Api) -> None:
    process, inputs = next(_askable(api))
    for response in ("raw", "document"):
        made = _execute(api, process, inputs, response=response, headers={"Prefer": "respond-async"})
        need(made.status_code == 201, f"it answers {made.status_code}")
        _is_status(made.json(), process)
        early = api.ask(f"{made.headers['location']}/results")
        need(early.status_code == 200 or early.json()["type"] == EXCEPTIONS + "result-not-ready", early.text[:300])
        status = _ended(api, made.headers["location"])
        _is_status(status, process)
        need(status["status"] == "successful", str(status))
        found, then = api.ask(linked(status, REL + "results")), _execute(api, process, inputs, response=response)
        need(found.content == then.content, "the results of the job are others")


@requirement(CORE, "/job-results-failed")
def as_a_job_that_fails(api: Api) -> None:
    process, inputs = next(_askable(api))
    wrong = dict.fromkeys(inputs, "no such land")
    made = _execute(api, process, wrong, headers={"Prefer": "respond-async"})
    need(_ended(api, made.headers["location"])["status"] == "failed", "it is successful")
    there, then = api.ask(f"{made.headers['location']}/results"), _execute(api, process, wrong)
    need(
        there.status_code == then.status_code >= 400, f"it answers {there.status_code}, and {then.status_code} at once"
    )
    need({"type", "title", "status"} <= there.json().keys(), "it is no exception")


@requirement(OAS, "/oas-definition-1", "/oas-definition-2", "/oas-impl", "/completeness")
def described(api: Api) -> None:
    linked(api.landing, "service-desc", OPENAPI)
    for one in api.get(linked(api.landing, REL + "processes"))["processes"]:
        operation = api.openapi["paths"][f"/processes/{one['id']}/execution"]["post"]
        need({"200", "201", "400"} <= operation["responses"].keys(), f"{one['id']} answers otherwise")
    for path, methods in (("/jobs", {"get"}), ("/jobs/{jobId}", {"get", "delete"}), ("/jobs/{jobId}/results", {"get"})):
        need(methods <= api.openapi["paths"][path].keys(), f"{path} is not described")


@requirement(LIST, "/job-list-op", "/job-list-success", "/links", "/limit-definition", "/limit-response")
@requirement(LIST, "/type-definition", "/processID-definition", "/status-definition", "/datetime-definition")
@requirement(LIST, "/duration-definition", "/processid-mandatory")
def jobs(api: Api) -> None:
    listed = api.get(linked(api.landing, REL + "job-list"))
    linked(listed, "self")
    for one in listed["jobs"]:
        need(one["status"] in STATUSES and "processID" in one, f"job {one} says too little")
    parameters = api.parameters("/jobs")
    for name in ("type", "processID", "status"):
        need(parameters[name]["schema"]["type"] == "array", f"{name} is not declared as it should be")
    for name in ("minDuration", "maxDuration", "limit"):
        need(parameters[name]["schema"]["type"] == "integer", f"{name} is not declared as it should be")
    need(parameters["datetime"]["schema"]["type"] == "string", "datetime is not declared as it should be")


@requirement(DISMISS, "/job-dismiss-op", "/job-dismiss-success")
def dismissed(api: Api) -> None:
    process, inputs = next(_askable(api))
    made = _execute(api, process, inputs, headers={"Prefer": "respond-async"})
    answer = api.http.delete(made.headers["location"])
    need((answer.status_code, answer.json()["status"]) == (200, "dismissed"), answer.text[:300])
    _is_status(answer.json(), process)
    gone = api.ask(f"{made.headers['location']}/results")
    need(gone.status_code == 404, "its results are there")


# ---------------------------------------------------------------------- what is asked


def _askable(api: Api) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the processes that need nothing but a box, the first few, with one around the sample."""
    x, y = api.sample.position
    box = {"bbox": [x - 1e-3, y - 1e-3, x + 1e-3, y + 1e-3]}
    found = 0
    for one in api.get(linked(api.landing, REL + "processes"))["processes"]:
        process = api.get(linked(one, "self"))
        needed = [name for name, each in process["inputs"].items() if each.get("minOccurs", 1)]
        if len(needed) == 1 and any(
            kind.get("format") == "ogc-bbox" for kind in process["inputs"][needed[0]]["schema"].get("oneOf", ())
        ):
            found += 1
            yield process, {needed[0]: box}
        if found == 2:
            return
    if not found:
        raise NotApplicable("no process takes a box and needs nothing else")


def linked_feature(api: Api) -> str:
    """Return the address of the sample."""
    return f"{api.items(api.sample.collection)}/{api.sample.id}"


def _execute(
    api: Api,
    process: Mapping[str, Any],
    inputs: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> httpx.Response:
    return api.http.post(linked(process, REL + "execute"), json={"inputs": inputs, **more}, headers=headers)


def _media_types(schema: Mapping[str, Any]) -> Iterator[str]:
    for one in schema.get("oneOf", [schema]):
        yield one["contentMediaType"]


def _is_status(status: Mapping[str, Any], process: Mapping[str, Any]) -> None:
    need(status["status"] in STATUSES and status["type"] == "process", f"{status} is no status")
    need(status["processID"] == process["id"], f"the job is of {status['processID']}")


def _ended(api: Api, address: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = api.get(address)
        if status["status"] not in ("accepted", "running"):
            return status
        time.sleep(0.1)
    raise AssertionError(f"the job at {address} does not end")
