"""Heights of corners stay beside the plan, untouched and labelled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
import shapely

from cim import crs
from cim.db.engine import Database
from cim.errors import InvalidData
from ingest import LayerReport, Options, ingest
from ingest.heights import corner_heights
from ingest.rejected import crs_text
from ingest.rejects import export, rejects_of

Write = Callable[..., Path]
Rows = Callable[..., list[dict[str, Any]]]
E0, N0 = 421_000.0, 4_318_000.0
YELLOW_SEA = "EPSG:4548+5737"


def heights(*texts: str | None, datum: str | None = None) -> list[Any]:
    shapes = np.array([None if t is None else shapely.from_wkt(t) for t in texts], object)
    return [text and json.loads(text) for text in corner_heights(shapes, datum).to_pylist()]


def test_lowest_and_highest_are_kept_and_of_lines_each_corner() -> None:
    assert heights(
        "POLYGON Z ((0 0 5, 1 0 6.25, 1 1 -7, 0 0 5))",
        None,
        "POINT Z (0 0 3.5)",
        "LINESTRING Z (0 0 1, 1 0 0.5, 2 0 0.25)",
        "MULTILINESTRING Z ((0 0 2, 1 0 1), (5 5 1, 6 6 4))",
        "LINESTRING Z (0 0 9, 1 0 9)",
        "POINT (1 1)",
        "POLYGON Z EMPTY",
        datum="EPSG:5737",
    ) == [
        {"datum": "EPSG:5737", "min": -7, "max": 6.25},
        None,
        {"datum": "EPSG:5737", "min": 3.5, "max": 3.5},
        {"datum": "EPSG:5737", "min": 0.25, "max": 1, "corners": [1, 0.5, 0.25]},
        {"datum": "EPSG:5737", "min": 1, "max": 4, "corners": [2, 1, 1, 4]},
        {"datum": "EPSG:5737", "min": 9, "max": 9},
        None,
        None,
    ]


def test_what_has_no_number_has_no_height() -> None:
    line = shapely.linestrings([[0, 0, np.nan], [1, 0, 2], [2, 0, -0.0]])
    none = shapely.points([0, 0, np.nan])
    found = corner_heights(np.array([line, none], object), None).to_pylist()
    assert found == ['{"datum":null,"min":0,"max":2,"corners":[null,2.0,0.0]}', None]
    assert corner_heights(np.array([], object), None).type == pa.string()


def test_of_a_line_of_very_many_corners_lowest_and_highest_are_kept() -> None:
    corners = np.column_stack([np.arange(1001.0), np.zeros(1001), np.arange(1001.0)])
    longest, longer = shapely.linestrings(corners[:1000]), shapely.linestrings(corners)
    kept = [json.loads(text) for text in corner_heights(np.array([longest, longer], object), None).to_pylist()]
    assert [len(k.get("corners", [])) for k in kept] == [1000, 0]
    assert kept[1] == {"datum": None, "min": 0, "max": 1000}


def pipe(*corners: tuple[float, float, float]) -> shapely.LineString:
    return shapely.LineString([(E0 + x, N0 + y, z) for x, y, z in corners])


SLOPING = pipe((0, 0, 12.3456), (10, 0, 12.1), (20, 0, 11.9))
SLOPE = {"min": 11.9, "max": 12.346, "corners": [12.346, 12.1, 11.9]}


def take(database: Database, path: Path, **options: Any) -> LayerReport:
    report = ingest(database, [path], Options(type="pipe", force=True, **options))
    report.raise_refused()
    return report.files[0].layers[0]


def kept(rows: Rows) -> list[Any]:
    return [(row["attributes"] or {}).get("corner_heights") for row in rows("pipe")]


def test_heights_are_kept_as_they_came_with_their_datum(
    database: Database, tmp_path: Path, write: Write, rows: Rows
) -> None:
    path = write(tmp_path / "pipes.gpkg", [{"fid_": "p1", "maker": "a"}], [SLOPING], system=YELLOW_SEA)
    report = take(database, path)
    assert any("EPSG:5737 (Yellow Sea 1985 height) for heights" in said for said in report.warnings)
    (row,) = rows("pipe")
    assert row["geom"] == "MULTILINESTRING ((421000 4318000, 421010 4318000, 421020 4318000))"
    datum = "EPSG:5737 (Yellow Sea 1985 height)"
    assert row["attributes"] == {"fid_": "p1", "maker": "a", "corner_heights": {"datum": datum, **SLOPE}}


def test_another_format_changes_nothing_and_they_go_with_the_geometry(
    database: Database, tmp_path: Path, write: Write, rows: Rows
) -> None:
    records = [{"id": "p1", "maker": "a"}]
    first = take(database, write(tmp_path / "pipes.gpkg", records, [SLOPING]))
    assert (first.inserted, kept(rows)) == (1, [{"datum": None, **SLOPE}])
    for name in ("pipes.geojson", "pipes.fgb", "pipes.shp"):
        again = take(database, write(tmp_path / name, records, [SLOPING]))
        assert (again.inserted, again.updated, again.unchanged) == (0, 0, 1), name
    sunk = pipe((0, 0, 12.3456), (10, 0, 12.0), (20, 0, 11.9))
    assert take(database, write(tmp_path / "2" / "pipes.gpkg", records, [sunk])).updated == 1
    assert kept(rows)[0]["corners"] == [12.346, 12.0, 11.9]
    flat = shapely.force_2d(SLOPING)
    assert take(database, write(tmp_path / "3" / "pipes.gpkg", records, [flat])).updated == 1
    assert kept(rows) == [None]
    assert rows("pipe")[0]["attributes"] == {"id": "p1", "maker": "a"}


def test_pipes_above_one_another_are_two(database: Database, tmp_path: Path, write: Write, rows: Rows) -> None:
    lower = pipe((0, 0, 2), (10, 0, 2), (20, 0, 2))
    report = take(database, write(tmp_path / "pipes.gpkg", [{"maker": "a"}] * 2, [SLOPING, lower]))
    assert (report.inserted, report.rejected) == (2, 0)
    assert sorted(k["max"] for k in kept(rows)) == [2, 12.346]


def test_a_field_of_that_name_stays_what_it_is_and_the_report_says_so(
    database: Database, tmp_path: Path, write: Write, rows: Rows
) -> None:
    report = take(database, write(tmp_path / "pipes.gpkg", [{"corner_heights": "12 m"}], [SLOPING]))
    assert kept(rows) == ["12 m"]
    assert "heights of corners are not stored: the layer has a field corner_heights of its own" in report.warnings


@pytest.mark.parametrize("suffix", [".gpkg", ".csv"])
def test_a_mended_reject_brings_its_heights_back(
    suffix: str, database: Database, tmp_path: Path, write: Write, rows: Rows
) -> None:
    records = [{"id": "p1", "diameter": "wide"}]
    assert take(database, write(tmp_path / "pipes.gpkg", records, [SLOPING], system=YELLOW_SEA)).rejected == 1
    assert rows("pipe") == []
    exported = tmp_path / f"mended{suffix}"
    export(rejects_of(database), exported)
    if suffix == ".gpkg":
        frame = gpd.read_file(exported)
        frame["diameter"] = "300"
        frame.to_file(exported, layer="pipes")
    else:
        exported.write_text(exported.read_text(encoding="utf-8").replace("wide", "300"), encoding="utf-8")
    # A table of text names the plan's system at most.
    told = {"crs": crs.parse(YELLOW_SEA)} if suffix == ".csv" else {}
    report = take(database, exported, **told)
    assert (report.inserted, report.rejected, rejects_of(database)) == (1, 0, [])
    assert kept(rows) == [{"datum": "EPSG:5737 (Yellow Sea 1985 height)", **SLOPE}]


def test_rejects_in_a_system_without_a_code_are_not_exported_where_they_could_not_come_back(
    database: Database, tmp_path: Path, write: Write
) -> None:
    """GDAL writes the plan of a compound system without its code."""
    records = [{"id": "p1", "diameter": "wide"}]
    assert take(database, write(tmp_path / "pipes.gpkg", records, [SLOPING], system=YELLOW_SEA)).rejected == 1
    with pytest.raises(InvalidData, match=r"in a CRS without a code.* export to a \.gpkg"):
        export(rejects_of(database), tmp_path / "mended.geojson")


@pytest.mark.parametrize(
    ("system", "text"),
    [
        ("EPSG:4548", "EPSG:4548"),
        ("EPSG:4548+5737", "EPSG:4548+5737"),
        ("OGC:CRS84", "OGC:CRS84"),
    ],
)
def test_a_reject_names_its_system_by_code(system: str, text: str) -> None:
    assert crs_text(crs.parse(system)) == text


@pytest.mark.parametrize("dimension", ["M", "ZM"])
def test_measures_are_told_and_not_taken_for_heights(
    dimension: str, database: Database, tmp_path: Path, rows: Rows
) -> None:
    corners = {"M": "421000 4318000 7, 421010 4318000 8", "ZM": "421000 4318000 5 7, 421010 4318000 5 8"}[dimension]
    path = tmp_path / "pipes.csv"
    path.write_text(f'id,wkt\np1,"LINESTRING {dimension} ({corners})"\n', encoding="utf-8")
    report = take(database, path, crs=crs.parse(4548))
    assert "measures of corners are not stored, the plan is" in report.warnings
    assert kept(rows) == ([None] if dimension == "M" else [{"datum": None, "min": 5, "max": 5}])
