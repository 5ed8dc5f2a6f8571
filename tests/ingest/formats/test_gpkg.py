"""GeoPackages as QGIS and others leave them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import shapely

from cim.db.engine import Database
from cim.errors import InvalidData
from ingest import Options, ingest
from ingest.formats import ReadOptions, format_of

Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]


def change(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as package:
        package.executescript(script)
    return path


@pytest.fixture
def viewed(tmp_path: Path, write: Write, square: Shape) -> Path:
    """Two buildings, and two views that the file does not register."""
    records = [{"name": "a", "height": 3.0}, {"name": "b", "height": 9.0}]
    path = write(tmp_path / "building.gpkg", records, [square(0), square(50)])
    high = "CREATE VIEW high AS SELECT * FROM building WHERE height > 5;"
    return change(path, f"{high} CREATE VIEW names AS SELECT fid, name FROM building")


def test_a_view_that_is_not_registered_brings_nothing_twice_and_is_told(database: Database, viewed: Path) -> None:
    report = ingest(database, [viewed])
    ((layer,),) = [file.layers for file in report.files]
    assert (layer.name, layer.read, layer.inserted, layer.rejected) == ("building", 2, 2, 0)
    assert "views that the file does not register as layers are left out: high, names; see --layer" in layer.warnings


def test_a_view_that_is_asked_for_or_registered_is_a_layer(database: Database, viewed: Path) -> None:
    (asked,) = ingest(database, [viewed], Options(layer="names", type="building", dry_run=True)).files
    assert [layer.name for layer in asked.layers] == ["names"]
    # As OGC 12-128r19, 2.1.1 and 2.1.5 have it: contents and geometry columns name tables or views.
    change(
        viewed,
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
        "SELECT 'high', 'features', 'high', srs_id FROM gpkg_contents WHERE table_name = 'building';"
        "INSERT INTO gpkg_geometry_columns SELECT 'high', column_name, geometry_type_name, srs_id, z, m "
        "FROM gpkg_geometry_columns WHERE table_name = 'building'",
    )
    layers = {layer.name: layer for layer in format_of(viewed).read(viewed, ReadOptions())}
    assert set(layers) == {"building", "high"}
    assert layers["high"].table().column("geom").null_count == 0


def test_a_file_of_nothing_but_such_views_has_no_layer(tmp_path: Path, viewed: Path) -> None:
    change(
        viewed,
        "DROP VIEW high; DROP VIEW names; CREATE VIEW one AS SELECT 1 AS fid;"
        "DELETE FROM gpkg_geometry_columns; DELETE FROM gpkg_contents; DROP TABLE building",
    )
    with pytest.raises(InvalidData, match="without any layer"):
        list(format_of(viewed).read(viewed, ReadOptions()))
