"""Which layer is which feature type, and which field which column: said in a mapping file, or told by names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import rfc8785

import schemas
from cim.dictionary import Dictionary, FeatureType
from cim.errors import InvalidData
from ingest.formats import Layer
from ingest.formats._base import RESERVED

_SCHEMA = Path(__file__).with_name("mapping.schema.json")
# Fields taken for the record's own identifier where no mapping names one, if filled and unique throughout.
IDENTIFIER_FIELDS = ("source_id", "gml_id", "globalid", "uuid", "id")
# Names in a DBF end after ten bytes.
_DBF_NAME = 10


@dataclass(frozen=True, slots=True)
class Column:
    """Where a column's values come from: a field, perhaps translated or multiplied, or one constant."""

    field: str | None = None
    values: Mapping[str, Any] | None = None
    factor: float | None = None
    constant: str | float | bool | None = None


@dataclass(frozen=True, slots=True)
class LayerMapping:
    """How the layers that match `file` and `layer` become features of `type`.

    Attributes
    ----------
    origin : the mapping file, for messages; "names" where it was made from the names of fields.
    file : glob over the file's name, letter case aside; layer : exact name, None for any.
    identity : name of the data set across deliveries; None takes the layer's name.
    columns : by the column's name in the dictionary. Fields named nowhere go to `attributes`.
    """

    origin: str
    file: str
    type: str
    layer: str | None = None
    identity: str | None = None
    encoding: str | None = None
    assume_crs: str | int | None = None
    code: str | None = None
    source_id: str | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)

    def matches_file(self, path: Path) -> bool:
        """Tell whether the file is one of those this mapping is for."""
        return fnmatch(path.name.lower(), self.file.lower())


def load(paths: Iterable[Path], dictionary: Dictionary) -> list[LayerMapping]:
    """Read mapping files, every `*.json` of a folder, or a published mapping by its name.

    Raises
    ------
    InvalidData : not JSON, a key or a value the format does not have, an unknown type or column.
    """
    mappings: list[LayerMapping] = []
    for path in paths:
        published = schemas.V1 / "mappings" / f"{path}.json"
        if path.is_dir():
            files = sorted(path.glob("*.json"))
        elif path.is_file():
            files = [path]
        elif published.is_file():
            files = [published]
        else:
            raise InvalidData(f"{path}: no such mapping: expected a file, a folder of *.json or a published name")
        mappings += [_read(file, dictionary) for file in files]
    return mappings


def choose(mappings: Sequence[LayerMapping], path: Path, layer: str) -> LayerMapping | None:
    """Return the mapping of a layer: one that names the layer goes before one for any layer.

    Raises
    ------
    InvalidData : two fit equally well.
    """
    fitting = [m for m in mappings if m.matches_file(path) and m.layer in (None, layer)]
    named = [m for m in fitting if m.layer is not None] or fitting
    if len(named) > 1:
        raise InvalidData(
            f"{path}: layer {layer!r} is mapped twice, by {' and '.join(m.origin for m in named)}; keep one"
        )
    return named[0] if named else None


def by_names(
    layer: Layer, path: Path, dictionary: Dictionary, type_name: str | None, *, alone: bool
) -> LayerMapping | None:
    """Return the mapping that names alone give, or None if they do not tell the type.

    The type is what the format knows, else `type_name`, else the one the layer is named after, or the file where
    the layer is `alone` in it (letter case and a plural s aside). Fields go to the columns of the same name,
    letter case aside.
    """
    named = layer.feature_type or type_name or _type_named(layer.name, dictionary)
    if named is None and alone:
        named = _type_named(path.stem, dictionary)
    if named is None:
        return None
    feature_type = dictionary.type(named)
    fields = {name.lower(): name for name in layer.table.column_names if name not in RESERVED}
    if path.suffix.lower() == ".shp":
        fields |= _cut_names(feature_type, fields)
    columns = {p.name: Column(fields[p.name]) for p in feature_type.properties if p.name in fields}
    return LayerMapping(
        origin="names",
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


def _read(path: Path, dictionary: Dictionary) -> LayerMapping:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidData(f"{path}: not a readable JSON file: {error}") from error
    problem = jsonschema.exceptions.best_match(_validator().iter_errors(document))
    if problem is not None:
        place = problem.json_path.removeprefix("$.")
        raise InvalidData(f"{path}: {place}: {problem.message}; {_SCHEMA.name} says what a mapping may hold")
    try:
        rfc8785.dumps(document)
    except rfc8785.CanonicalizationError as error:
        raise InvalidData(f"{path}: {error}") from error
    source = document["source"]
    feature_type = _known_type(path, document, dictionary)
    return LayerMapping(
        origin=str(path),
        file=source["file"],
        type=feature_type.name,
        layer=source.get("layer"),
        identity=source.get("identity"),
        encoding=source.get("encoding"),
        assume_crs=source.get("assume_crs"),
        code=document.get("code"),
        source_id=document.get("source_id"),
        columns={name: _column(value) for name, value in document.get("columns", {}).items()},
        document=document,
    )


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


def _column(value: str | Mapping[str, Any]) -> Column:
    return Column(field=value) if isinstance(value, str) else Column(**value)


@cache
def _validator() -> jsonschema.protocols.Validator:
    return jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))
