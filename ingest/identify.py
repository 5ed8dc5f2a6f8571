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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from cim import codes
from cim.codes import provisional
from cim.dictionary import Dictionary, FeatureType
from cim.errors import InvalidData
from ingest.faults import Faults, Mask
from ingest.formats import Layer
from ingest.formats._base import FEATURE_ID, GEOMETRY, PARENT_SOURCE_ID, RESERVED, SOURCE_ID
from ingest.mapping import IDENTIFIER_FIELDS, LayerMapping, Value
from ingest.values import text_of

# Data set identity of records that are named by their content: the same wherever they are delivered.
_CONTENT = "content"

Codes = list[str | None]
# Answers the objects of one type that (scheme, value) pairs name today, by their codes.
Current = Callable[[set[tuple[str, str]], str], Mapping[tuple[str, str], Sequence[str]]]


def unknown(_named: set[tuple[str, str]], _type_name: str) -> dict[tuple[str, str], list[str]]:
    """Answer like a city that has no objects."""
    return {}


@dataclass
class Known:
    """Objects of the file so far, by source id: type, and code and references by the name of the type referred to."""

    objects: dict[str, dict[str, str]] = field(default_factory=dict)

    def rename(self, codes: Mapping[str, str | None]) -> None:
        """Put the codes that objects turned out to have for those they were given at first; None forgets them."""
        if not codes:
            return
        for named in self.objects.values():
            for of in [of for of, code in named.items() if code in codes]:
                code = codes[named[of]]
                if code is None:
                    del named[of]
                else:
                    named[of] = code


def identifiers(layer: Layer, mapping: LayerMapping) -> list[Value | None]:
    """Return what may name the records, best first: fields, or what the mapping says.

    All but the last must prove themselves: filled and unique throughout the layer. The last may be None: nothing
    names the records.
    """
    if mapping.source_id is not None:
        return [mapping.source_id]
    if SOURCE_ID in layer.schema.names:
        return [SOURCE_ID]
    fields = {name.lower(): name for name in layer.schema.names if name not in RESERVED}
    return [*(fields[name] for name in IDENTIFIER_FIELDS if name in fields), None]


def source_ids(table: pa.Table, identifier: Value | None, layer: Layer, path: object, faults: Faults) -> Codes:
    """Return what names each record, None where nothing does."""
    if identifier is None:
        return [None] * table.num_rows
    if identifier == SOURCE_ID:
        return _text(table.column(SOURCE_ID))
    return _text(value_of(table, identifier, layer, path, "source_id", faults))


def value_of(table: pa.Table, value: Value, layer: Layer, path: object, name: str, faults: Faults) -> pa.ChunkedArray:
    """Return what a mapping gives for `name`: a field, or an expression over fields.

    Raises
    ------
    InvalidData : the layer has no such field, or an expression does not fit the types of its fields.
    """
    if isinstance(value, str):
        return field_of(table, value, layer, path)
    try:
        return value.evaluate(lambda field: field_of(table, field, layer, path), table.num_rows, name, faults)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise InvalidData(f"{path}: layer {layer.name!r}: {name}: {value.text!r} does not work out: {error}") from error


def field_of(table: pa.Table, name: str, layer: Layer, path: object) -> pa.ChunkedArray:
    """Return the field a mapping names; `fid` is the row number where no attribute has that name.

    Raises
    ------
    InvalidData : the layer has no such field.
    """
    names = [n for n in table.column_names if n not in RESERVED]
    if name in names:
        return table.column(name)
    if name == "fid" and FEATURE_ID in table.column_names:
        return table.column(FEATURE_ID)
    raise InvalidData(f"{path}: layer {layer.name!r} has no field {name!r}; it has {', '.join(names) or 'none'}")


def given_codes(values: pa.ChunkedArray, feature_type: FeatureType, faults: Faults) -> Codes:
    """Return the canonical codes of a field, None where there is none; what the scheme refuses is a fault."""
    found, problems = codes.check_many_for(feature_type, _text(values))
    for row, problem in problems.items():
        faults.add([row], f"code: {problem}")
    return found


def by_identifiers(
    found: Codes, others: Mapping[str, Sequence[str | None]], feature_type: FeatureType, current: Current
) -> None:
    """Put, in place, the code of the one object that the other identifiers of a record name, where it has no code.

    Identifiers that name different objects, or none, decide nothing. An object is given to the first record only.
    """
    missing = [row for row, code in enumerate(found) if code is None]
    asked = {(scheme, value) for scheme, values in others.items() for row in missing if (value := values[row])}
    if not asked:
        return
    objects = current(asked, feature_type.name)
    given = {code for code in found if code is not None}
    for row in missing:
        named = {
            code
            for scheme, values in others.items()
            if (value := values[row]) is not None
            for code in objects.get((scheme, value), ())
        }
        if len(named) == 1 and not named & given:
            (found[row],) = named
            given |= named


def as_json(others: Mapping[str, Sequence[str | None]]) -> list[str | None]:
    """Return the other identifiers of each record as a JSON object by scheme, None where it has none."""
    rows = zip(*others.values(), strict=True)
    named = ({scheme: value for scheme, value in zip(others, row, strict=True) if value is not None} for row in rows)
    return [json.dumps(record) if record else None for record in named]


def mint_missing(
    found: Codes, ids: Codes, content: pa.Table, identity: str, feature_type: FeatureType, faults: Faults
) -> Mask:
    """Put a provisional code wherever there is none, in place; return where it comes from the record's content alone.

    A record is named by its geometry in the form it is stored in, so that another file format, or another CRS, gives
    the same name; by its attributes where it has none.
    """
    good = faults.good()
    missing = [row for row, code in enumerate(found) if code is None and good[row]]
    named = [row for row in missing if ids[row] is not None]
    minted = provisional.mint_many(feature_type.name, identity, [ids[row] or "" for row in named])
    for row, code in zip(named, minted, strict=True):
        found[row] = code
    nameless = [row for row in missing if ids[row] is None]
    minted = provisional.mint_many(feature_type.name, _CONTENT, _content_names(content, nameless))
    for row, code in zip(nameless, minted, strict=True):
        found[row] = code
    mask = np.zeros(len(found), dtype=bool)
    mask[nameless] = True
    return mask


def mint_apart(feature_type: FeatureType, codes: Sequence[str], contents: Sequence[str]) -> list[str]:
    """Return the codes of records that share the name of their geometry, told apart by digests of their content."""
    names = [f"{code}{content}" for code, content in zip(codes, contents, strict=True)]
    return provisional.mint_many(feature_type.name, _CONTENT, names)


def references(values: Sequence[str | None], name: str, referred: FeatureType, faults: Faults) -> Codes:
    """Return the canonical codes a reference column holds; what the referred type's scheme refuses is a fault."""
    found, problems = codes.check_many_for(referred, values)
    for row, problem in problems.items():
        faults.add([row], f"{name}: {problem}")
    return found


def parents_by_code(found: Codes, feature_type: FeatureType, dictionary: Dictionary) -> dict[str, Codes]:
    """Return, by reference column, the codes that an object's own code tells: of its parcel, of its building."""
    scheme = codes.scheme_of(feature_type)
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


def parents_by_file(table: pa.Table, feature_type: FeatureType, known: Known) -> dict[str, Codes]:
    """Return, by reference column, the codes of the parent named in the same file and of what that belongs to."""
    if PARENT_SOURCE_ID not in table.column_names:
        return {}
    parents = [known.objects.get(i or "", {}) for i in table.column(PARENT_SOURCE_ID).to_pylist()]
    return {
        p.name: [parent.get(p.references) for parent in parents]
        for p in feature_type.properties
        if p.references is not None
    }


def count_parentless(table: pa.Table, known: Known) -> int:
    """Return how many records name a parent in the same file that was not taken."""
    if PARENT_SOURCE_ID not in table.column_names:
        return 0
    return sum(i is not None and not known.objects.get(i) for i in table.column(PARENT_SOURCE_ID).to_pylist())


def remember(known: Known, ids: Codes, found: Codes, feature_type: FeatureType, refs: Mapping[str, Codes]) -> None:
    """Note the layer's objects, so that the layers after it can name them as parents."""
    columns = {p.references: p.name for p in feature_type.properties if p.references is not None}
    for row, (source_id, code) in enumerate(zip(ids, found, strict=True)):
        if source_id is None or code is None:
            continue
        above = {of: refs[name][row] for of, name in columns.items() if name in refs}
        known.objects[source_id] = {of: c for of, c in above.items() if c is not None} | {feature_type.name: code}


def _text(values: pa.ChunkedArray) -> Codes:
    texts: Codes = text_of(values).to_pylist()
    return texts


def _content_names(content: pa.Table, rows: list[int]) -> list[str]:
    """Name records by the digest of their geometry, of their attributes where they have none."""
    if not rows:
        return []
    picked = content.take(pa.array(rows, pa.int64()))
    shapes: list[bytes | None] = [None] * len(rows)
    if GEOMETRY in picked.column_names:
        shapes = picked.column(GEOMETRY).to_pylist()
        picked = picked.drop_columns(GEOMETRY)
    return [
        hashlib.sha256(shape).hexdigest() if shape is not None else _digest_of(picked.slice(place, 1))
        for place, shape in enumerate(shapes)
    ]


def _digest_of(record: pa.Table) -> str:
    (plain,) = record.to_pylist()
    filled = {name: value for name, value in plain.items() if value is not None}
    return hashlib.sha256(json.dumps(filled, sort_keys=True, default=str).encode()).hexdigest()
