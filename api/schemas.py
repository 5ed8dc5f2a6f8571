"""JSON Schemas that collections publish: of the features (Part 5) and of what filters may name (Part 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from cim.db.sorting import sortables
from cim.db.values import queryables
from cim.dictionary import Dictionary, FeatureType

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = ("type", "format", "title", "description", "minimum", "maximum", "maxLength", "pattern", "x-ogc-unit")


@dataclass(frozen=True, slots=True)
class Description:
    """What schemas of a type are written from: it, the dictionary, where codelists lie, and how they are given."""

    feature_type: FeatureType
    dictionary: Dictionary
    codelists: str
    inline: bool = False

    def schema(self, identity: str) -> dict[str, Any]:
        """Return the schema of the type's public properties."""
        private = {prop.name for prop in self.feature_type.private_properties}
        schema = self.feature_type.schema
        return {
            **schema,
            "$schema": DRAFT,
            "$id": identity,
            "required": [name for name in schema.get("required", ()) if name not in private],
            "properties": {
                name: {**declared, **_roles(declared), **self._values(declared)}
                for name, declared in schema["properties"].items()
                if name not in private
            },
        }

    def feature(self, identity: str) -> dict[str, Any]:
        """Return the schema of an object as GeoJSON has it."""
        described = self.schema(identity)
        members = {name: one for name, one in described.pop("properties").items() if name != "geom"}
        return {
            **described,
            "required": ["type", "id", "geometry", "properties"],
            "properties": {
                "type": {"type": "string", "enum": ["Feature"]},
                "id": {"type": "string"},
                "geometry": {},
                "properties": {"type": "object", "properties": members},
            },
            "additionalProperties": True,
        }

    def queryables(self, identity: str) -> dict[str, Any]:
        """Return the schema of what a filter on the type may name."""
        return self._named(identity, queryables(self.feature_type))

    def sortables(self, identity: str) -> dict[str, Any]:
        """Return the schema of what features can be ordered by."""
        return self._named(identity, sortables(self.feature_type))

    def _named(self, identity: str, names: Iterable[str]) -> dict[str, Any]:
        declared: Mapping[str, Mapping[str, Any]] = self.feature_type.schema["properties"]
        return {
            "$schema": DRAFT,
            "$id": identity,
            "type": "object",
            "title": self.feature_type.title,
            "description": self.feature_type.description,
            "properties": {
                name: {
                    **{keyword: value for keyword, value in declared[name].items() if keyword in _TYPES},
                    **_roles(declared[name]),
                    **self._values(declared[name]),
                }
                for name in names
            },
            "additionalProperties": False,
        }

    def _values(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a codelist: with its URI, or spelt out, as profile codelist-ref or codelist-inline."""
        name = declared.get("x-cim-codelist")
        if name is None:
            return {}
        values = self.dictionary.codelists[name].values.values()
        if self.inline:
            return {"oneOf": [{"const": v.value, "title": v.title, "x-cim-title-zh": v.title_zh} for v in values]}
        return {
            "x-ogc-codelistUri": f"{self.codelists}/{name}",
            "enum": [value.value for value in values],
            "x-cim-titles": {value.value: {"en": value.title, "zh": value.title_zh} for value in values},
        }


def _roles(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the role of a property: the one it has, or that of a reference, with the collection it leads to."""
    target = declared.get("x-cim-references")
    if "x-ogc-role" in declared:
        return {"x-ogc-role": declared["x-ogc-role"]}
    return {} if target is None else {"x-ogc-role": "reference", "x-ogc-collectionId": target}


def schema_digest(feature_type: FeatureType) -> str:
    """Return a short digest of a type's schema: the text of a feature changes with it, though its revision does not."""
    return _digest(tuple(feature_type.schema["properties"]))


@lru_cache(maxsize=256)
def _digest(names: tuple[str, ...]) -> str:
    return hashlib.sha256(orjson.dumps(sorted(names))).hexdigest()[:8]
