"""Turn back coordinates that were shifted on purpose (GCJ-02, BD-09), where the operator says that they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import shapely

from cim import crs, shifted
from cim.errors import CrsError
from ingest.formats import Layer
from ingest.formats._base import GEOMETRY, free_name

# The attribute that says of a record what its coordinates were.
FIELD = "coordinates_from"


def unshifted(layer: Layer, system: str) -> Layer:
    """Return the layer in degrees of WGS 84, each record with an attribute that names what it came in.

    Parameters
    ----------
    system : one of `cim.shifted.SYSTEMS`

    Raises
    ------
    CrsError : the layer is not in degrees, or the system is unknown.
    """
    if layer.crs is not None and not layer.crs.is_geographic:
        raise CrsError(
            f"layer {layer.name!r} states {crs.name(layer.crs)}, and {system.upper()} is in degrees;"
            " leave --shifted out"
        )
    schema = layer.schema.append(pa.field(free_name(FIELD, dict.fromkeys(layer.schema.names)), pa.string()))
    place = layer.schema.names.index(GEOMETRY)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in layer.batches():
            binary = batch.column(place).to_numpy(zero_copy_only=False).astype(object)
            shapes = shapely.from_wkb(binary, on_invalid="ignore")
            found = ~shapely.is_missing(shapes)
            moved = shapely.transform(shapes[found], lambda degrees: shifted.to_wgs84(degrees, system))
            binary[found] = shapely.to_wkb(moved, flavor="iso", byte_order=1)
            columns = [*batch.columns, pa.array([system.upper() if one else None for one in found], pa.string())]
            columns[place] = pa.array(binary, pa.binary())
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    layer.warnings.append(f"coordinates are turned back from {system.upper()} to WGS 84 by a formula nobody publishes")
    return replace(layer, schema=schema, batches=batches, crs=crs.parse(4326))
