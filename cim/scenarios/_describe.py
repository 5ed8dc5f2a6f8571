"""What is published of a process: its inputs, its one output and the forms that it comes in, a worked example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from cim.scenarios._base import Process, plain
from cim.scenarios._report import FORMATS

# A number is worth nothing without the state it holds for, so result, coverage and seal are one value.
OUTPUT = "document"


def describe(process: type[Process]) -> dict[str, Any]:
    """Return the process description (OGC API Processes 1.0, 7.10) that the API publishes, without links."""
    inputs = process.input_schema()
    return {
        "id": process.name,
        "version": process.version,
        "title": process.title,
        "x-cim-title-zh": process.title_zh,
        "description": f"{process.description}\n\nWorked example: {process.example.text}",
        "x-cim-description-zh": process.description_zh,
        "x-cim-reads": list(process.reads),
        "x-cim-example": {
            "objects": plain(process.example.objects),
            "inputs": plain(process.example.inputs),
            "result": plain(process.example.result),
        },
        "jobControlOptions": ["sync-execute", "async-execute", "dismiss"],
        "outputTransmission": ["value"],
        "inputs": {
            f.name: {
                "title": f.name,
                "x-cim-title-zh": f.metadata["title_zh"],
                "description": f.metadata["description"],
                "minOccurs": int(f.name in inputs["required"]),
                "maxOccurs": 1,
                "schema": inputs["properties"][f.name],
            }
            for f in fields(process)
        },
        "outputs": {
            OUTPUT: {
                "title": "Sealed answer",
                "x-cim-title-zh": "封签答复",
                "description": "The result with the state that it holds for, as JSON or set in another form.",
                "schema": {"oneOf": [*_forms(process)]},
            }
        },
    }


def _forms(process: type[Process]) -> Iterator[dict[str, Any]]:
    """Yield the JSON Schema of the output as JSON, then of each other form that it comes in."""
    yield {**process.document_schema(), "contentMediaType": "application/json"}
    for form in FORMATS.values() if process.rendered else ():
        encoding = {} if form.is_text else {"contentEncoding": "binary"}
        yield {"type": "string", "contentMediaType": form.media_type, **encoding}
