"""Schemas of the OpenAPI document: what answers and bodies look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OBJECT: dict[str, Any] = {"type": "object"}
TEXT: dict[str, Any] = {"type": "string"}


def ref(name: str) -> dict[str, str]:
    """Return the reference to one of `schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas() -> dict[str, Any]:
    """Return the schemas by name."""
    return {
        "link": record(["href", "rel"], href=TEXT, rel=TEXT, type=TEXT, title=TEXT),
        "statusInfo": record(
            ["jobID", "status", "type"],
            processID=TEXT,
            type=_one_of("process"),
            jobID=TEXT,
            status=_one_of("accepted", "running", "successful", "failed", "dismissed"),
            message=TEXT,
            created=_INSTANT,
            started=_INSTANT,
            finished=_INSTANT,
            links=_LINKS,
        ),
        "confClasses": record(["conformsTo"], conformsTo=_array(TEXT)),
        **_collection_schemas(),
        **_feature_schemas(),
        "execute": record(
            [],
            inputs={
                **OBJECT,
                "description": 'By name: a value, {"value": …}, or {"href": …} of a resource of this API',
            },
            outputs=record([], document=record([], format=OBJECT, transmissionMode=_one_of("value"))),
            response={**_one_of("raw", "document"), "default": "raw"},
        ),
        "problem": record(
            ["type", "title", "status"],
            type=TEXT,
            title=TEXT,
            status={"type": "integer"},
            detail=TEXT,
            instance=TEXT,
        ),
    }


def _collection_schemas() -> dict[str, Any]:
    collection = record(
        ["id", "links"],
        id=TEXT,
        title=TEXT,
        description=TEXT,
        links=_LINKS,
        extent=OBJECT,
        itemType=TEXT,
        crs=_array(TEXT),
        storageCrs=TEXT,
    )
    listed = record(["links", "collections"], links=_LINKS, collections=_array(ref("collection")))
    return {"collection": collection, "collections": listed}


def _feature_schemas() -> dict[str, Any]:
    geometry = {"type": "object", "nullable": True, "properties": {"type": TEXT, "coordinates": _array({})}}
    feature = record(
        ["type", "id", "geometry", "properties"],
        type=_one_of("Feature"),
        id=TEXT,
        geometry=geometry,
        properties=OBJECT,
        links=_LINKS,
    )
    page = record(
        ["type", "features", "links", "timeStamp", "numberReturned"],
        type=_one_of("FeatureCollection"),
        features=_array(ref("feature")),
        links=_LINKS,
        timeStamp=_INSTANT,
        numberReturned=_COUNT,
        numberMatched=_COUNT,
    )
    return {"feature": feature, "featureCollection": page}


def record(required: list[str], **properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with these properties."""
    return {"type": "object", **({"required": required} if required else {}), "properties": properties}


def _array(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


_INSTANT: dict[str, Any] = {"type": "string", "format": "date-time"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_LINKS = _array(ref("link"))
