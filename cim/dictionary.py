"""Feature types as data: what the JSON Schemas of `schemas/` say, in the form the rest of the code asks for.

A feature type is one file `<type>.schema.json` (JSON Schema 2020-12). Beyond JSON Schema it uses the keywords
of OGC API Features Part 5 (`x-ogc-role`, `x-ogc-unit`) and these of ours:

- on the type: `x-cim-title-zh`, `x-cim-code-scheme`, `x-cim-code-level` (one of the scheme's levels, where
  it has several), `x-cim-parent` (the type whose code this one's begins with or names);
- on a property: `x-cim-title-zh`, `x-cim-codelist`, `x-cim-references` (a feature type), `x-cim-private`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

import rfc8785

import schemas
from cim.errors import InvalidData, NotFound
from cim.settings import Settings

Kind = Literal["string", "integer", "number", "boolean", "date", "datetime", "object"]
GeometryKind = Literal["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "Geometry"]

# OGC API Features Part 5, "Schemas", requirement on spatial properties: format geometry-{type}.
GEOMETRY_FORMATS: Mapping[str, GeometryKind] = MappingProxyType(
    {
        "geometry-point": "Point",
        "geometry-multipoint": "MultiPoint",
        "geometry-linestring": "LineString",
        "geometry-multilinestring": "MultiLineString",
        "geometry-polygon": "Polygon",
        "geometry-multipolygon": "MultiPolygon",
        "geometry-any": "Geometry",
    }
)
# Columns every feature table has, whatever its schema says.
RESERVED = ("code", "rev", "attributes", "geom")
# PostgreSQL documentation, section 5.6: columns that every table has unseen.
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
# PostgreSQL cuts names after 63 bytes; the longest we make is that of a check, `<type>_<property>_valid`.
_MAX_NAME = 28
# Keywords that are read here, and the JSON type of their values.
_TYPE_KEYWORDS: Mapping[str, str] = MappingProxyType(
    {
        "title": "a string",
        "description": "a string",
        "properties": "an object of objects",
        "required": "an array",
        "x-cim-title-zh": "a string",
        "x-cim-code-scheme": "a string",
        "x-cim-code-level": "a string",
        "x-cim-parent": "a string",
    }
)
_PROPERTY_KEYWORDS: Mapping[str, str] = MappingProxyType(
    {
        "title": "a string",
        "description": "a string",
        "type": "a string",
        "format": "a string",
        "minimum": "a number",
        "maximum": "a number",
        "maxLength": "an integer",
        "pattern": "a string",
        "x-ogc-role": "a string",
        "x-ogc-unit": "a string",
        "x-cim-title-zh": "a string",
        "x-cim-codelist": "a string",
        "x-cim-references": "a string",
        "x-cim-private": "true or false",
    }
)
_JSON_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "a string": (str,),
        "an integer": (int,),
        "a number": (int, float),
        "true or false": (bool,),
        "an array": (list,),
        "an object of objects": (dict,),
    }
)
# Types of the log that are not city objects; see cim/log/entry.py.
PLATFORM_TYPES = frozenset({"schema", "identifier", "reservation"})


@dataclass(frozen=True, slots=True)
class CodelistValue:
    """One value of a codelist with its labels, how sure it is, and what other vocabularies call it."""

    value: str
    title: str
    title_zh: str
    confidence: str
    mappings: Mapping[str, str]
    source: str


@dataclass(frozen=True, slots=True)
class Codelist:
    """A closed list of values; `source` and `confidence` say where it comes from and how sure that is.

    `extensible` is the regular expression of values that a city may add, None where the list is closed for good.
    """

    name: str
    title: str
    title_zh: str
    source: str
    confidence: str
    values: Mapping[str, CodelistValue]
    extensible: str | None

    def __contains__(self, value: object) -> bool:
        return value in self.values


@dataclass(frozen=True, slots=True)
class Property:
    """One attribute column of a feature type; `unit` is a UCUM code, limits are inclusive, None is none."""

    name: str
    kind: Kind
    title: str
    title_zh: str
    description: str
    unit: str | None = None
    codelist: str | None = None
    references: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
    pattern: str | None = None
    required: bool = False
    private: bool = False
    role: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureType:
    """One kind of city object: its code scheme, geometry and columns, in the order of its schema.

    `codelists` are those of its dictionary, by name: its scheme may be made from one.
    """

    name: str
    title: str
    title_zh: str
    description: str
    code_scheme: str
    code_level: str | None
    geometry: GeometryKind | None
    geometry_required: bool
    parent: str | None
    properties: tuple[Property, ...]
    schema: Mapping[str, Any]
    codelists: Mapping[str, Codelist] = field(repr=False, compare=False)

    @property
    def public_properties(self) -> tuple[Property, ...]:
        """Columns that may leave the database and stand in the log as they are."""
        return tuple(p for p in self.properties if not p.private)

    @property
    def private_properties(self) -> tuple[Property, ...]:
        """Columns of personal data: the log holds only a salted commitment to them."""
        return tuple(p for p in self.properties if p.private)

    def property(self, name: str) -> Property:
        """Return the property of that name; NotFound lists the ones there are."""
        for candidate in self.properties:
            if candidate.name == name:
                return candidate
        raise NotFound(f"{self.name} has no property {name!r}; it has {', '.join(p.name for p in self.properties)}")


@dataclass(frozen=True, slots=True)
class Dictionary:
    """All feature types and codelists of a deployment, by name."""

    types: Mapping[str, FeatureType]
    codelists: Mapping[str, Codelist]
    _digests: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def type(self, name: str) -> FeatureType:
        """Return the feature type of that name; NotFound lists the ones there are."""
        if name not in self.types:
            raise NotFound(f"no feature type {name!r}; there are {', '.join(self.types)}")
        return self.types[name]

    def names(self, only: str | None = None) -> list[str]:
        """Return the names of all feature types, or the one of `only`; NotFound where there is no such type."""
        return list(self.types) if only is None else [self.type(only).name]

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each type's schema (its JCS bytes, RFC 8785) by type name, for the log."""
        if not self._digests:  # to bring all schemas into that form takes as long as to take a small file in
            self._digests.update(
                (name, hashlib.sha256(rfc8785.dumps(dict(feature_type.schema))).hexdigest())
                for name, feature_type in self.types.items()
            )
        return dict(self._digests)

    def basis(self) -> dict[str, Any]:
        """Return, as JSON, all of it that decides what becomes of a record: schemas, schemes in force, codelists."""
        schemes = {name: feature_type.code_scheme for name, feature_type in self.types.items()}
        return {"schemas": self.digests(), "schemes": schemes, "codelists": repr(self.codelists)}


def dictionary_of(settings: Settings) -> Dictionary:
    """Read the dictionary of a deployment; raises as `load_dictionary`."""
    folders = [] if settings.dictionary is None else [settings.dictionary]
    return load_dictionary(*folders, code_schemes=settings.code_schemes)


def load_dictionary(*folders: Path, code_schemes: Mapping[str, str] = MappingProxyType({})) -> Dictionary:
    """Read the dictionary from `schemas/v1` and then from `folders`, which may add types, codelists and values of some.

    Types come parents first, so that loading in this order never meets a missing parent.

    Raises
    ------
    InvalidData : no such folder, a file is no schema we can make a table from, or a name is taken, unknown, reserved.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InvalidData(f"CIM_DICTIONARY: there is no folder {folder}; name the one with the city's schemas")
    types: dict[str, FeatureType] = {}
    codelists: dict[str, Codelist] = {}
    lists = MappingProxyType(codelists)
    extensions: list[tuple[Path, dict[str, Any]]] = []
    try:
        for folder in (schemas.V1, *folders):
            for path, document in schemas.documents(folder / "codelists"):
                if "extends" in document:
                    extensions.append((path, document))
                else:
                    _add(codelists, _codelist(path, document), path)
            for path, document in schemas.documents(folder, ".schema.json"):
                _add(types, _feature_type(path, document, lists), path)
    except ValueError as error:
        raise InvalidData(str(error)) from error
    for path, document in extensions:
        _extend(codelists, path, document)
    for name, scheme in code_schemes.items():
        if name not in types:
            raise InvalidData(f"CIM_CODE_SCHEMES names no feature type: {name!r}; there are {', '.join(types)}")
        # The level is one of the schema's own scheme and means nothing in another.
        level = types[name].code_level if scheme == types[name].code_scheme else None
        types[name] = replace(types[name], code_scheme=scheme, code_level=level)
    _check_names(types, codelists)
    return Dictionary(MappingProxyType(_parents_first(types)), lists)


def _add(found: dict[str, Any], item: FeatureType | Codelist, path: Path) -> None:
    if item.name in found:
        raise InvalidData(f"{path}: {item.name!r} is defined already; give it another name")
    found[item.name] = item


def _codelist(path: Path, document: Mapping[str, Any]) -> Codelist:
    try:
        values = _values(path, document)
        extensible = document.get("extensible")
        said = [document[name] for name in ("title", "title-zh", "source", "confidence")]
        if not all(isinstance(text, str) for text in [*said, extensible or ""]):
            raise InvalidData(f"{path}: titles, source and confidence of a codelist are texts, and extensible is one")
        if extensible is not None:
            re.compile(extensible)
        title, title_zh, source, confidence = said
        return Codelist(path.stem, title, title_zh, source, confidence, MappingProxyType(values), extensible)
    except (AttributeError, KeyError, TypeError, re.error) as error:
        raise InvalidData(f"{path}: a codelist needs title, title-zh, source, confidence, values: {error}") from error


def _values(path: Path, document: Mapping[str, Any]) -> dict[str, CodelistValue]:
    values = {
        entry["value"]: CodelistValue(
            value=entry["value"],
            title=entry["title"],
            title_zh=entry["title-zh"],
            confidence=entry.get("confidence", document["confidence"]),
            mappings=MappingProxyType(entry.get("mappings", {})),
            source=document["source"],
        )
        for entry in document["values"]
    }
    if len(values) < len(document["values"]):
        raise InvalidData(f"{path}: a value stands there twice; each may have one meaning only")
    said = [text for v in values.values() for text in (v.value, v.title, v.title_zh, v.confidence, v.source)]
    if not all(isinstance(text, str) for text in said):
        raise InvalidData(f"{path}: values, titles, source and confidence of a codelist are texts")
    return values


def _extend(codelists: dict[str, Codelist], path: Path, document: Mapping[str, Any]) -> None:
    """Add the values of a city's own to a codelist that leaves them to cities."""
    named = document["extends"]
    extended = codelists.get(named) if isinstance(named, str) else None
    if extended is None:
        raise InvalidData(f"{path}: 'extends' names no codelist: {named!r:.60}; there are {', '.join(codelists)}")
    if extended.extensible is None:
        raise InvalidData(f"{path}: codelist {named!r} is closed: what is computed rests on its values")
    try:
        values = _values(path, document)
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidData(f"{path}: an extension needs extends, source, confidence, values: {error}") from error
    for value in values:
        if value in extended:
            raise InvalidData(f"{path}: {named} has a value {value!r} already, and its meaning never changes")
        if not re.fullmatch(extended.extensible, value):
            raise InvalidData(
                f"{path}: {named} leaves values of the form {extended.extensible} to cities, got {value!r:.60}"
            )
    codelists[named] = replace(extended, values=MappingProxyType({**extended.values, **values}))


def _feature_type(path: Path, document: Mapping[str, Any], codelists: Mapping[str, Codelist]) -> FeatureType:
    name = path.name.removesuffix(".schema.json")
    _check_name(path, "a feature type's", name)
    if name in PLATFORM_TYPES:
        raise InvalidData(f"{path}: the log has a type {name!r} of its own; give the feature type another name")
    _check_keywords(path, document, _TYPE_KEYWORDS)
    declared = document.get("properties", {})
    if not all(isinstance(value, dict) for value in declared.values()):
        raise InvalidData(f"{path}: 'properties' must be an object of objects")
    required = document.get("required", [])
    geometry = _geometry(path, declared)
    properties = tuple(_property(path, key, value, required) for key, value in declared.items() if key not in RESERVED)
    for keyword in ("title", "x-cim-title-zh", "description", "x-cim-code-scheme"):
        if keyword not in document:
            raise InvalidData(f"{path}: {keyword!r} must be a string, and is missing")
    if declared.get("code", {}).get("x-ogc-role") != "id":
        raise InvalidData(f'{path}: property \'code\' with "x-ogc-role": "id" is missing')
    unknown = [str(key) for key in required if key not in declared]
    if unknown:
        raise InvalidData(f"{path}: 'required' names no property: {', '.join(unknown)}")
    return FeatureType(
        name=name,
        title=document["title"],
        title_zh=document["x-cim-title-zh"],
        description=document["description"],
        code_scheme=document["x-cim-code-scheme"],
        code_level=document.get("x-cim-code-level"),
        geometry=geometry,
        geometry_required="geom" in required,
        parent=document.get("x-cim-parent"),
        properties=properties,
        schema=document,
        codelists=codelists,
    )


def _geometry(path: Path, declared: Mapping[str, Any]) -> GeometryKind | None:
    if "geom" not in declared:
        return None
    wanted = declared["geom"].get("format")
    if wanted not in GEOMETRY_FORMATS:
        raise InvalidData(f"{path}: geom needs a format out of {', '.join(GEOMETRY_FORMATS)}, got {wanted!r}")
    return GEOMETRY_FORMATS[wanted]


def _check_name(path: Path, whose: str, name: str) -> None:
    if not (name.isidentifier() and name.islower() and name.isascii() and len(name) <= _MAX_NAME):
        raise InvalidData(
            f"{path}: {whose} name must be lower-case letters, digits and _, got {name!r}"
            if len(name) <= _MAX_NAME
            else f"{path}: {whose} name has at most {_MAX_NAME} characters, got {name!r:.80}"
        )
    if name in _SYSTEM_COLUMNS:
        raise InvalidData(f"{path}: every table of PostgreSQL has a column {name!r} of its own; choose another name")


def _check_keywords(path: Path, document: Mapping[str, Any], known: Mapping[str, str], of: str = "") -> None:
    """Refuse values of another type, and keywords of ours that are none: a slip would count as absent."""
    for keyword, value in document.items():
        wanted = known.get(keyword)
        if wanted is None and keyword.startswith("x-cim-"):
            ours = ", ".join(name for name in known if name.startswith("x-cim-"))
            raise InvalidData(f"{path}: there is no keyword {keyword!r}{of}; there are {ours}")
        if wanted is not None and type(value) not in _JSON_TYPES[wanted]:
            raise InvalidData(f"{path}: {keyword!r}{of} must be {wanted}, got {value!r:.60}")


def _property(path: Path, name: str, schema: Mapping[str, Any], required: Sequence[str]) -> Property:
    _check_name(path, "a property's", name)
    _check_keywords(path, schema, _PROPERTY_KEYWORDS, f" of property {name!r}")
    return Property(
        name=name,
        kind=_kind(path, name, schema),
        title=schema.get("title", name),
        title_zh=schema.get("x-cim-title-zh", ""),
        description=schema.get("description", ""),
        unit=schema.get("x-ogc-unit"),
        codelist=schema.get("x-cim-codelist"),
        references=schema.get("x-cim-references"),
        minimum=schema.get("minimum"),
        maximum=schema.get("maximum"),
        max_length=schema.get("maxLength"),
        pattern=schema.get("pattern"),
        required=name in required,
        private=schema.get("x-cim-private", False),
        role=schema.get("x-ogc-role"),
    )


def _kind(path: Path, name: str, schema: Mapping[str, Any]) -> Kind:
    match schema.get("type"), schema.get("format"):
        case "string", "date":
            return "date"
        case "string", "date-time":
            return "datetime"
        case "string", _:
            return "string"
        case ("integer" | "number" | "boolean" | "object") as kind, _:
            return cast("Kind", kind)
        case kind, _:
            raise InvalidData(
                f"{path}: {name} has type {kind!r}; a column needs string, integer, number, boolean, object"
            )


def _check_names(types: Mapping[str, FeatureType], codelists: Mapping[str, Codelist]) -> None:
    for feature_type in types.values():
        for prop in feature_type.properties:
            if prop.codelist is not None and prop.codelist not in codelists:
                raise InvalidData(f"{feature_type.name}.{prop.name} names no codelist: {prop.codelist!r}")
            if prop.references is not None and prop.references not in types:
                raise InvalidData(f"{feature_type.name}.{prop.name} references no feature type: {prop.references!r}")
        if feature_type.parent is not None and feature_type.parent not in types:
            raise InvalidData(f"{feature_type.name}: x-cim-parent names no feature type: {feature_type.parent!r}")


def _parents_first(types: Mapping[str, FeatureType]) -> dict[str, FeatureType]:
    ordered: dict[str, FeatureType] = {}

    def place(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            raise InvalidData(f"feature types are each other's parents: {' → '.join((*trail, name))}")
        if name not in ordered:
            parent = types[name].parent
            if parent is not None and parent != name:
                place(parent, (*trail, name))
            ordered[name] = types[name]

    for name in sorted(types):
        place(name, ())
    return ordered
