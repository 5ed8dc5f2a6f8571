"""Excel sheets: attributes of objects that are there, joined by their code."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cim.errors import InvalidData
from ingest.formats._base import GEOMETRY, Format, Layer, ReadOptions, free_name
from ingest.gdal import check_signature

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

# Among the first rows, titles and notes may stand before the one with the names.
_ROWS_BEFORE = 20
# A number in a cell is a double, of which Excel keeps 15 digits.
_EXACT = 10**15
# A cell in the text of a sheet whose formula has no value yet, or whose value is an error.
_VALUELESS = re.compile(rb"</f>(?:<v>\s*</v>|<v/>)?</c>|<c [^>]*\bt=\"e\"")


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield a layer for each sheet that holds a table; hidden ones are passed over.

    The names of the columns stand in the first row that is as wide as the table and holds text only, or where names
    are merged over several rows in the last of these. Cells merged below have one value for every row they span. Empty
    rows are left out. A column is of whole numbers, numbers, flags or dates where all its cells are, else text. There
    is no geometry: records go by their code, and the geometry of their objects stays.

    Raises
    ------
    InvalidData : no workbook, damaged, unpacking to too much (see `ingest.unpack`), without the sheet asked for, or a
        row before the one with the names may be that of the names.
    """
    from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

    from ingest.unpack import unpack

    check_signature(path, (b"PK\x03\x04",), "an Excel workbook (.xlsx)")
    with tempfile.TemporaryDirectory(prefix="cim-xlsx-") as scratch:
        unpack(path, Path(scratch))  # only to see that it is sound and no bomb; the reader unpacks by itself
        if not Path(scratch, "xl").is_dir():
            raise InvalidData(f"{path}: is not an Excel workbook (.xlsx): the zip holds no folder xl")
        without = sum(len(_VALUELESS.findall(p.read_bytes())) for p in Path(scratch, "xl", "worksheets").glob("*.xml"))
    try:
        with CalamineWorkbook.from_path(path) as book:
            shown = [s.name for s in book.sheets_metadata if s.visible == SheetVisibleEnum.Visible]
            sheets = [_Sheet.of(path, book.get_sheet_by_name(name)) for name in shown]
    except (CalamineError, OSError, ValueError) as error:
        raise InvalidData(f"{path}: is no sound Excel workbook: {error}") from error
    layers = [layer for sheet in sheets if (layer := _layer(sheet)) is not None]
    names = [layer.name for layer in layers]
    if options.layer not in (None, *names) or not layers:
        wanted = "" if options.layer is None else f" in sheet {options.layer!r}"
        raise InvalidData(
            f"{path}: has no table{wanted}: a row with the names of its columns, two or more, as text; its sheets are"
            f" {', '.join(shown) or 'none'}"
        )
    if without:
        layers[0].warnings.append(
            f"cells with an error, or a formula that Excel has not computed, are taken as empty: {without:,}"
        )
    yield from (layer for layer in layers if options.layer in (None, layer.name))


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The cells of a sheet, "" for none, and ranges of merged ones: first and last row and column, counted from 0."""

    path: Path
    name: str
    rows: list[list[Any]]
    merged: list[tuple[tuple[int, int], tuple[int, int]]]

    @classmethod
    def of(cls, path: Path, sheet: CalamineSheet) -> _Sheet:
        rows = sheet.to_python(skip_empty_area=True)
        top, left = sheet.start or (0, 0)
        merged = [((a - top, b - left), (c - top, d - left)) for (a, b), (c, d) in sheet.merged_cell_ranges or ()]
        within = [((a, b), end) for (a, b), end in merged if 0 <= a < len(rows) and 0 <= b < len(rows[a])]
        return cls(path, sheet.name, rows, within)

    def filled(self, start: int, end: int | None = None) -> int:
        """Give each cell of merged ones that begin in these rows the value of the first; return how many got one."""
        number = 0
        for (first, left), (last, right) in self.merged:
            if first < start or (end is not None and first >= end) or self.rows[first][left] == "":
                continue
            for row in self.rows[first : last + 1]:
                for place in range(left, min(right + 1, len(row))):
                    number += row[place] == ""
                    row[place] = self.rows[first][left]
        return number

    def header(self) -> int | None:
        """Return the row with the names of the columns, None where there is no table."""
        found = _full(self.rows)
        if found is not None:
            self._check_before(found)
            return found
        self.filled(0, _ROWS_BEFORE)
        found = _full(self.rows)
        if found is None:
            return None
        return max([found, *(last for (first, _), (last, _) in self.merged if first == found)])

    def _check_before(self, header: int) -> None:
        """Refuse a sheet where a row above could be that of the names: its names would be lost, and a record."""
        for number, row in enumerate(self.rows[:header]):
            names = [cell for cell in row if cell != ""]
            grouped = any(first == number and right > left for (first, left), (_, right) in self.merged)
            texts = all(isinstance(name, str) for name in names)
            if texts and not grouped and len(names) >= 2 and 2 * len(names) >= len(row):
                raise InvalidData(
                    f"{self.path}: sheet {self.name!r}: which row has the names of the columns? Row {number + 1} of"
                    f" those filled has {len(names)}, row {header + 1} has all: name every column, or remove the row"
                )


def _full(rows: list[list[Any]]) -> int | None:
    widths = [sum(cell != "" for cell in row) for row in rows[:_ROWS_BEFORE]]
    texts = [all(isinstance(cell, str) for cell in row) and len({*row} - {""}) >= 2 for row in rows[:_ROWS_BEFORE]]
    return next((n for n, w in enumerate(widths) if texts[n] and w >= 2 and w == max(widths)), None)


def _layer(sheet: _Sheet) -> Layer | None:
    """Return the table of a sheet, None where there is none."""
    first = sheet.header()
    if first is None:
        return None
    spanned = sheet.filled(first + 1)
    header, below = sheet.rows[first], [row for row in sheet.rows[first + 1 :] if any(cell != "" for cell in row)]
    columns: dict[str, pa.Array] = {}
    said = [f"merged cells give their value to every row they span: {spanned:,}"] if spanned else []
    for place, title in enumerate(header):
        cells = [None if row[place] == "" else row[place] for row in below]
        if str(title).strip() or any(cell is not None for cell in cells):
            column = free_name(str(title).strip() or f"column_{place + 1}", columns)
            if any(isinstance(cell, int | float) and abs(cell) >= _EXACT for cell in cells):
                said.append(f"column {column!r} holds numbers of more than 15 digits, which Excel rounds: make it text")
            columns[column] = _column(cells)
    columns[GEOMETRY] = pa.nulls(len(below), pa.binary())
    return Layer.of(sheet.name, None, pa.table(columns), None, said)


def _column(cells: list[Any]) -> pa.Array:
    given = [cell for cell in cells if cell is not None]
    numbers = all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in given)
    if given and numbers:
        whole = all(float(cell).is_integer() and abs(cell) < _EXACT for cell in given)
        return pa.array([None if c is None else int(c) if whole else float(c) for c in cells])
    for kind, plain in ((bool, pa.bool_()), (datetime, pa.timestamp("ms")), (date, pa.date32())):
        if given and all(type(cell) is kind for cell in given):
            return pa.array(cells, plain)
    return pa.array([None if cell is None else _text(cell) for cell in cells], pa.string())


def _text(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return str(int(cell))
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(cell).strip() if isinstance(cell, str) else str(cell)


FORMAT = Format(
    name="xlsx",
    title="Excel workbook",
    suffixes=(".xlsx", ".xlsm"),
    spec="ECMA-376, Office Open XML. https://ecma-international.org/publications-and-standards/standards/ecma-376/",
    read=read,
)
