"""Arrow IPC stream, geometry as WKB by the GeoArrow extension type `geoarrow.wkb`."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from api.formats import BulkFormat, Layer
from api.formats._arrow import batches_of, schema_of
from api.formats._sink import Sink


def _write(layer: Layer) -> Iterator[bytes]:
    schema, sink = schema_of(layer), Sink()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches_of(layer, schema):
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


FORMAT = BulkFormat("arrow", "application/vnd.apache.arrow.stream", "Arrow stream", ".arrows", "columns", _write)
