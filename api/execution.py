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

MAX_POSITIONS = 20_000
_MEMBERS = ("inputs", "outputs", "response", "subscriber")
_QUALIFIED = {"value", "mediaType", "encoding", "schema"}
MEDIA = {"json": JSON, **{name: form.media_type for name, form in scenarios.FORMATS.items()}}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a process: its inputs, the outputs wanted (none for all), whether bare, in which form."""

    inputs: Mapping[str, Any]
    wanted: list[str]
    raw: bool
    form: str


def asked(body: Any, form: str) -> Asked:
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
    inputs, outputs = body.get("inputs", {}), body.get("outputs", {})
    if not isinstance(inputs, dict) or not isinstance(outputs, dict):
        raise InvalidData("inputs and outputs must be objects")
    if "subscriber" in body:
        raise InvalidData("subscriber: no addresses are called back; leave it out, and ask /jobs")
    raw = body.get("response", "document") == "raw"
    if body.get("response", "document") not in ("raw", "document"):
        raise InvalidData("response must be raw or document")
    if raw and len(outputs) != 1:
        raise InvalidData("response raw needs exactly one of the outputs named; ask for document")
    plain = {name: _plain(value) for name, value in inputs.items()}
    for name, value in plain.items():
        check_vertices(name, value)
    return Asked(plain, list(outputs), raw, form)


def compute(database: Database, scenario_id: str, what: Asked) -> Result:
    """Compute a process. The same inputs on the same state give the same bytes.

    Raises
    ------
    As `scenarios.run`. InvalidData : it has no such output.
    """
    document = scenarios.run(database, scenario_id, dict(what.inputs))
    unknown = [name for name in what.wanted if name not in document]
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
    if what.form != "json" and not _is_file(document["result"]):
        return Result(scenarios.render(database, [document], what.form), MEDIA[what.form], headers)
    if what.raw and what.wanted == ["result"] and _is_file(document["result"]):
        return _file(document["result"], headers)
    answer = document[what.wanted[0]] if what.raw else {name: document[name] for name in what.wanted or document}
    return Result(scenarios.canonical(answer), JSON, headers)


def _is_file(result: Mapping[str, Any]) -> bool:
    """Tell whether a result is itself a file, with its media type, encoding and content."""
    return {"media_type", "encoding", "content"} <= result.keys()


def _file(result: Mapping[str, str], headers: Mapping[str, str]) -> Result:
    content = result["content"].encode()
    if result["encoding"] == "base64":
        content = base64.b64decode(content)
    return Result(content, result["media_type"], headers)


def check_vertices(name: str, value: Any) -> None:
    """Refuse an outline that takes a processor for minutes: every object is cut with it.

    Raises
    ------
    InvalidData : its coordinates are more than 20,000 positions.
    """
    level, positions = [value], 0
    while level:
        below = []
        for node in level:
            if isinstance(node, list):
                positions += bool(node) and isinstance(node[0], (int, float))
                below += [child for child in node if isinstance(child, (list, dict))]
            elif isinstance(node, dict):
                below += [child for child in node.values() if isinstance(child, (list, dict))]
        level = below
    if positions > MAX_POSITIONS:
        raise InvalidData(f"{name} has {positions} positions; at most {MAX_POSITIONS} are taken: simplify its geometry")


def _plain(value: Any) -> Any:
    """Return a qualified value (`{"value": …, "mediaType": …}`) bare."""
    return value["value"] if isinstance(value, dict) and "value" in value and value.keys() <= _QUALIFIED else value
