"""Write layers so that the same records give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ingest.gdal import pyogrio

Record = dict[str, Any]
Columns = dict[str, pa.DataType]
Floats = NDArray[np.float64]

PROJECTED = "EPSG:4548"  # CGCS2000 / 3-degree Gauss-Kruger CM 117E
GEOGRAPHIC = "EPSG:4490"  # CGCS2000, longitude and latitude
# The day the delivery claims to have been written, where a format insists on one.
WRITTEN = "2025-06-01"

TEXT, WHOLE, REAL, FLAG, DAY = pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.date32()


def degrees(geometry: BaseGeometry | None) -> BaseGeometry | None:
    """Return EPSG:4548 geometry as CGCS2000 longitude and latitude, to 1e-9 degrees (0.1 mm)."""
    if geometry is None:
        return None
    # Both are CGCS2000: this is a projection only, no change of datum.
    change = pyproj.Transformer.from_crs(PROJECTED, GEOGRAPHIC, always_xy=True)

    def turn(xy: Floats) -> Floats:
        return np.column_stack(change.transform(xy[:, 0], xy[:, 1])).round(9)

    return shapely.transform(geometry, turn)


def gdal_layer(
    path: Path,
    driver: str,
    layer: str,
    columns: Columns,
    kind: str | None,
    records: Sequence[Record],
    crs: str = PROJECTED,
) -> None:
    """Write or add one layer; `kind` is its geometry type, None for a table without geometry."""
    options: dict[str, Any] = {}
    arrays = [pa.array([_cell(r.get(name), dtype) for r in records], dtype) for name, dtype in columns.items()]
    names = list(columns)
    if kind is not None:
        shapes = [None if r["geom"] is None else shapely.to_wkb(r["geom"], flavor="iso") for r in records]
        arrays.append(pa.array(shapes, pa.binary()))
        names.append("geom")
        options = {"geometry_name": "geom", "geometry_type": kind, "crs": crs}
    if driver == "GPKG" and kind is not None:
        options["GEOMETRY_NAME"] = "geom"
    gdal = pyogrio()
    gdal.set_gdal_config_options({"OGR_CURRENT_DATE": f"{WRITTEN}T00:00:00.000Z"})
    try:
        gdal.write_arrow(
            pa.table(arrays, names=names), path, layer=layer, driver=driver, append=path.exists(), **options
        )
    finally:
        gdal.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _cell(value: Any, dtype: pa.DataType) -> Any:
    if dtype == DAY and isinstance(value, str):
        return pa.scalar(value).cast(pa.date32()).as_py()
    return value


def geojson(path: Path, columns: Sequence[str], records: Sequence[Record]) -> None:
    """Write GeoJSON as RFC 7946 wants it, one feature a line, in CGCS2000 longitude and latitude."""
    lines = []
    for record in records:
        geometry = degrees(record["geom"])
        feature = {
            "type": "Feature",
            "properties": {name: record.get(name) for name in columns},
            "geometry": None if geometry is None else json.loads(shapely.to_geojson(geometry)),
        }
        lines.append(json.dumps(feature, ensure_ascii=False, separators=(",", ":")))
    head = f'"type":"FeatureCollection","name":"{path.stem}","features":[\n'
    path.write_text("{" + head + ",\n".join(lines) + "\n]}\n", encoding="utf-8", newline="\n")
