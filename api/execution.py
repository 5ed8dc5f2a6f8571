"""Compute a process for a request: while the client waits, or as a job."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.links import JSON
from cim import scenarios
from cim.db.engine import Database
from cim.db.jobs import Result
from cim.errors import InvalidData

_MEMBERS = ("inputs", "outputs", "response", "subscriber")
_ASKED_OF_OUTPUT = ("format", "transmissionMode")
MEDIA = {"json": JSON, **{name: form.media_type for name, form in scenarios.FORMATS.items()}}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a process: its inputs, and its output in which form, bare (`raw`) or in a document of results.

    A form of "" is the one that the output has of itself: JSON, or of a report what its own input says.
    """

    inputs: Mapping[str, Any]
    form: str
    raw: bool


def asked(body: Any) -> Asked:
    """Read the body of an execute request.

    Raises
    ------
    InvalidData : it is none.
    """
    if not isinstance(body, dict):
        raise InvalidData('the body must be an object such as {"inputs": {…}}')
    unknown = [name for name in body if name not in _MEMBERS]
    if unknown:
        raise InvalidData(f"the body has no member {unknown[0][:60]!r}; it has {', '.join(_MEMBERS)}")
    inputs, outputs, response = body.get("inputs", {}), body.get("outputs", {}), body.get("response", "raw")
    if not isinstance(inputs, dict) or not isinstance(outputs, dict):
        raise InvalidData("inputs and outputs must be objects")
    if "subscriber" in body:
        raise InvalidData("subscriber: no addresses are called back; leave it out, and ask /jobs")
    if response not in ("raw", "document"):
        raise InvalidData("response must be raw or document")
    return Asked(inputs, _form(outputs), response == "raw")


def _form(outputs: Mapping[str, Any]) -> str:
    """Return the form that the output is wanted in; "" where the request does not say."""
    unknown = [name for name in outputs if name != scenarios.OUTPUT]
    if unknown:
        raise InvalidData(f"there is no output {unknown[0][:60]!r}; there is {scenarios.OUTPUT}")
    wanted = outputs.get(scenarios.OUTPUT, {})
    if not isinstance(wanted, dict) or not wanted.keys() <= set(_ASKED_OF_OUTPUT):
        raise InvalidData(f"outputs: {scenarios.OUTPUT} is an object of {' and '.join(_ASKED_OF_OUTPUT)}")
    if wanted.get("transmissionMode", "value") != "value":
        raise InvalidData("outputs: transmissionMode must be value; what is to be fetched later is a job")
    if "format" not in wanted:
        return ""
    media_type = wanted["format"].get("mediaType") if isinstance(wanted["format"], dict) else None
    form = next((name for name, one in MEDIA.items() if one == media_type), None)
    if form is None:
        raise InvalidData(f"outputs: format must have a mediaType, one of {', '.join(MEDIA.values())}")
    return form


def compute(database: Database, scenario_id: str, what: Asked) -> Result:
    """Compute a process. The same inputs on the same state give the same bytes.

    Raises
    ------
    As `scenarios.run`, and as `scenarios.render` where another form than JSON is asked for.
    """
    document = scenarios.run(database, scenario_id, dict(what.inputs))
    seal, result = document["assessment"], document["result"]
    headers = {
        "CIM-State": "pinned",
        "CIM-Tree-Size": str(seal["tree_size"]),
        "CIM-Tree-Root": seal["root"],
        "Cache-Control": "no-cache",
        "Vary": "Accept",
    }
    is_file = {"media_type", "encoding", "content"} <= result.keys()
    if what.form == "json" or not (what.form or is_file):
        content, media_type = scenarios.canonical(document), JSON
        held: dict[str, Any] = {"value": document}
    elif is_file:
        content, media_type = _content(result), result["media_type"]
        held = {"value": result["content"], "encoding": result["encoding"]}
    else:
        content, media_type = scenarios.render(database, [document], what.form), MEDIA[what.form]
        if scenarios.FORMATS[what.form].is_text:
            held = {"value": content.decode(), "encoding": "utf-8"}
        else:
            held = {"value": base64.b64encode(content).decode(), "encoding": "base64"}
    if what.raw:
        return Result(content, media_type, headers)
    return Result(scenarios.canonical({scenarios.OUTPUT: held | {"mediaType": media_type}}), JSON, headers)


def _content(file: Mapping[str, str]) -> bytes:
    content = file["content"].encode()
    return base64.b64decode(content) if file["encoding"] == "base64" else content
