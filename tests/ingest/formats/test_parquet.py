"""GeoParquet's native encodings: nested lists of coordinates, written here by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from ingest.formats import ReadOptions, format_of

# A square with a hole, and another beside it, as rings of x and y.
OUTER, HOLE = [(0, 0), (9, 0), (9, 9), (0, 9), (0, 0)], [(1, 1), (1, 2), (2, 2), (1, 1)]
BESIDE = [(20, 0), (25, 0), (25, 5), (20, 0)]
# By encoding: how deep its lists are, the value in nested lists, and what it is as WKT.
ENCODED: dict[str, tuple[int, Any, str]] = {
    "point": (0, (3, 4), "POINT (3 4)"),
    "linestring": (1, [(0, 0), (3, 4), (5, 4)], "LINESTRING (0 0, 3 4, 5 4)"),
    "multipoint": (1, [(0, 0), (3, 4)], "MULTIPOINT (0 0, 3 4)"),
    "polygon": (2, [OUTER, HOLE], "POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 1 2, 2 2, 1 1))"),
    "multilinestring": (2, [[(0, 0), (3, 4)], [(5, 5), (6, 5)]], "MULTILINESTRING ((0 0, 3 4), (5 5, 6 5))"),
    "multipolygon": (
        3,
        [[OUTER, HOLE], [BESIDE]],
        "MULTIPOLYGON (((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 1 2, 2 2, 1 1)), ((20 0, 25 0, 25 5, 20 0)))",
    ),
}


def named(value: Any, axes: str) -> Any:
    """Return coordinates as structures of the axes; a third axis is 7 throughout."""
    if isinstance(value, tuple):
        return dict(zip(axes, (*map(float, value), 7.0), strict=False))
    return [named(part, axes) for part in value]


@pytest.mark.parametrize("axes", ["xy", "xyz"])
@pytest.mark.parametrize("encoding", ENCODED)
def test_native_encodings_are_read(tmp_path: Path, encoding: str, axes: str) -> None:
    depth, value, text = ENCODED[encoding]
    kind: pa.DataType = pa.struct([(axis, pa.float64()) for axis in axes])
    for _ in range(depth):
        kind = pa.list_(kind)
    # The missing ones stand before and between, where offsets go wrong first.
    shapes = pa.array([None, named(value, axes), None, named(value, axes)], kind)
    column = {"encoding": encoding, "geometry_types": [], "crs": None}
    geo = {"version": "1.1.0", "primary_column": "shape", "columns": {"shape": column}}
    table = pa.table({"id": pa.array([1, 2, 3, 4]), "shape": shapes})
    path = tmp_path / "native.parquet"
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    (layer,) = format_of(path).read(path, ReadOptions())
    found = shapely.from_wkb(layer.table().column("geom").to_pylist())
    expected = shapely.from_wkt(text)
    assert [one is not None for one in found] == [False, True, False, True]
    for one in (found[1], found[3]):
        assert (one.geom_type, one.has_z) == (expected.geom_type, axes == "xyz")
        assert shapely.force_2d(one).equals_exact(expected)
        assert set(shapely.get_coordinates(one, include_z=True)[:, 2]) == {7.0} or axes == "xy"


def test_two_columns_of_coordinates_are_points_where_there_is_no_metadata(tmp_path: Path) -> None:
    east = pa.array([116.5, float("nan"), None, 116.25])
    table = pa.table({"n": list("abcd"), "LON": east, "Lat": pa.array([39, None, None, None], pa.int32())})
    path = tmp_path / "plain.parquet"
    pq.write_table(table, path)
    (layer,) = format_of(path).read(path, ReadOptions())
    read = layer.table()
    assert (layer.crs, read.column_names) == (None, ["n", "geom"])
    place, *others = read.column("geom").to_pylist()
    assert shapely.from_wkb(place).coords[:] == [(116.5, 39.0)]
    assert others == [None, None, b"116.25 ?"]  # no shape: a fault of this record
    pq.write_table(table.set_column(1, "LON", pa.array(list("wxyz"))), path)
    (layer,) = format_of(path).read(path, ReadOptions())
    assert layer.table().to_pylist()[0] == {"n": "a", "LON": "w", "Lat": 39, "geom": None}
