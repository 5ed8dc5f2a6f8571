"""FlatGeobuf, written by GDAL to a file that is then sent: where every object has a geometry, with a spatial index.

The index stands before the features, so nothing can be sent until the last is known.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyogrio

from api.formats import BulkFormat, Layer
from api.formats._arrow import GEOMETRY, batches_of, crs_of, schema_of

_PIECE = 1 << 18
_KINDS = {"Geometry": "Unknown"}  # what GDAL calls any kind


def _write(layer: Layer) -> Iterator[bytes]:
    schema = schema_of(layer)
    shaped = GEOMETRY in schema.names
    with tempfile.TemporaryDirectory(prefix="cim-export-") as folder:
        path = Path(folder, f"{layer.feature_type.name}.fgb")
        pyogrio.write_arrow(
            pa.RecordBatchReader.from_batches(schema, batches_of(layer, schema)),
            path,
            layer=layer.feature_type.name,
            driver="FlatGeobuf",
            geometry_name=GEOMETRY if shaped else None,
            geometry_type=_KINDS.get(str(layer.feature_type.geometry), layer.feature_type.geometry) if shaped else None,
            crs=crs_of(layer).to_wkt() if shaped else None,
            # GDAL's index has no place for a feature without geometry.
            SPATIAL_INDEX="YES" if shaped and layer.feature_type.geometry_required else "NO",
        )
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece


FORMAT = BulkFormat("fgb", "application/flatgeobuf", "FlatGeobuf", ".fgb", "columns", _write)
