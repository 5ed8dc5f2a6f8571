"""CSV (RFC 4180) with a header, geometry as WKT in the axis order of the CRS's URI, objects as JSON."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pa_csv
import shapely

from api.formats import BulkFormat, Layer


def _write(layer: Layer) -> Iterator[bytes]:
    batches = iter(layer.stream)
    schema = _texts(layer.stream.schema.empty_table().to_batches(), layer, layer.stream.schema)
    yield _encoded(schema, header=True)
    for batch in batches:
        yield _encoded(_texts([batch], layer, layer.stream.schema), header=False)


def _texts(batches: list[pa.RecordBatch], layer: Layer, schema: pa.Schema) -> pa.Table:
    table = pa.Table.from_batches(batches, schema)
    if "geom" not in table.column_names:
        return table
    shapes = shapely.from_wkb(table.column("geom").to_numpy(zero_copy_only=False))
    if layer.reference.flip:
        shapes = shapely.transform(shapes, lambda xy: xy[:, ::-1])
    texts = shapely.to_wkt(shapes, rounding_precision=layer.reference.decimals)
    place = table.column_names.index("geom")
    return table.set_column(place, "geom", pa.array(texts, pa.string(), from_pandas=True))


def _encoded(table: pa.Table, *, header: bool) -> bytes:
    sink = io.BytesIO()
    # Text stands in quotes, so that a missing one is not an empty one.
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(include_header=header))
    return sink.getvalue()


FORMAT = BulkFormat("csv", "text/csv; charset=utf-8; header=present", "CSV", ".csv", "columns", _write)
