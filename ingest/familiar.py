"""Which records of a layer are familiar: their digests, the basis these hold on, and what reports count of them.

A record's digest is over its bytes as read: those of its numbers, with one that tells null, the lengths of its texts,
-1 for null, then the texts and the geometry. Two records have the same bytes only where they are the same, field by
field.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
import shapely

from cim import crs
from cim.codes import provisional
from cim.db.familiar import DIGESTS, Digests, Integers
from cim.dictionary import Dictionary
from cim.errors import CrsError
from ingest.clean import Cleaned
from ingest.expressions import Expression
from ingest.faults import Mask
from ingest.formats import Layer
from ingest.formats._base import FEATURE_ID, GEOMETRY
from ingest.mapping import LayerMapping, Value

# Part of the basis: raise it when the same record gives another row, or other traits.
_REVISION = 5
# Traits, to be added up. Above them lies the zone number of `ingest.clean.Cleaned`, so much more than nothing.
_BITS = tuple(1 << bit for bit in range(8))
_SHAPED, _REPAIRED, _MINTED, _NAMELESS, _PROVISIONAL, _HIGH, _MEASURED, _CURVED = _BITS
_ZONE, _ZERO = 8, 128
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)


def fields_of(layer: Layer, mapping: LayerMapping) -> list[str] | None:
    """Return the fields that tell records apart; None where some hold what has no bytes of its own, such as lists.

    The row number counts only where the mapping may ask for it: it changes with every record put in before.
    """
    numbered = '"fid"' in json.dumps(dict(mapping.document), ensure_ascii=False, default=str)
    fields = [field for field in layer.schema if field.name != FEATURE_ID or numbered]
    return [field.name for field in fields] if all(_is_plain(field.type) for field in fields) else None


def digests(table: pa.Table, fields: Sequence[str]) -> Digests:
    """Return the digest of each record, over these fields."""
    count = table.num_rows
    fixed: list[npt.NDArray[np.uint8]] = [np.zeros((count, 0), np.uint8)]
    texts: list[pa.Array] = []
    for name in fields:
        column = pa.concat_arrays(table.column(name).chunks) if table.column(name).num_chunks else table.column(name)
        if pa.types.is_null(column.type) or count == 0:
            continue
        if _is_text(column.type):
            lengths = pc.fill_null(pc.binary_length(column), -1)
            fixed.append(_bytes_of(lengths.cast(pa.int64())))
            texts.append(pc.fill_null(column.cast(pa.large_binary()), b""))
        else:
            fixed += [_bytes_of(column.is_valid().cast(pa.uint8())), _bytes_of(column)]
    block = np.ascontiguousarray(np.hstack(fixed))
    offsets = np.arange(count + 1, dtype=np.int64) * block.shape[1]
    first = pa.Array.from_buffers(pa.large_binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(block)])
    joined = pc.binary_join_element_wise(first, *texts, pa.scalar(b"", pa.large_binary()))
    _, places, data = joined.buffers()
    view = memoryview(data or b"")
    places = np.frombuffer(places, np.int64)[joined.offset : joined.offset + count + 1].tolist()
    size = DIGESTS.itemsize
    return np.frombuffer(b"".join([sha256(view[a:b]).digest()[:size] for a, b in pairwise(places)]), DIGESTS)


def _is_plain(kind: pa.DataType) -> bool:
    return _is_text(kind) or pa.types.is_null(kind) or (pa.types.is_primitive(kind) and kind.bit_width <= 64)


def _is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in _TEXTS)


def _bytes_of(column: pa.Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of values of a fixed size, zeros for null, a row each."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    width = column.type.bit_width // 8
    plain = column.view({1: pa.uint8(), 2: pa.uint16(), 4: pa.uint32(), 8: pa.uint64()}[width])
    filled = pc.fill_null(plain, 0).to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(filled).view(np.uint8).reshape(len(column), width)


def digest_of_basis(
    layer: Layer, mapping: LayerMapping, dictionary: Dictionary, storage: pyproj.CRS, said: Sequence[Any]
) -> str:
    """Return the digest of all that decides, with a record, what becomes of it; `said` is what the operator chose."""
    parts = {
        "revision": [_REVISION, shapely.geos_version_string, pyproj.proj_version_str],
        "fields": [[field.name, str(field.type)] for field in layer.schema],
        "mapping": [dict(mapping.document), {name: column.field for name, column in mapping.columns.items()}],
        "dictionary": dictionary.basis(),
        "systems": [way_of(layer.crs, storage), storage.to_wkt()],
        "said": list(said),
    }
    return sha256(json.dumps(parts, sort_keys=True, default=_text).encode()).hexdigest()


def way_of(system: pyproj.CRS | None, storage: pyproj.CRS) -> list[str]:
    """Return a system and the way from it to the storage CRS, as text; nothing for no system."""
    if system is None:
        return []
    try:
        return [system.to_wkt(), crs.way(system, storage)]
    except CrsError as error:
        return [system.to_wkt(), str(error)]


def _text(value: Value | None) -> str | None:
    return value.text if isinstance(value, Expression) else value


def traits_of(
    codes: pa.ChunkedArray, shaped: Mask, minted: Mask, nameless: Mask, cleaned: Cleaned, places: Integers
) -> Integers:
    """Return what reports count of records, as one number each; of the records cleaned, they are those at `places`."""
    named = pc.starts_with(codes, provisional.PREFIX).to_numpy(zero_copy_only=False)
    ours = (mask[places] for mask in (cleaned.repaired, cleaned.high, cleaned.measured, cleaned.curved))
    repaired, high, measured, curved = ours
    masks = (shaped, repaired, minted, nameless, named, high, measured, curved)
    traits = (cleaned.zones[places] + _ZERO) << _ZONE
    for bit, mask in zip(_BITS, masks, strict=True):
        traits += mask.astype(np.int64) * bit
    return traits


@dataclass(frozen=True, slots=True)
class Met:
    """How many familiar records were met, and how many of them reports count as what; `zones` as in `Cleaned`."""

    count: int = 0
    shaped: int = 0
    repaired: int = 0
    minted: int = 0
    nameless: int = 0
    provisional: int = 0
    high: int = 0
    measured: int = 0
    curved: int = 0
    zones: frozenset[int] = frozenset()

    @classmethod
    def of(cls, traits: Integers) -> Met:
        """Count."""
        shaped, repaired, minted, nameless, provisional, high, measured, curved = (
            int((traits & bit > 0).sum()) for bit in _BITS
        )
        zones = frozenset((np.unique(traits >> _ZONE) - _ZERO).tolist())
        return cls(len(traits), shaped, repaired, minted, nameless, provisional, high, measured, curved, zones)


NONE_MET = Met()


def shaped(table: pa.Table) -> Mask:
    """Tell which records have geometry."""
    if GEOMETRY not in table.column_names:
        return np.zeros(table.num_rows, bool)
    has: Mask = pc.is_valid(table.column(GEOMETRY)).to_numpy(zero_copy_only=False)
    return has
