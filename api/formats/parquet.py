"""GeoParquet 1.1: Parquet with WKB geometry, its CRS in the file; plain Parquet for types without geometry.

Source
------
https://geoparquet.org/releases/v1.1.0/
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from api.formats import BulkFormat, Layer
from api.formats._arrow import GEOMETRY, batches_of, crs_of, schema_of
from api.formats._sink import Sink
from api.reference import CRS84

# Bytes before the first corner where there is one part, and one ring; the last four say how many corners there are.
_BEFORE = {"MultiLineString": 18, "MultiPolygon": 22}


def _write(layer: Layer) -> Iterator[bytes]:
    schema, sink = schema_of(layer), Sink()
    bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
    # A dictionary of what is never twice the same takes time to write and to read, and room.
    repeated = [name for name in schema.names if name not in (GEOMETRY, "code")]
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=repeated) as writer:
        for batch in batches_of(layer, schema):
            writer.write_batch(batch)
            if GEOMETRY in schema.names:
                bounds = _around(bounds, batch.column(GEOMETRY).drop_null(), str(layer.feature_type.geometry))
            yield sink.taken()
        writer.add_key_value_metadata(_geo(layer, bounds))
    yield sink.taken()


def _around(bounds: Any, shapes: pa.Array, kind: str) -> Any:
    """Return the bounds with those of geometries, x before y."""
    x, y, others = _plain_corners(shapes, _BEFORE.get(kind, 0))
    boxes = np.vstack([bounds, shapely.bounds(shapely.from_wkb(others.to_numpy(zero_copy_only=False)))])
    if len(x):
        boxes = np.vstack([boxes, [x.min(), y.min(), x.max(), y.max()]])
    return np.concatenate([np.fmin.reduce(boxes[:, :2]), np.fmax.reduce(boxes[:, 2:])])


def _plain_corners(shapes: pa.Array, before: int) -> tuple[Any, Any, pa.Array]:
    """Return the x and y of geometries of one part and one ring, looked up in their bytes, and the other geometries.

    To make geometries for their bounds alone takes four times as long, a quarter of the time of an export.
    """
    _, offsets, content = shapes.buffers()
    if not before or content is None or content.size < before:
        return np.empty(0), np.empty(0), shapes
    ends = np.frombuffer(offsets, np.int32)[shapes.offset :][: len(shapes) + 1].astype(np.int64)

    def at(places: Any, kind: str) -> Any:
        """Read numbers at any places; beyond the end, the last one."""
        numbers = np.ndarray(content.size - np.dtype(kind).itemsize + 1, kind, content, strides=(1,))
        return numbers[np.minimum(places, len(numbers) - 1)]

    begins, sizes = ends[:-1], np.diff(ends)
    counts = at(begins + before - 4, "<u4").astype(np.int64)
    plain = (sizes == before + 16 * counts) & (at(begins, "u1") == 1)  # 1: the low byte first
    begins, counts = begins[plain] + before, counts[plain]
    places = np.arange(counts.sum()) * 16 + np.repeat(begins - 16 * (counts.cumsum() - counts), counts)
    return at(places, "<f8"), at(places + 8, "<f8"), shapes.filter(pa.array(~plain))


def _geo(layer: Layer, bounds: Any) -> dict[bytes, bytes]:
    if GEOMETRY not in layer.stream.schema.names:
        return {}
    kind = layer.feature_type.geometry
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": [] if kind == "Geometry" else [kind]}
    if layer.reference.uri != CRS84:  # what it means where it is left out
        column["crs"] = crs_of(layer).to_json_dict()
    if np.isfinite(bounds).all():
        column["bbox"] = bounds.tolist()
    geo = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
    return {b"geo": json.dumps(geo).encode()}


FORMAT = BulkFormat("parquet", "application/vnd.apache.parquet", "GeoParquet", ".parquet", "columns", _write)
