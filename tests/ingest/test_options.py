"""What the operator says about coordinates and shapes, from file to database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from cim import crs
from cim.db.engine import Database
from ingest import FileReport, Options, ingest
from ingest.clean import Repair

Rows = Callable[..., list[dict[str, Any]]]
Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]
FORMATS = Path(__file__).resolve().parents[2] / "sample_data" / "formats"


def take(database: Database, path: Path, **options: Any) -> FileReport:
    (file,) = ingest(database, [path], Options(type="building", **options)).files
    return file


def test_the_sheds_are_the_same_from_every_format(database: Database, rows: Rows) -> None:
    first = take(database, FORMATS / "sheds.csv")
    assert (first.error, first.layers[0].inserted) == (None, 3)
    shapes = [shapely.from_wkt(row["geom"]) for row in rows("building", "geom")]
    assert [shape.area for shape in shapes] == pytest.approx([96, 75, 336], abs=1e-6)
    for name in ("gml", "parquet", "gdb.zip", "zip", "geojsonl", "kml"):
        said = {"assume_crs": crs.parse(4490)} if name in ("geojsonl", "kml") else {}
        again = take(database, FORMATS / f"sheds.{name}", **said)
        assert again.error is None
        assert (again.layers[0].inserted, again.layers[0].updated, again.layers[0].rejected) == (0, 0, 0), name


def test_invalid_geometry_is_fixed_rejected_or_raised(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    bow_tie = shapely.Polygon([(421_000, 4_318_000), (421_002, 4_318_002), (421_002, 4_318_000), (421_000, 4_318_002)])
    path = write(tmp_path / "town.gpkg", [{"id": "a"}, {"id": "b"}], [square(), bow_tie])
    assert take(database, path).layers[0].rejected == 1
    assert take(database, path, repair=Repair(max_area_change=1.0)).layers[0].repaired == 1
    rejected = take(database, path, repair=Repair("reject"))
    assert (rejected.layers[0].rejected, rejected.layers[0].repaired) == (1, 0)
    assert "geometry is invalid, first in record 2" in str(take(database, path, repair=Repair("raise")).error)


def test_shifted_coordinates_are_turned_back_and_tagged(
    database: Database, tmp_path: Path, write: Write, rows: Rows
) -> None:
    # The place that eviltransform publishes, in GCJ-02; EPSG:4490 is the operator's word for WGS 84 here.
    given = shapely.Point(116.397131048052, 39.908741093115).buffer(1e-4, quad_segs=1)
    path = write(tmp_path / "town.geojson", [{"id": "a"}], [given], system=None)
    file = take(database, path, shifted="gcj-02", assume_crs=crs.parse(4490))
    assert file.error is None
    assert any("turned back from GCJ-02" in said for said in file.layers[0].warnings)
    (row,) = rows("building", "geom", "attributes")
    assert row["attributes"]["coordinates_from"] == "GCJ-02"
    centre = np.array([shapely.from_wkt(row["geom"]).centroid])
    (place,) = crs.transform(centre, crs.parse(4548), crs.parse(4490))
    assert (place.x, place.y) == pytest.approx((116.39089, 39.90734), abs=1e-6)


def test_a_closed_datum_goes_with_the_parameters_of_the_survey_office(
    database: Database, tmp_path: Path, write: Write, square: Shape, rows: Rows
) -> None:
    # Xian 1980, 3 degrees, meridian 117 E, moved by 30 m along the earth's axis: that is 30 · cos 39° northwards here.
    path = write(tmp_path / "town.gpkg", [{"id": "a"}], [square()], system=2384)
    assert "no published parameters" in str(take(database, path).error)
    souths = []
    for metres in (30.0, 0.0):
        assert take(database, path, crs_parameters=(0.0, 0.0, metres)).error is None
        (row,) = rows("building", "geom")
        souths.append(shapely.from_wkt(row["geom"]).bounds[1])
    assert souths[0] - souths[1] == pytest.approx(30 * np.cos(np.radians(39)), abs=0.2)
