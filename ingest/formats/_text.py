"""Types of attributes that a format gives as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from ingest.formats._base import RESERVED, SOURCE_ID, Layer

# Only text that we would write the same way: 0101, 1.50 and 1e3 stay text, and a double holds 15 digits for sure.
_KINDS = (
    (r"^(0|-?[1-9][0-9]{0,14})$", pa.int64()),
    (r"^(0|-?[1-9][0-9]{0,14}|-?(0|[1-9][0-9]{0,6})\.[0-9]{0,7}[1-9])$", pa.float64()),
    (r"^(true|false)$", pa.bool_()),
)


def typed(layer: Layer) -> Layer:
    """Return the layer with text columns as whole numbers, numbers or flags where every value reads as one.

    No value changes by it: written as text again it is what it was. The records are read once to find out.
    """
    columns = [field.name for field in layer.schema if field.name not in RESERVED and pa.types.is_string(field.type)]
    fitting = {name: list(_KINDS) for name in columns}
    filled = dict.fromkeys(columns, False)
    for batch in layer.batches():
        for name in columns:
            column = batch.column(name)
            filled[name] |= column.null_count < len(column)
            # Null, where the value is null, counts as fitting.
            fitting[name] = [
                kind for kind in fitting[name] if pc.all(pc.match_substring_regex(column, kind[0])).as_py() is not False
            ]
    found = {name: fitting[name][0][1] for name in columns if filled[name] and fitting[name]}
    schema = pa.schema([field.with_type(found.get(field.name, field.type)) for field in layer.schema])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in layer.batches():
            yield batch.cast(schema)

    return replace(layer, schema=schema, batches=batches) if found else layer


def without(layer: Layer, names: frozenset[str]) -> Layer:
    """Return the layer without some of its columns."""
    kept = [name for name in layer.schema.names if name not in names]

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in layer.batches():
            yield batch.select(kept)

    return replace(layer, schema=pa.schema([layer.schema.field(name) for name in kept]), batches=batches)


def identified(layer: Layer, name: str) -> Layer:
    """Return the layer with the column of this name, if it has one, as that of the source's own identifiers."""
    return renamed(layer, {name: SOURCE_ID})


def renamed(layer: Layer, names: Mapping[str, str]) -> Layer:
    """Return the layer with some of its columns, if it has them, under other names."""
    if names.keys().isdisjoint(layer.schema.names):
        return layer
    schema = pa.schema([field.with_name(names.get(field.name, field.name)) for field in layer.schema])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in layer.batches():
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)

    return replace(layer, schema=schema, batches=batches)
