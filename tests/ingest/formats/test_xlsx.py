"""Workbooks as people lay them out: merged cells, two rows of names, formulas, notes above."""

from __future__ import annotations

from pathlib import Path

import pytest
import xlsxwriter

from cim.errors import InvalidData
from ingest.formats import Layer, ReadOptions
from ingest.formats.xlsx import read


def sheet(path: Path, rows: list[list[object]], merged: dict[str, str] | None = None) -> Path:
    with xlsxwriter.Workbook(path) as book:
        page = book.add_worksheet("table")
        for number, row in enumerate(rows):
            page.write_row(number, 0, row)
        for cells, text in (merged or {}).items():
            page.merge_range(cells, text)
    return path


def only(path: Path) -> Layer:
    (layer,) = read(path, ReadOptions())
    return layer


def plain(layer: Layer) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = layer.table().drop_columns(["geom"]).to_pylist()
    return rows


def test_cells_merged_over_rows_have_one_value_for_each(tmp_path: Path) -> None:
    rows: list[list[object]] = [["n", "use"], ["a"], ["b"], ["c", "shop"]]
    layer = only(sheet(tmp_path / "a.xlsx", rows, {"B2:B3": "flat"}))
    assert plain(layer) == [{"n": "a", "use": "flat"}, {"n": "b", "use": "flat"}, {"n": "c", "use": "shop"}]
    assert layer.warnings == ["merged cells give their value to every row they span: 1"]


def test_names_under_a_merged_one_are_the_columns(tmp_path: Path) -> None:
    below: list[list[object]] = [["a", "b", 1.5, 2]]
    groups = {"A1:B1": "who", "C1:D1": "size"}
    named = sheet(tmp_path / "a.xlsx", [[], ["code", "name", "height", "storeys"], *below], groups)
    assert plain(only(named)) == [{"code": "a", "name": "b", "height": 1.5, "storeys": 2}]
    deep = {"A1:D1": "Register", "A2:A3": "code", "B2:B3": "name", "C2:D2": "size"}
    path = sheet(tmp_path / "b.xlsx", [[], [], ["", "", "height", "storeys"], *below], deep)
    assert plain(only(path)) == [{"code": "a", "name": "b", "height": 1.5, "storeys": 2}]


def test_a_row_of_names_with_a_gap_is_asked_about_and_no_record_is_taken_for_it(tmp_path: Path) -> None:
    path = sheet(tmp_path / "a.xlsx", [["code", "name"], ["a", "b", "c"], ["d", "e", "f"]])
    with pytest.raises(InvalidData, match=r"which row has the names of the columns\? Row 1 of those filled has 2, row"):
        only(path)
    notes: list[list[object]] = [["by", "Li"], ["code", "name", "p", "q", "r"], ["a", "b", 1, 2, 3]]
    assert plain(only(sheet(tmp_path / "b.xlsx", notes))) == [{"code": "a", "name": "b", "p": 1, "q": 2, "r": 3}]


def test_no_table_is_told_by_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="has no table: a row with the names of its columns, two or more, as text"):
        only(sheet(tmp_path / "a.xlsx", [["code", 2020, 2021], ["a", 1, 2]]))


def test_cells_without_a_value_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(path) as book:
        page = book.add_worksheet("table")
        page.write_row(0, 0, ["n", "height"])
        for row, value in enumerate((3.5, "", "#N/A"), start=1):
            page.write(row, 0, f"n{row}")
            page.write_formula(row, 1, "=1+1", None, value)
    layer = only(path)
    assert [row["height"] for row in plain(layer)] == [3.5, None, None]
    assert layer.warnings == ["cells with an error, or a formula that Excel has not computed, are taken as empty: 2"]
