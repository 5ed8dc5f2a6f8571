"""Attributes of formats that have text only: their types, and which of them names the record."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ingest.formats._base import RESERVED, SOURCE_ID

# Only text that we would write the same way: 0101, 1.50 and 1e3 stay text, and a double holds 15 digits for sure.
_KINDS = (
    (r"^(0|-?[1-9][0-9]{0,14})$", pa.int64()),
    (r"^(0|-?[1-9][0-9]{0,14}|-?(0|[1-9][0-9]{0,6})\.[0-9]{0,7}[1-9])$", pa.float64()),
    (r"^(true|false)$", pa.bool_()),
)


def typed(table: pa.Table) -> pa.Table:
    """Return the table with text columns as whole numbers, numbers or flags where every value reads as one.

    No value changes by it: written as text again it is what it was.
    """
    for place, field in enumerate(table.schema):
        if field.name not in RESERVED and pa.types.is_string(field.type):
            column = table.column(place)
            table = table.set_column(place, field.name, column.cast(_kind_of(column)))
    return table


def _kind_of(column: pa.ChunkedArray) -> pa.DataType:
    if column.null_count < len(column):
        for pattern, kind in _KINDS:
            # Null, where the value is null, counts as fitting.
            if pc.all(pc.match_substring_regex(column, pattern)).as_py() is not False:
                return kind
    return column.type


def identified(table: pa.Table, name: str) -> pa.Table:
    """Return the table with the column of this name, if it has one, as that of the source's own identifiers."""
    if name not in table.column_names:
        return table
    place = table.column_names.index(SOURCE_ID)
    return table.set_column(place, SOURCE_ID, table.column(name).cast(pa.string())).drop_columns([name])
