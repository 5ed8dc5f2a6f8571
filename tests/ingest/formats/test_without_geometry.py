"""Records without geometry among others: GDAL's quick way through FlatGeobuf gave those behind them wrong shapes."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
import shapely

from ingest.formats import ReadOptions, format_of

SHAPES = {"a": 0, "b": None, "c": 20, "d": 40, "e": None}


@pytest.mark.parametrize(
    ("name", "driver", "options"),
    [
        ("a.fgb", "FlatGeobuf", {"SPATIAL_INDEX": "NO"}),
        ("a.gpkg", "GPKG", {}),
        ("a.shp", "ESRI Shapefile", {}),
        ("a.geojson", "GeoJSON", {}),
        ("a.geojsonl", "GeoJSONSeq", {}),
        ("a.gdb", "OpenFileGDB", {}),
    ],
)
def test_each_record_has_its_own_geometry(tmp_path: Path, name: str, driver: str, options: dict[str, str]) -> None:
    shapes = [None if x is None else shapely.box(x, 0, x + 10, 10) for x in SHAPES.values()]
    path = tmp_path / name
    frame = gpd.GeoDataFrame({"name": list(SHAPES)}, geometry=shapes, crs=4490)
    pyogrio.write_dataframe(frame, path, driver=driver, **options)
    (layer,) = format_of(path).read(path, ReadOptions())
    records = layer.table().select(["name", "geom"]).to_pylist()
    west = {r["name"]: None if r["geom"] is None else shapely.from_wkb(r["geom"]).bounds[0] for r in records}
    assert west == SHAPES
