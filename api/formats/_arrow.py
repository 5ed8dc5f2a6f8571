"""What the formats that are Arrow inside share: what the schema says of geometry and state."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa
import pyproj

from api.formats import Layer
from api.reference import CRS84

GEOMETRY = "geom"


def crs_of(layer: Layer) -> pyproj.CRS:
    """Return the CRS of the coordinates, which are x before y whatever the CRS says."""
    return pyproj.CRS("OGC:CRS84" if layer.reference.uri == CRS84 else layer.reference.srid)


def schema_of(layer: Layer) -> pa.Schema:
    """Return the schema of the batches with geometry as `geoarrow.wkb`, and the state in its metadata."""
    schema = layer.stream.schema
    if GEOMETRY in schema.names:
        extension = {
            "ARROW:extension:name": "geoarrow.wkb",
            "ARROW:extension:metadata": json.dumps({"crs": crs_of(layer).to_json_dict(), "crs_type": "projjson"}),
        }
        place = schema.get_field_index(GEOMETRY)
        schema = schema.set(place, pa.field(GEOMETRY, pa.binary(), metadata=extension))
    state = layer.state
    said = {"cim:type": layer.feature_type.name, "cim:state": state.kind, "cim:tree_size": str(state.size)}
    return schema.with_metadata({**said, "cim:tree_root": state.root.hex()})


def batches_of(layer: Layer, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the batches under that schema."""
    for batch in layer.stream:
        yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
