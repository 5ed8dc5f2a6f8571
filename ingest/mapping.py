"""Which layer is which feature type, and which field which column: said in a mapping file, or told by names."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from fnmatch import fnmatch, fnmatchcase
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import rfc8785
import yaml

import schemas
from cim import codes
from cim.dictionary import Dictionary, FeatureType, Property
from cim.errors import InvalidData, NotFound
from ingest.columns import Column
from ingest.expressions import Expression, parse
from ingest.formats import Layer
from ingest.formats._base import RESERVED

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_SCHEMA = Path(__file__).with_name("mapping.schema.json")
PUBLISHED = schemas.V1 / "mappings"
# By suffix: how the text is read, and what that is called.
_PARSERS: Mapping[str, tuple[Callable[[str], Any], str]] = MappingProxyType(
    {
        ".toml": (tomllib.loads, "TOML"),
        ".yaml": (yaml.safe_load, "YAML"),
        ".yml": (yaml.safe_load, "YAML"),
        ".json": (json.loads, "JSON"),
    }
)
# Fields taken for the record's own identifier where no mapping names one, if filled and unique throughout.
IDENTIFIER_FIELDS = ("source_id", "gml_id", "globalid", "uuid", "id")
# Where a mapping comes from that nobody wrote: the names of layers and fields.
NAMES = "names"
# Of a mapping file: the largest of ours has some hundred.
_MOST_VALUES = 100_000
# Names in a DBF end after ten bytes.
_DBF_NAME = 10


# A value: the field that holds it, or an expression over fields.
Value = str | Expression


@dataclass(frozen=True, slots=True)
class LayerMapping:
    """How the layers that match become features of `type`.

    Attributes
    ----------
    origin : the mapping file, for messages; "names" where it was made from the names of fields.
    file : glob over the file's name, letter case aside; layer : name or glob over it, None for any.
    format, fields : the format the file must be of, the fields the layer must have; None and none for any.
    identity : name of the data set across deliveries; None takes the layer's name.
    identifiers : by code scheme, other published identifiers the records carry.
    match : what the mapping says on matching by geometry, instead of `schemas/v1/matching.json`.
    columns : by the column's name in the dictionary. Fields named nowhere go to `attributes`.
    """

    origin: str
    file: str
    type: str
    layer: str | None = None
    identity: str | None = None
    encoding: str | None = None
    assume_crs: str | int | None = None
    code: Value | None = None
    source_id: Value | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    format: str | None = None
    fields: frozenset[str] = frozenset()
    identifiers: Mapping[str, Value] = field(default_factory=dict)
    match: Mapping[str, Any] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)

    def matches_file(self, path: Path) -> bool:
        """Tell whether the file is one of those this mapping is for."""
        return fnmatch(path.name.lower(), self.file.lower())


def load(paths: Iterable[Path], dictionary: Dictionary) -> list[LayerMapping]:
    """Read mapping files (TOML, YAML or JSON), all those of a folder, or a published mapping by its name.

    Raises
    ------
    InvalidData : not readable, a key or a value the format does not have, an unknown type, column, unit or function.
    """
    mappings: list[LayerMapping] = []
    for path in paths:
        if path.is_dir():
            files = mapping_files(path)
        elif path.is_file():
            files = [path]
        else:
            files = [file for file in mapping_files(PUBLISHED) if file.stem == str(path)]
        if not files:
            names = ", ".join(file.stem for file in mapping_files(PUBLISHED))
            raise InvalidData(f"{path}: no such mapping: expected a file, a folder of them or a published one: {names}")
        mappings += [mapping for file in files for mapping in _read(file, dictionary)]
    return mappings


def published(dictionary: Dictionary) -> list[LayerMapping]:
    """Return the published mappings that say by which fields or format their layers are known.

    Those that correct a CRS are not among them: that is for the operator to say.
    """
    files = mapping_files(PUBLISHED)
    parts = [(file, part) for file in files for part in _published(file)]
    found = [_mapping(file, part, dictionary) for file, part in parts if part["type"] in dictionary.types]
    return [m for m in found if (m.fields or m.format is not None) and m.assume_crs is None]


def mapping_files(folder: Path) -> list[Path]:
    """Return the mapping files of a folder, in name order."""
    return sorted(path for path in folder.glob("*") if path.suffix in _PARSERS)


def choose(
    mappings: Sequence[LayerMapping], path: Path, layer: str, fields: Iterable[str] = (), format_name: str | None = None
) -> LayerMapping | None:
    """Return the mapping of a layer: one that names the layer goes before one for any layer.

    Raises
    ------
    InvalidData : two fit equally well.
    """
    named = _fitting(mappings, path, layer, fields, format_name)
    if len(named) > 1:
        raise InvalidData(
            f"{path}: layer {layer!r} is mapped twice, by {' and '.join(m.origin for m in named)}; keep one"
        )
    return named[0] if named else None


def choose_published(
    known: Sequence[LayerMapping],
    path: Path,
    layer: str,
    fields: Iterable[str],
    format_name: str,
    type_name: str | None,
) -> LayerMapping | None:
    """Return the published mapping that fits a layer, None where none or several fit equally well.

    One that asks for more fields knows its layer better. `type_name` is what format or operator say the layer is, if
    they do: a mapping of another type does not fit.
    """
    of_type = [m for m in known if type_name in (None, m.type)]
    fitting = _fitting(of_type, path, layer, fields, format_name)
    most = max((len(m.fields) for m in fitting), default=0)
    best = [m for m in fitting if len(m.fields) == most]
    return best[0] if len(best) == 1 else None


def _fitting(
    mappings: Sequence[LayerMapping], path: Path, layer: str, fields: Iterable[str], format_name: str | None
) -> list[LayerMapping]:
    there = frozenset(fields)
    fitting = [
        m
        for m in mappings
        if m.matches_file(path)
        and (m.layer is None or m.layer == layer or fnmatchcase(layer, m.layer))
        and m.fields <= there
        and m.format in (None, format_name)
    ]
    return [m for m in fitting if m.layer is not None] or fitting


def by_names(
    layer: Layer, path: Path, dictionary: Dictionary, type_name: str | None, *, alone: bool
) -> LayerMapping | None:
    """Return the mapping that names alone give, or None if they do not tell the type.

    The type is what the format knows, else `type_name`, else the one the layer is named after, or the file where
    the layer is `alone` in it (letter case and a plural s aside). Fields go to the columns of the same name,
    letter case aside.
    """
    own = layer.name.rpartition("/")[2]  # after the name of its file, in a zip of several
    named = layer.feature_type or type_name or _type_named(own, dictionary)
    if named is None and alone:
        named = _type_named(path.stem, dictionary)
    if named is None:
        return None
    feature_type = dictionary.type(named)
    fields = {name.lower(): name for name in layer.schema.names if name not in RESERVED}
    if path.suffix.lower() in (".shp", ".zip"):
        fields |= _cut_names(feature_type, fields)
    columns = {p.name: Column(fields[p.name]) for p in feature_type.properties if p.name in fields}
    return LayerMapping(
        origin=NAMES,
        file=path.name,
        type=named,
        code=fields.get("code"),
        columns=columns,
        document={"type": named, "columns": "by name"},
    )


def _type_named(name: str, dictionary: Dictionary) -> str | None:
    plain = name.lower().replace("-", "_").replace(" ", "_")
    return next((t for t in dictionary.types if plain in (t, f"{t}s")), None)


def _cut_names(feature_type: FeatureType, fields: Mapping[str, str]) -> dict[str, str]:
    """Match columns to fields cut to what a DBF can hold, where only one column begins so."""
    cut: dict[str, list[str]] = {}
    for prop in feature_type.properties:
        if len(prop.name) > _DBF_NAME and prop.name not in fields:
            cut.setdefault(prop.name[:_DBF_NAME], []).append(prop.name)
    return {names[0]: fields[short] for short, names in cut.items() if short in fields and len(names) == 1}


def _read(path: Path, dictionary: Dictionary) -> list[LayerMapping]:
    return [_mapping(path, part, dictionary) for part in _parts(path)]


def _parts(path: Path, *, check: bool = True) -> list[Mapping[str, Any]]:
    """Read the mappings of one file, checked against the schema."""
    parse_text, title = _PARSERS.get(path.suffix, _PARSERS[".json"])
    try:
        document = _plain(parse_text(path.read_text(encoding="utf-8")), iter(range(_MOST_VALUES)))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InvalidData(f"{path}: not a readable {title} file: {error}") from error
    if check:
        _check(path, document)
    parts: list[Mapping[str, Any]] = document.get("layers", [document])
    return parts


# Asked for with every file taken in; ours do not change, and tests hold them to the schema, which takes longer than all
# else of a small file.
_published = cache(partial(_parts, check=False))


def _plain(document: Any, left: Iterator[int]) -> Any:
    """Return dates as text: TOML and YAML read them, the codelists and the digest know text only.

    `left` has an item for each value there may be: a few lines of YAML that name each other may stand for billions.
    """
    if next(left, None) is None:
        raise ValueError(f"it stands for more than {_MOST_VALUES:,} values")
    if isinstance(document, dict):
        return {(k if isinstance(k, str) else _key(k)): _plain(v, left) for k, v in document.items()}
    if isinstance(document, list):
        return [_plain(value, left) for value in document]
    return document.isoformat() if isinstance(document, (date, time)) else document


def _key(key: object) -> str:
    """Return the text of a key that YAML has read as something else: 1, true, null, a date."""
    return json.dumps(key) if key is None or isinstance(key, (bool, int, float)) else str(key)


def _check(path: Path, document: Any) -> None:
    from jsonschema.exceptions import best_match  # slow to load, and most runs have no mapping of their own

    # "oneOf" would only say that neither fits: judge as what it means to be.
    several = isinstance(document, dict) and "layers" in document
    problem = best_match(_validator("several" if several else "mapping").iter_errors(document))
    if problem is not None:
        place = problem.json_path.removeprefix("$.")
        raise InvalidData(f"{path}: {place}: {problem.message}; {_SCHEMA.name} says what a mapping may hold")
    try:
        rfc8785.dumps(document)
    except rfc8785.CanonicalizationError as error:
        raise InvalidData(f"{path}: {error}") from error


def _mapping(path: Path, document: Mapping[str, Any], dictionary: Dictionary) -> LayerMapping:
    source = document["source"]
    if not {"file", "format", "fields"} & set(source):
        raise InvalidData(f"{path}: source: says neither file nor format nor fields, so it would take every layer")
    feature_type = _known_type(path, document, dictionary)
    try:
        return LayerMapping(
            origin=str(path),
            file=source.get("file", "*"),
            type=feature_type.name,
            layer=source.get("layer"),
            identity=source.get("identity"),
            encoding=source.get("encoding"),
            assume_crs=source.get("assume_crs"),
            code=_value(document.get("code")),
            source_id=_value(document.get("source_id")),
            columns={
                name: _column(value, feature_type.property(name), dictionary)
                for name, value in document.get("columns", {}).items()
            },
            format=source.get("format"),
            fields=frozenset(source.get("fields", ())),
            identifiers={
                codes.scheme(name).name: _required(value) for name, value in document.get("identifiers", {}).items()
            },
            match=document.get("match", {}),
            document=document,
        )
    except (InvalidData, NotFound) as error:
        raise InvalidData(f"{path}: {error}") from error


def _known_type(path: Path, document: Mapping[str, Any], dictionary: Dictionary) -> FeatureType:
    if document["type"] not in dictionary.types:
        raise InvalidData(
            f"{path}: type: there is no feature type {document['type']!r}; there are {', '.join(dictionary.types)}"
        )
    feature_type = dictionary.types[document["type"]]
    known = {p.name for p in feature_type.properties}
    unknown = sorted(set(document.get("columns", {})) - known)
    if unknown:
        raise InvalidData(
            f"{path}: columns: {feature_type.name} has no column {', '.join(unknown)};"
            f" it has {', '.join(sorted(known))}"
        )
    return feature_type


def _value(given: str | Mapping[str, str] | None) -> Value | None:
    return None if given is None else _required(given)


def _required(given: str | Mapping[str, str]) -> Value:
    return given if isinstance(given, str) else parse(given["expr"])


def _column(given: str | Mapping[str, Any], prop: Property, dictionary: Dictionary) -> Column:
    if isinstance(given, str):
        return Column(field=given)
    said = dict(given)
    expression = said.pop("expr", None)
    column = Column(**said, expression=None if expression is None else parse(expression))
    if column.vocabulary is not None:
        codelist = dictionary.codelists.get(prop.codelist or "")
        known = sorted({v for value in codelist.values.values() for v in value.mappings}) if codelist else []
        if column.vocabulary not in known:
            there = ", ".join(known) or "none"
            raise InvalidData(f"columns.{prop.name}: no vocabulary {column.vocabulary!r}; its codelist has {there}")
    if column.otherwise is not None and prop.codelist and column.otherwise not in dictionary.codelists[prop.codelist]:
        raise InvalidData(f"columns.{prop.name}: otherwise: {column.otherwise!r} is no value of {prop.codelist}")
    try:
        column.scale(prop)
    except InvalidData as error:
        raise InvalidData(f"columns.{prop.name}: {error}") from error
    return column


@cache
def _validator(kind: str) -> Validator:
    from jsonschema import Draft202012Validator

    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]})
