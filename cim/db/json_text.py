"""Arrow columns as JSON objects, one a row, without a Python object per value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cim.log.columns import quoted
from cim.log.entry import MAX_INTEGER

Array = Any  # pa.Array or pa.ChunkedArray: pyarrow ships no type information


def objects(columns: Mapping[str, Array], nested: set[str]) -> Array:
    """Return the text of a JSON object per row, of the values that are not null; null where all are.

    Parameters
    ----------
    columns : at least one, by key: text, integers, finite floats or booleans. Integers beyond 2^53, which readers of
        JSON would round, become text.
    nested : keys of columns whose text is JSON already.
    """
    members = [
        pc.binary_join_element_wise(json.dumps(key, ensure_ascii=False) + ":", _value(values, key in nested), ",", "")
        for key, values in columns.items()
    ]
    # Not by null_handling="skip": that leaves out rows of nulls only (pyarrow 25).
    joined = pc.binary_join_element_wise(*members, "", null_handling="replace", null_replacement="")
    joined = pc.ascii_rtrim(joined, ",")
    joined = pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)
    return pc.binary_join_element_wise("{", joined, "}", "")


def _value(values: Array, nested: bool) -> Array:
    kind = values.type
    if nested:
        return values
    if pa.types.is_string(kind):
        return quoted(values)
    text = values.cast(pa.string())
    if pa.types.is_integer(kind) and kind.bit_width == 64:
        exact = pc.and_(pc.less_equal(values, MAX_INTEGER), pc.greater_equal(values, -MAX_INTEGER))
        return pc.if_else(exact, text, pc.binary_join_element_wise('"', text, '"', ""))
    return text
