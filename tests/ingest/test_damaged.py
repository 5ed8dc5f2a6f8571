"""What of a layer is damaged is told, and does not take what is sound with it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely

from cim.db.engine import Database
from ingest import LayerReport, Options, ingest

Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]
Rows = Callable[..., list[dict[str, Any]]]


def only(database: Database, path: Path, **options: Any) -> LayerReport:
    report = ingest(database, [path], Options(**options))
    assert report.refused == []
    (layer,) = report.files[0].layers
    return layer


def test_a_geometry_that_gdal_cannot_read_is_told_of(
    database: Database, tmp_path: Path, square: Shape, capfd: pytest.CaptureFixture[str]
) -> None:
    shapes = [json.loads(shapely.to_geojson(square())), {"type": "Prism", "coordinates": [1, 2]}, None]
    features = [{"type": "Feature", "properties": {"name": str(n)}, "geometry": g} for n, g in enumerate(shapes)]
    system = {"type": "name", "properties": {"name": "EPSG:4548"}}
    path = tmp_path / "building.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": system, "features": features}))
    layer = only(database, path)
    assert (layer.read, layer.inserted) == (3, 3)
    assert "without geometry: 2" in layer.warnings
    # GDAL says so in the thread that reads ahead, where nobody listened: it went to the terminal instead.
    assert "Unsupported geometry type detected. Feature gets NULL geometry assigned." in layer.warnings
    assert capfd.readouterr().err == ""


def test_a_damaged_curve_is_a_reject_and_the_others_are_taken(
    database: Database, tmp_path: Path, square: Shape, rows: Rows
) -> None:
    arc = bytes.fromhex("01 08000000 03000000") + b"".join(shapely.to_wkb(shapely.Point(x, x))[5:] for x in (1, 2, 3))
    shapes = [shapely.to_wkb(square()), arc, arc[:-9], shapely.to_wkb(square(100))]
    table = pa.table({"name": ["a", "arc", "cut", "b"], "geometry": shapes})
    column = {"encoding": "WKB", "geometry_types": [], "crs": json.loads(pyproj.CRS(4548).to_json())}
    geo = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": column}}
    path = tmp_path / "building.parquet"
    pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo).encode()}), path)
    layer = only(database, path)
    assert (layer.inserted, layer.rejected) == (2, 2)
    assert layer.reasons == {
        "geom: is damaged or of a kind that cannot be stored": 1,
        "geom: is a LineString, expected MultiPolygon": 1,
    }
    assert sorted(row["name"] for row in rows("building", "name")) == ["a", "b"]


def test_text_that_is_no_shape_is_a_reject(database: Database, tmp_path: Path, square: Shape) -> None:
    path = tmp_path / "building.csv"
    path.write_text(f'name,wkt\na,"{square().wkt}"\nb,"POLYGON((1 2"\nc,113°55\nd,\n', encoding="utf-8")
    layer = only(database, path, crs=pyproj.CRS(4548))
    assert (layer.read, layer.inserted, layer.rejected) == (4, 2, 2)
    assert layer.reasons == {"geom: is damaged or of a kind that cannot be stored": 2}


def test_what_a_geopackage_has_in_its_log_is_read_and_the_file_stays_as_it_is(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    path = write(tmp_path / "open" / "building.gpkg", [{"name": "a"}], [square()])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("INSERT INTO building (name) VALUES ('b')")
        connection.commit()
        left = tmp_path / "left"
        left.mkdir()
        for name in ("building.gpkg", "building.gpkg-wal"):
            shutil.copy(path.with_name(name), left / name)
    before = {p.name: p.read_bytes() for p in left.iterdir()}
    layer = only(database, left / "building.gpkg")
    assert (layer.read, layer.inserted) == (2, 2)
    assert sorted(row["name"] for row in rows("building", "name")) == ["a", "b"]
    assert {p.name: p.read_bytes() for p in left.iterdir()} == before
