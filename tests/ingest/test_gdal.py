from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import shapely

from cim.errors import InvalidData
from ingest.formats import ReadOptions, format_of
from ingest.gdal import DRIVERS, check_path, confined, pyogrio

Run = Callable[..., subprocess.CompletedProcess[str]]
Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]

SECRET = "name,key\nroot,x-marks-the-spot\n"

# Read a file as ingest does, and print what came out or the refusal.
READ = """
import sys
from pathlib import Path
{before}
from cim.errors import CimError
from ingest.formats import ReadOptions, format_of
for name in sys.argv[1:]:
    path = Path(name)
    try:
        for layer in format_of(path).read(path, ReadOptions()):
            print(layer.name, layer.table().to_pylist())
    except CimError as error:
        print("refused", type(error).__name__)
"""
# What GDAL does with it when nobody confines it: shows that the attack is a real one.
UNCONFINED = """
import sys, pyogrio
print(pyogrio.read_arrow(sys.argv[1])[1].to_pylist())
"""


def virtual(secret: Path) -> str:
    return (
        f'<OGRVRTDataSource><OGRVRTLayer name="{secret.stem}"><SrcDataSource>{secret}</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )


def pipeline(secret: Path) -> str:
    command = f"gdal vector pipeline ! read {secret} ! write --output-format stream streamed_file"
    return json.dumps({"type": "gdal_streamed_alg", "command_line": command})


@pytest.mark.parametrize("before", ["", "import pyogrio"], ids=["confined", "loaded before with all drivers"])
def test_a_file_that_points_to_another_is_refused(tmp_path: Path, python: Run, before: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(SECRET)
    attacks = []
    for disguise in (virtual, pipeline):
        for suffix in (".geojson", ".json", ".gpkg", ".fgb", ".shp"):
            attack = tmp_path / f"{disguise.__name__}{suffix}"
            attack.write_text(disguise(secret))
            attacks.append(str(attack))
        for suffix in (".shx", ".dbf"):
            (tmp_path / f"{disguise.__name__}{suffix}").write_bytes(b"\x03" + b"\0" * 64)
    result = python(READ.format(before=before), *attacks)
    assert result.stdout == "refused InvalidData\n" * 10, result.stderr
    assert "spot" not in result.stdout + result.stderr


@pytest.mark.parametrize(("suffix", "disguise"), [(".geojson", virtual), (".json", pipeline)])
def test_the_attack_works_where_nothing_confines_gdal(
    tmp_path: Path, python: Run, suffix: str, disguise: Callable[[Path], str]
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(SECRET)
    attack = tmp_path / f"harmless{suffix}"
    attack.write_text(disguise(secret))
    assert "x-marks-the-spot" in python(UNCONFINED, str(attack)).stdout


def test_a_virtual_table_inside_a_geopackage_reads_nothing_else(
    tmp_path: Path, python: Run, write: Write, square: Shape
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(SECRET)
    attack = write(tmp_path / "town.gpkg", [{"name": "a"}], [square()], layer="town")
    with sqlite3.connect(attack) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'stolen', 'stolen', 0,"
            f" 'CREATE VIRTUAL TABLE stolen USING VirtualOGR(''{secret}'')')"
        )
        connection.execute("INSERT INTO gpkg_contents (table_name, data_type) VALUES ('stolen', 'attributes')")
    connection.close()
    result = python(READ.format(before=""), str(attack))
    assert "spot" not in result.stdout + result.stderr
    assert result.returncode == 0, result.stderr


def test_layers_are_the_same_when_read_apart(tmp_path: Path, python: Run, write: Write, square: Shape) -> None:
    path = write(tmp_path / "building.gpkg", [{"name": "a"}, {"name": None}], [square(), None], layer="building")
    here = python(READ.format(before=""), str(path))
    apart = python(READ.format(before="import pyogrio"), str(path))
    assert here.stdout.startswith("building [{'name': 'a'")
    assert apart.stdout == here.stdout


def test_only_our_drivers_are_left_and_children_do_not_inherit_it(python: Run) -> None:
    code = "import os; from ingest.gdal import confined, pyogrio\n"
    code += "print(confined(), sorted(pyogrio().list_drivers()), 'OGR_SKIP' in os.environ)"
    assert python(code).stdout.split("\n")[0] == f"True {sorted(DRIVERS)} False"
    pyogrio()
    assert isinstance(confined(), bool)
    assert "OGR_SKIP" not in os.environ


@pytest.mark.parametrize(
    "path",
    ["https://example.org/a.fgb", "/vsicurl/https://example.org/a.gpkg", "/vsizip/a.zip/a.shp", "a\0.gpkg", "no.gpkg"],
)
def test_only_local_files_are_read(path: str) -> None:
    with pytest.raises(InvalidData):
        check_path(Path(path))


def test_a_folder_and_a_device_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gpkg")
    for path in (tmp_path, tmp_path / "pipe.gpkg"):
        with pytest.raises(InvalidData, match="not a regular file"):
            check_path(path)


def test_a_layer_not_there_is_named_with_those_that_are(tmp_path: Path, write: Write, square: Shape) -> None:
    path = write(tmp_path / "town.gpkg", [{"name": "a"}], [square()], layer="houses")
    with pytest.raises(InvalidData, match=r"has no layer 'roads'; it has houses"):
        list(format_of(path).read(path, ReadOptions(layer="roads")))
