"""Which object a record is: its code, given or provisional, and the codes of what it belongs to.

A provisional code comes from what names the record for good, in this order: the field the mapping calls
`source_id`; the identifier the format itself gives (an IFC GlobalId); a field whose name says so
(`mapping.IDENTIFIER_FIELDS`) if it is filled and unique; else the record's own geometry as delivered. A row number
is no name: the next export may number differently, and then every code would sit on another object.

Geometry as a name survives corrections of attributes, the common change between deliveries. Records that share one
geometry, or have none, are told apart by their whole content. So a record without any identifier that
moves, or such a record that is corrected, becomes another object: name a `source_id` where there is one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cim import codes
from cim.codes import provisional
from cim.dictionary import Dictionary, FeatureType
from cim.errors import InvalidData
from ingest.faults import Faults
from ingest.formats import Layer
from ingest.formats._base import FEATURE_ID, GEOMETRY, PARENT_SOURCE_ID, RESERVED, SOURCE_ID
from ingest.mapping import IDENTIFIER_FIELDS, LayerMapping, Value
from ingest.values import text_of

# Data set identity of records that are named by their content: the same wherever they are delivered.
_CONTENT = "content"

Codes = list[str | None]


@dataclass
class Known:
    """Objects of the file so far, by source id: type, and code and references by the name of the type referred to."""

    objects: dict[str, dict[str, str]] = field(default_factory=dict)


def source_ids(layer: Layer, mapping: LayerMapping, path: object, faults: Faults) -> tuple[Codes, str | None]:
    """Return what names each record, None where nothing does, and a sentence for the report where we chose."""
    table = layer.table
    if mapping.source_id is not None:
        return _text(value_of(layer, mapping.source_id, path, "source_id", faults)), None
    if table.column(SOURCE_ID).null_count < table.num_rows:
        return _text(table.column(SOURCE_ID)), None
    fields = {name.lower(): name for name in table.column_names if name not in RESERVED}
    for candidate in IDENTIFIER_FIELDS:
        if candidate in fields:
            values = text_of(table.column(fields[candidate]))
            if values.null_count == 0 and pc.count_distinct(values).as_py() == len(values):
                chosen = f"field {fields[candidate]!r} names the records; say otherwise with source_id in a mapping"
                return _text(values), chosen
    return [None] * table.num_rows, None


def value_of(layer: Layer, value: Value, path: object, name: str, faults: Faults) -> pa.ChunkedArray:
    """Return what a mapping gives for `name`: a field, or an expression over fields.

    Raises
    ------
    InvalidData : the layer has no such field, or an expression does not fit the types of its fields.
    """
    if isinstance(value, str):
        return field_of(layer, value, path)
    try:
        return value.evaluate(lambda field: field_of(layer, field, path), layer.table.num_rows, name, faults)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise InvalidData(f"{path}: layer {layer.name!r}: {name}: {value.text!r} does not work out: {error}") from error


def field_of(layer: Layer, name: str, path: object) -> pa.ChunkedArray:
    """Return the field a mapping names; `fid` is the row number where no attribute has that name.

    Raises
    ------
    InvalidData : the layer has no such field.
    """
    names = [n for n in layer.table.column_names if n not in RESERVED]
    if name in names:
        return layer.table.column(name)
    if name == "fid" and FEATURE_ID in layer.table.column_names:
        return layer.table.column(FEATURE_ID)
    raise InvalidData(f"{path}: layer {layer.name!r} has no field {name!r}; it has {', '.join(names) or 'none'}")


def given_codes(values: pa.ChunkedArray, feature_type: FeatureType, faults: Faults) -> Codes:
    """Return the canonical codes of a field, None where there is none; what the scheme refuses is a fault."""
    found, problems = codes.check_many_for(feature_type, _text(values))
    for row, problem in problems.items():
        faults.add([row], f"code: {problem}")
    return found


def mint_missing(found: Codes, ids: Codes, layer: Layer, mapping: LayerMapping, faults: Faults) -> int:
    """Put a provisional code wherever there is none, in place; return how many come from content alone."""
    good = faults.good()
    missing = [row for row, code in enumerate(found) if code is None and good[row]]
    named = [row for row in missing if ids[row] is not None]
    identity = mapping.identity or layer.name
    minted = provisional.mint_many(mapping.type, identity, [ids[row] or "" for row in named])
    for row, code in zip(named, minted, strict=True):
        found[row] = code
    nameless = [row for row in missing if ids[row] is None]
    minted = provisional.mint_many(mapping.type, _CONTENT, _content_names(layer.table, nameless))
    for row, code in zip(nameless, minted, strict=True):
        found[row] = code
    return len(nameless)


def references(values: Sequence[str | None], name: str, referred: FeatureType, faults: Faults) -> Codes:
    """Return the canonical codes a reference column holds; what the referred type's scheme refuses is a fault."""
    found, problems = codes.check_many_for(referred, values)
    for row, problem in problems.items():
        faults.add([row], f"{name}: {problem}")
    return found


def parents_by_code(found: Codes, feature_type: FeatureType, dictionary: Dictionary) -> dict[str, Codes]:
    """Return, by reference column, the codes that an object's own code tells: of its parcel, of its building."""
    scheme = codes.scheme(feature_type.code_scheme)
    wanted = {
        p.name: dictionary.type(p.references).code_level
        for p in feature_type.properties
        if p.references is not None and dictionary.type(p.references).code_scheme == scheme.name
    }
    result: dict[str, Codes] = {name: [None] * len(found) for name in wanted}
    if not wanted or scheme.name == provisional.SCHEME.name:
        return result
    for row, code in enumerate(found):
        if code is None or code.startswith(provisional.PREFIX):
            continue
        ancestor = scheme.parent_of(code)
        direct = True
        while ancestor is not None:
            levels = scheme.levels_of(ancestor)
            for name, level in wanted.items():
                if result[name][row] is None and (level in levels if level is not None else direct):
                    result[name][row] = ancestor
            ancestor, direct = scheme.parent_of(ancestor), False
    return result


def parents_by_file(layer: Layer, feature_type: FeatureType, known: Known) -> dict[str, Codes]:
    """Return, by reference column, the codes of the parent named in the same file and of what that belongs to."""
    if PARENT_SOURCE_ID not in layer.table.column_names:
        return {}
    parents = [known.objects.get(i or "", {}) for i in layer.table.column(PARENT_SOURCE_ID).to_pylist()]
    return {
        p.name: [parent.get(p.references) for parent in parents]
        for p in feature_type.properties
        if p.references is not None
    }


def remember(known: Known, ids: Codes, found: Codes, feature_type: FeatureType, refs: Mapping[str, Codes]) -> None:
    """Note the layer's objects, so that the layers after it can name them as parents."""
    columns = {p.references: p.name for p in feature_type.properties if p.references is not None}
    for row, (source_id, code) in enumerate(zip(ids, found, strict=True)):
        if source_id is None or code is None:
            continue
        above = {of: refs[name][row] for of, name in columns.items() if name in refs}
        known.objects[source_id] = {of: c for of, c in above.items() if c is not None} | {feature_type.name: code}


def duplicates(found: Codes, content: pa.Table, faults: Faults) -> None:
    """Fault every record after the first that has the same code; say whether it differs from the first."""
    good = [int(row) for row in np.flatnonzero(faults.good())]
    first: dict[str | None, int] = {}
    again: list[tuple[int, int]] = []
    kept = [found[row] for row in good]
    if len(set(kept)) == len(kept):
        return
    for row in good:
        original = first.setdefault(found[row], row)
        if original != row:
            again.append((row, original))
    for row, original in again:
        same = content.slice(row, 1).to_pylist() == content.slice(original, 1).to_pylist()
        what = "is a duplicate of" if same else "contradicts"
        faults.add([row], f"code: {found[row]} {what} record {original + 1} of this layer, which has it too")


def _text(values: pa.ChunkedArray) -> Codes:
    texts: Codes = text_of(values).to_pylist()
    return texts


def _content_names(table: pa.Table, rows: list[int]) -> list[str]:
    """Name records by the digest of their geometry, of everything where that is shared or missing."""
    if not rows:
        return []
    shapes = table.column(GEOMETRY).to_pylist()
    digests = [hashlib.sha256(shapes[row]).hexdigest() if shapes[row] else "" for row in rows]
    values, counts = np.unique(digests, return_counts=True)
    shared = {str(v) for v, count in zip(values, counts, strict=True) if count > 1 or not v}
    if not shared:
        return digests
    attributes = table.select([n for n in table.column_names if n not in RESERVED])
    return [
        digest + _digest_of(attributes.slice(row, 1)) if digest in shared else digest
        for row, digest in zip(rows, digests, strict=True)
    ]


def _digest_of(record: pa.Table) -> str:
    plain: list[dict[str, Any]] = record.to_pylist()
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()
