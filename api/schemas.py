"""JSON Schemas that collections publish: of the features (Part 5) and of what filters may name (Part 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from cim.db.sorting import sortables
from cim.db.values import queryables
from cim.dictionary import Dictionary, FeatureType

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = ("type", "format", "title", "description", "minimum", "maximum", "maxLength", "pattern")


def schema_document(feature_type: FeatureType, dictionary: Dictionary, identity: str, codelists: str) -> dict[str, Any]:
    """Return the schema of a type's public properties, codelists spelt out; `codelists` is where these are."""
    private = {prop.name for prop in feature_type.private_properties}
    declared: Mapping[str, Mapping[str, Any]] = feature_type.schema["properties"]
    return {
        **feature_type.schema,
        "$schema": DRAFT,
        "$id": identity,
        "required": [name for name in feature_type.schema.get("required", ()) if name not in private],
        "properties": {
            name: {**schema, **_codelist(schema, codelists), **_values(schema.get("x-cim-codelist"), dictionary)}
            for name, schema in declared.items()
            if name not in private
        },
    }


def queryables_document(feature_type: FeatureType, dictionary: Dictionary, identity: str) -> dict[str, Any]:
    """Return the schema of what a filter on the type may name."""
    return _named(feature_type, dictionary, identity, queryables(feature_type))


def sortables_document(feature_type: FeatureType, dictionary: Dictionary, identity: str) -> dict[str, Any]:
    """Return the schema of what features can be ordered by."""
    return _named(feature_type, dictionary, identity, sortables(feature_type))


def _named(feature_type: FeatureType, dictionary: Dictionary, identity: str, names: Iterable[str]) -> dict[str, Any]:
    declared: Mapping[str, Mapping[str, Any]] = feature_type.schema["properties"]
    return {
        "$schema": DRAFT,
        "$id": identity,
        "type": "object",
        "title": feature_type.title,
        "description": feature_type.description,
        "properties": {
            name: {
                **{keyword: value for keyword, value in declared[name].items() if keyword in _TYPES},
                **_values(declared[name].get("x-cim-codelist"), dictionary),
            }
            for name in names
        },
        "additionalProperties": False,
    }


def schema_digest(feature_type: FeatureType) -> str:
    """Return a short digest of a type's schema: the text of a feature changes with it, though its revision does not."""
    return _digest(tuple(feature_type.schema["properties"]))


@lru_cache(maxsize=256)
def _digest(names: tuple[str, ...]) -> str:
    return hashlib.sha256(orjson.dumps(sorted(names))).hexdigest()[:8]


def _codelist(schema: Mapping[str, Any], codelists: str) -> dict[str, str]:
    name = schema.get("x-cim-codelist")
    return {} if name is None else {"x-ogc-codelistUri": f"{codelists}/{name}"}


def _values(codelist: str | None, dictionary: Dictionary) -> dict[str, Any]:
    if codelist is None:
        return {}
    values = dictionary.codelists[codelist].values.values()
    return {
        "enum": [value.value for value in values],
        "x-cim-titles": {value.value: {"en": value.title, "zh": value.title_zh} for value in values},
    }
