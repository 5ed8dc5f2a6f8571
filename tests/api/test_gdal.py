"""GDAL reads every collection completely: Debian's programs, and the one in the pyogrio wheel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyogrio
import pytest
import sqlalchemy as sa

from cim.city import City


def counts(city: City) -> dict[str, int]:
    with city.database.engine.connect() as connection:
        return {
            name: connection.execute(sa.select(sa.func.count()).select_from(city.database.table(name))).scalar_one()
            for name in city.database.dictionary.types
        }


@pytest.fixture(scope="module")
def ogr2ogr(absent: Callable[[str], None]) -> str:
    found = shutil.which("ogr2ogr")
    if found is None:
        absent("gdal-bin")
    return str(found)


def test_debian_gdal_reads_everything(ogr2ogr: str, base: str, city: City, tmp_path: Path) -> None:
    expected = counts(city)
    assert expected["building"] > 2_500
    for name, count in expected.items():
        target = tmp_path / f"{name}.json"
        command = [ogr2ogr, "-f", "GeoJSON", str(target), f"OAPIF:{base}", name, "-oo", "PAGE_SIZE=1000"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert not done.stderr.strip(), done.stderr
        features = json.loads(target.read_text())["features"]
        assert len({feature["properties"]["code"] for feature in features}) == len(features) == count


def test_gdal_loses_nothing_of_numbers_that_begin_whole(
    ogr2ogr: str, own: tuple[City, httpx.Client], tmp_path: Path
) -> None:
    """It reads a page, and takes the numbers of a property for whole ones where those of that page are."""
    city, http = own
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        connection.execute(sa.update(table).values(gross_floor_area=0))
        connection.execute(sa.update(table).where(table.c.code == "building-00024").values(gross_floor_area=856.5))
        connection.execute(sa.update(table).where(table.c.code == "building-00023").values(attributes={"a": "b"}))
    source, target = f"OAPIF:{http.base_url}", tmp_path / "building.json"
    options = ["-oo", "PAGE_SIZE=10"]
    subprocess.run([ogr2ogr, "-f", "GeoJSON", target, source, "building", *options], timeout=300, check=True)
    copied = {one["properties"]["code"]: one["properties"] for one in json.loads(target.read_text())["features"]}
    assert copied["building-00024"]["gross_floor_area"] == 856.5
    assert copied["building-00023"]["attributes"] == {"a": "b"}


def test_debian_gdal_counts_and_filters(ogr2ogr: str, base: str) -> None:
    ogrinfo = str(Path(ogr2ogr).with_name("ogrinfo"))

    def count(*options: str) -> int:
        command = [ogrinfo, "-ro", "-so", *options, f"OAPIF:{base}", "building"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        line = next(line for line in done.stdout.splitlines() if line.startswith("Feature Count"))
        return int(line.partition(":")[2])

    assert count() == 2603
    assert count("-where", "name = 'House 17'") == 1
    assert count("-where", "year_built = 1950 AND height < 50") == 8  # 0, 70, 140, … 490


# GDAL holds the interpreter while it waits for HTTP, so it cannot read from a server in its own process.
READ = """
import ast, json, sys
import pyogrio
found = []
for address, layer, asked in ast.literal_eval(sys.argv[1]):
    frame = pyogrio.read_dataframe(address, layer=layer, **asked)
    bounds = [float(b) for b in frame.total_bounds]
    found.append({"codes": sorted(frame["code"]), "epsg": frame.crs.to_epsg(), "bounds": bounds})
print(json.dumps(found))
"""


def wheel(base: str, reads: list[tuple[str, dict[str, Any]]]) -> Any:
    """Read layers, each with what is asked of it, in one process."""
    if "OAPIF" not in pyogrio.list_drivers():
        pytest.skip("this pyogrio has no OAPIF driver")
    asked = [(f"OAPIF:{base}", layer, options) for layer, options in reads]
    done = subprocess.run(
        [sys.executable, "-c", READ, repr(asked)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_wheel_gdal_reads_everything_in_storage_coordinates(base: str, city: City) -> None:
    expected = counts(city)
    for found, count in zip(wheel(base, [(name, {}) for name in expected]), expected.values(), strict=True):
        assert len(set(found["codes"])) == len(found["codes"]) == count
        assert found["epsg"] == 4548
        west, south, east, north = found["bounds"]
        assert 500_000 <= west < east <= 502_000
        assert 4_318_000 <= south <= north <= 4_319_000


def test_wheel_gdal_asks_with_its_filters(base: str) -> None:
    asked: list[dict[str, Any]] = [
        {"where": "height > 260 AND year_built >= 1950"},
        {"where": "name ILIKE 'hoUSE 17_'"},
        {"bbox": (500_000, 4_318_000, 500_095, 4_318_005)},
    ]
    found = wheel(base, [("building", options) for options in asked])
    numbers = [[int(code.rpartition("-")[2]) for code in one["codes"]] for one in found]
    assert numbers == [[2601, 2602], list(range(170, 180)), [1, 2, 3, 4]]
