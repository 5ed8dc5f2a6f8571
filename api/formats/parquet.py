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


def _write(layer: Layer) -> Iterator[bytes]:
    schema, sink = schema_of(layer), Sink()
    bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
    # A dictionary of what is never twice the same takes time to write and to read, and room.
    repeated = [name for name in schema.names if name not in (GEOMETRY, "code")]
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=repeated) as writer:
        for batch in batches_of(layer, schema):
            writer.write_batch(batch)
            if GEOMETRY in schema.names:
                bounds = _around(bounds, batch.column(GEOMETRY))
            yield sink.taken()
        writer.add_key_value_metadata(_geo(layer, bounds))
    yield sink.taken()


def _around(bounds: Any, column: pa.Array) -> Any:
    """Return the bounds with those of the column's geometries, x before y."""
    boxes = shapely.bounds(shapely.from_wkb(column.drop_null().to_numpy(zero_copy_only=False)))
    if not len(boxes):
        return bounds
    return np.concatenate([np.minimum(bounds[:2], boxes[:, :2].min(0)), np.maximum(bounds[2:], boxes[:, 2:].max(0))])


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
