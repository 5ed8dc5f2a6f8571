"""CSV as spreadsheets, surveys and databases of many countries write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from cim import crs
from cim.db.engine import Database
from cim.errors import InvalidData
from ingest import Options, ingest
from ingest.formats import ReadOptions
from ingest.formats.csv import read
from ingest.rejects import rejects_of


def table(path: Path, text: str) -> list[dict[str, object]]:
    path.write_bytes(text.encode())
    (layer,) = read(path, ReadOptions())
    rows: list[dict[str, object]] = layer.table().to_pylist()
    for row in rows:
        shape = row["geom"]
        if isinstance(shape, bytes):
            point = shapely.from_wkb(shape, on_invalid="ignore")
            row["geom"] = shape if point is None else (point.x, point.y)
    return rows


def test_decimals_after_a_comma_are_such_where_commas_part_no_columns(tmp_path: Path) -> None:
    assert table(tmp_path / "a.csv", "n;x;y\na;500000,25;-2493000,5\n") == [{"n": "a", "geom": (500000.25, -2493000.5)}]
    quoted = table(tmp_path / "b.csv", 'n,x,y\na,"500000,25","2493000,5"\n')
    assert quoted == [{"n": "a", "geom": b"500000,25 2493000,5"}]  # no shape: a fault of this record


def test_spaces_around_coordinates_do_not_matter(tmp_path: Path) -> None:
    assert table(tmp_path / "a.csv", "n,x,y\na, 5 ,\t+6\nb,7,8\n") == [
        {"n": "a", "geom": (5.0, 6.0)},
        {"n": "b", "geom": (7.0, 8.0)},
    ]


def test_the_line_that_tells_excel_the_delimiter_is_no_header(tmp_path: Path) -> None:
    assert table(tmp_path / "a.csv", "sep=;\r\nn;x;y\r\na;5;6\r\n") == [{"n": "a", "geom": (5.0, 6.0)}]


def test_lines_may_end_as_on_an_old_mac(tmp_path: Path) -> None:
    assert table(tmp_path / "a.csv", "n,x,y\ra,5,6\rb,7,8\r") == [
        {"n": "a", "geom": (5.0, 6.0)},
        {"n": "b", "geom": (7.0, 8.0)},
    ]


def test_shapes_of_several_systems_in_one_column_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for second, said in (("SRID=4548;", "SRID 4547 and another 4548"), ("srid=4547 ;", None), ("", None)):
        path.write_text(f"n,wkt\na,SRID=4547;POINT(1 2)\nb,{second}POINT(3 4)\n")
        if said is None:
            (layer,) = read(path, ReadOptions())
            points = shapely.from_wkb(np.array(layer.table().column("geom").to_pylist(), object))
            assert [point.x for point in points] == [1.0, 3.0]
        else:
            with pytest.raises(InvalidData, match=said):
                [layer.table() for layer in read(path, ReadOptions())]
    path.write_text("n,wkt\na,POINT(1 2)\nb,SRID=4548;POINT(3 4)\n")
    with pytest.raises(InvalidData, match="SRID none and another 4548"):
        [layer.table() for layer in read(path, ReadOptions())]


def test_coordinates_that_are_no_numbers_are_shown(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "facility.csv"
    path.write_text("name,lon,lat\na,116°06.5,39\n", encoding="utf-8")
    ((layer,),) = [file.layers for file in ingest(database, [path], Options(crs=crs.parse(4490))).files]
    assert (layer.read, layer.rejected) == (1, 1)
    (reject,) = rejects_of(database)
    assert reject.reason == "geom: is damaged or of a kind that cannot be stored, got '116°06.5 39'"
