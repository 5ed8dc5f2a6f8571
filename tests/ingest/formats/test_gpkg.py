"""GeoPackages as QGIS and others leave them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date
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


ENDLESS = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n AS fid FROM t"
REGISTER = "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('endless', 'attributes', 'endless');"


@pytest.mark.parametrize(
    ("script", "asked", "message"),
    [
        (f"CREATE VIEW endless AS {ENDLESS} WHERE n < 0", None, "its view 'endless' does not come to an end"),
        (f"CREATE VIEW endless AS {ENDLESS}; {REGISTER}", None, "its view 'endless' does not come to an end"),
        (f"CREATE VIEW endless AS {ENDLESS}", "endless", "its view 'endless' does not come to an end"),
        (
            "ALTER TABLE gpkg_contents RENAME TO contents; CREATE VIEW gpkg_contents AS SELECT * FROM contents",
            None,
            "its gpkg_contents is a view, expected a table",
        ),
    ],
)
def test_a_view_without_end_is_refused_before_gdal_is_lost_in_it(
    write: Write, square: Shape, tmp_path: Path, script: str, asked: str | None, message: str
) -> None:
    path = change(write(tmp_path / "building.gpkg", [{"name": "a"}], [square(0)]), script)
    with pytest.raises(InvalidData, match=message):
        list(format_of(path).read(path, ReadOptions(layer=asked)))


def test_a_view_that_does_end_is_read_however_it_is_made(write: Write, square: Shape, tmp_path: Path) -> None:
    counted = f"CREATE VIEW endless AS {ENDLESS.replace('FROM t)', 'FROM t WHERE n < 5)')}; {REGISTER}"
    path = change(write(tmp_path / "building.gpkg", [{"name": "a"}], [square(0)]), counted)
    layers = {layer.name: layer.table() for layer in format_of(path).read(path, ReadOptions())}
    assert {name: table.num_rows for name, table in layers.items()} == {"building": 1, "endless": 5}


def test_a_view_without_end_that_nobody_reads_is_left_out(write: Write, square: Shape, tmp_path: Path) -> None:
    path = change(write(tmp_path / "building.gpkg", [{"name": "a"}], [square(0)]), f"CREATE VIEW endless AS {ENDLESS}")
    (layer,) = format_of(path).read(path, ReadOptions())
    assert (layer.name, layer.table().num_rows) == ("building", 1)


@pytest.mark.parametrize(
    ("change_to", "message"),
    [
        ("height = 'tall'", "layer 'building': column 'height' is .*, but holds 'tall'; correct it"),
        ("storeys = 2.5", "layer 'building': column 'storeys' is .*, but holds 2.5; correct it"),
        ("built = 'in spring'", "column 'built' is DATE, but holds 'in spring'; correct it"),
        ("built = '1998-13-01'", "column 'built' is DATE, but holds '1998-13-01'; correct it"),
        ("geom = x'0101000000'", "column 'geom' holds what is no geometry of a GeoPackage; save it anew"),
    ],
)
def test_a_value_that_its_column_is_not_declared_for_is_told(
    write: Write, square: Shape, tmp_path: Path, change_to: str, message: str
) -> None:
    """SQLite keeps any value in any column; read as declared, 'tall' would be 0, and spring the first day of 1970."""
    records = [
        {"name": "a", "height": 3.5, "storeys": 1},
        {"name": "b", "height": 4.0, "storeys": 2},
    ]
    path = write(tmp_path / "building.gpkg", records, [square(0), square(50)])
    with closing(sqlite3.connect(path)) as package:
        triggers = [name for (name,) in package.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    dated = "ALTER TABLE building ADD COLUMN built DATE; UPDATE building SET built = '1873-05-01' WHERE name = 'a';"
    change(path, "".join(f'DROP TRIGGER "{name}";' for name in triggers) + dated)
    (layer,) = format_of(path).read(path, ReadOptions())
    assert layer.table().column("height").to_pylist() == [3.5, 4.0]
    assert layer.table().column("built").to_pylist() == [date(1873, 5, 1), None]
    change(path, f"UPDATE building SET {change_to} WHERE name = 'b'")
    with pytest.raises(InvalidData, match=message):
        list(format_of(path).read(path, ReadOptions()))
