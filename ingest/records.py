"""From a layer as read to rows ready for the database, and to the records that cannot be taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
import shapely

from cim import crs
from cim.codes import provisional
from cim.db.merge import AttributeField, Rows
from cim.dictionary import Dictionary, FeatureType
from cim.errors import CrsError
from cim.geometry import Geometries, to_wkb
from cim.log.entry import MAX_ENTRY
from ingest import identify
from ingest.clean import Linearise, clean
from ingest.faults import Faults
from ingest.formats import Layer
from ingest.formats._base import GEOMETRY, RESERVED
from ingest.identify import Codes, Known
from ingest.mapping import LayerMapping
from ingest.values import attribute_of, convert, is_json, repeat

# Fields our own export of rejects adds; they do not come back as attributes.
REJECT_FIELDS = ("_reject_reason", "_reject_layer", "_reject_file", "_reject_record")
# What an entry of the log holds besides the columns, at most, and how much JSON may swell a text.
_ENTRY_FRAME = 4096
_PER_COLUMN = 64


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be taken: where it was, why, and all of it as a GeoJSON feature with its CRS."""

    source_id: str | None
    reason: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of a layer's records before the database sees them."""

    rows: Rows
    rejected: list[Rejected]
    repaired: int
    provisional: int
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Context:
    """What preparing a layer needs beyond the layer: the dictionary, the systems, the operator's word."""

    path: Path
    dictionary: Dictionary
    storage: pyproj.CRS
    stated: pyproj.CRS | None
    assumed: pyproj.CRS | None
    linearise: Linearise
    known: Known


def prepare(layer: Layer, mapping: LayerMapping, context: Context) -> Prepared:
    """Map, convert, clean and identify the records of a layer.

    Raises
    ------
    InvalidData : the mapping names a field the layer does not have.
    CrsError : the layer's CRS is missing, wrong, or not reachable without guessing.
    """
    feature_type = context.dictionary.type(mapping.type)
    faults = Faults(layer.table.num_rows)
    warnings = list(layer.warnings)
    ids, chosen = identify.source_ids(layer, mapping, context.path, faults)
    columns = _columns(layer, mapping, feature_type, context, faults)
    attributes, fields = _attributes(layer, mapping, faults)
    geometry, repaired = _geometry(layer, mapping, feature_type, context, faults, warnings)
    found: Codes = [None] * faults.count
    if mapping.code is not None:
        values = identify.value_of(layer, mapping.code, context.path, "code", faults)
        found = identify.given_codes(values, feature_type, faults)
    lacking = sum(code is None for code in found)
    nameless = identify.mint_missing(found, ids, layer, mapping, faults)
    if nameless:
        warnings.append(
            f"without code and identifier: {nameless:,}; their provisional codes come from geometry or content:"
            " name a source_id in a mapping"
        )
    elif chosen is not None and lacking:
        warnings.append(chosen)
    columns, filled = _fill_references(columns, found, layer, feature_type, context, faults)
    content = pa.table(columns | attributes | ({GEOMETRY: geometry} if geometry is not None else {}))
    _check_size(content, faults)
    identify.duplicates(found, content, faults)
    if layer.feature_type is not None:  # only such formats name parents
        named = [p.name for p in feature_type.properties if p.references is not None and p.name in columns]
        refs = {name: columns[name].to_pylist() for name in named}
        identify.remember(context.known, ids, found, feature_type, refs)
    table = content.add_column(0, "code", pa.array(found, pa.string())).filter(pa.array(faults.good()))
    carried = [n for n in columns if n not in filled]
    return Prepared(
        rows=Rows(table, carried, filled, fields, geometry is not None),
        rejected=_rejected(layer, ids, faults),
        repaired=int((repaired & faults.good()).sum()),
        provisional=int(pc.sum(pc.starts_with(table["code"], provisional.PREFIX)).as_py() or 0),
        warnings=warnings,
    )


def _columns(
    layer: Layer, mapping: LayerMapping, feature_type: FeatureType, context: Context, faults: Faults
) -> dict[str, pa.Array]:
    columns: dict[str, pa.Array] = {}
    for prop in feature_type.properties:
        column = mapping.columns.get(prop.name)
        if column is None:
            if prop.required:
                faults.add(np.ones(faults.count, bool), f"{prop.name}: is missing, and the layer has no field for it")
            continue
        value = column.field or column.expression
        if value is None:
            constant = column.constant if column.constant is not None else ""
            columns[prop.name] = repeat(constant, prop, context.dictionary, faults)
            continue
        source = identify.value_of(layer, value, context.path, prop.name, faults)
        columns[prop.name] = convert(source, prop, column, context.dictionary, faults)
    return columns


def _attributes(
    layer: Layer, mapping: LayerMapping, faults: Faults
) -> tuple[dict[str, pa.Array], list[AttributeField]]:
    # What an expression reads stays: it may take only a part.
    used = {c.field for c in mapping.columns.values()} | {mapping.code}
    used |= RESERVED.union(REJECT_FIELDS)
    names = [n for n in layer.table.column_names if n not in used]
    values: dict[str, pa.Array] = {}
    fields: list[AttributeField] = []
    for number, name in enumerate(names):
        source = layer.table.column(name)
        fields.append(AttributeField(f"attribute_{number}", name, is_json(source.type)))
        values[f"attribute_{number}"] = attribute_of(source, name, faults)
    return values, fields


def _geometry(
    layer: Layer,
    mapping: LayerMapping,
    feature_type: FeatureType,
    context: Context,
    faults: Faults,
    warnings: list[str],
) -> tuple[pa.Array | None, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return the cleaned geometry column, None where the layer has none at all, and what was repaired."""
    column = layer.table.column(GEOMETRY)
    none = np.zeros(faults.count, dtype=bool)
    if feature_type.geometry is None:
        return None, none
    if column.null_count == len(column):
        if feature_type.geometry_required:
            faults.add(~none, f"geom: has no geometry, expected {feature_type.geometry}")
        return None, none
    system = _system(layer, mapping, context, warnings)
    cleaned = clean(
        column,
        feature_type.geometry,
        feature_type.geometry_required,
        system,
        context.storage,
        context.linearise,
        faults,
        vouched=system is not layer.crs,
    )
    warnings += cleaned.remarks
    warnings += _moved(cleaned.geometries, system, context.storage)
    return pa.array(to_wkb(cleaned.geometries), pa.binary()), cleaned.repaired


def _moved(geometries: Geometries, source: pyproj.CRS, storage: pyproj.CRS) -> list[str]:
    """Say how well the way to the storage CRS is known, where it changes the datum."""
    coordinates = shapely.get_coordinates(geometries)
    if len(coordinates) == 0 or crs.same_datum(source, storage):
        return []
    area = crs.geographic_bounds(crs.extent(coordinates), storage)
    metres = crs.accuracy(source, storage, area)
    stated = "not stated" if metres is None else f"{metres:g} m"
    return [f"moved from {crs.name(source)} to {crs.name(storage)}; accuracy of the datum change: {stated}"]


def _system(layer: Layer, mapping: LayerMapping, context: Context, warnings: list[str]) -> pyproj.CRS:
    """Return the CRS of the layer's coordinates: what is assumed, else what the file states, else the option."""
    assumed = context.assumed or (None if mapping.assume_crs is None else crs.parse(mapping.assume_crs))
    if assumed is not None:
        if layer.crs is not None and not crs.same(layer.crs, assumed):
            stated = crs.name(layer.crs)
            warnings.append(f"coordinates are assumed to be {crs.name(assumed)}, though the source states {stated}")
        return assumed
    system = layer.crs or context.stated
    if system is None:
        raise CrsError(f"{context.path}: layer {layer.name!r} states no CRS; say which with --crs, or in its mapping")
    return system


def _fill_references(
    columns: dict[str, pa.Array],
    found: Codes,
    layer: Layer,
    feature_type: FeatureType,
    context: Context,
    faults: Faults,
) -> tuple[dict[str, pa.Array], list[str]]:
    """Check reference columns and fill their gaps; return the columns and which of them only we filled."""
    by_code = identify.parents_by_code(found, feature_type, context.dictionary)
    by_file = identify.parents_by_file(layer, feature_type, context.known)
    completed: dict[str, pa.Array] = dict(columns)
    filled: list[str] = []
    for prop in feature_type.properties:
        if prop.references is None:
            continue
        told: list[Sequence[str | None]] = [by[prop.name] for by in (by_code, by_file) if prop.name in by]
        told = [values for values in told if any(values)]
        if prop.name in columns:
            referred = context.dictionary.type(prop.references)
            own = identify.references(columns[prop.name].to_pylist(), prop.name, referred, faults)
            told.insert(0, own)
        elif told:
            filled.append(prop.name)
        if told:
            arrays = [pa.array(values, pa.string()) for values in told]
            completed[prop.name] = pc.coalesce(*arrays)
    return completed, filled


def _check_size(content: pa.Table, faults: Faults) -> None:
    """Fault records whose entry in the log might exceed what an entry may hold."""
    size = np.full(faults.count, _ENTRY_FRAME + _PER_COLUMN * content.num_columns, dtype=np.int64)
    for name in content.column_names:
        column = content.column(name)
        if name != GEOMETRY and pa.types.is_string(column.type):
            # Two bytes per character of JSON at most, control characters aside, which have six.
            size += 2 * pc.fill_null(pc.binary_length(column), 0).to_numpy().astype(np.int64)
    faults.add(
        size > MAX_ENTRY,
        lambda row: f"holds about {size[row]} bytes, and the log takes at most {MAX_ENTRY} a record",
    )


def _rejected(layer: Layer, ids: Codes, faults: Faults) -> list[Rejected]:
    reasons = list(faults)
    records = layer.table.take(pa.array([row for row, _ in reasons], pa.int64())).to_pylist()
    system = None if layer.crs is None else _crs_text(layer.crs)
    return [
        Rejected(ids[row] or str(row + 1), reason, _feature(record, system))
        for (row, reason), record in zip(reasons, records, strict=True)
    ]


def _feature(record: dict[str, Any], system: str | None) -> dict[str, Any]:
    """Return the record as a GeoJSON feature, coordinates as they came; hexadecimal WKB where that cannot be."""
    wkb = record.get(GEOMETRY)
    geometry: dict[str, Any] | None = None
    feature: dict[str, Any] = {
        "type": "Feature",
        "properties": {name: _plain(value) for name, value in record.items() if name not in RESERVED},
    }
    if wkb is not None:
        try:
            shape = shapely.from_wkb(wkb)
            geometry = shapely.geometry.mapping(shape)
            if not np.isfinite(shapely.get_coordinates(shape)).all():
                geometry = None
        except (shapely.errors.GEOSException, NotImplementedError):
            geometry = None
        if geometry is None:
            feature["wkb"] = wkb.hex()
    return feature | {"geometry": geometry, "crs": system}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, date):  # datetime too
        return value.isoformat()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _crs_text(system: pyproj.CRS) -> str:
    authority = system.to_authority()
    return ":".join(authority) if authority else str(system.to_wkt())
