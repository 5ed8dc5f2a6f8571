"""Excel sheets: attributes of objects that are there, joined by their code."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa

from cim.errors import InvalidData
from ingest.formats._base import GEOMETRY, Format, Layer, ReadOptions, free_name
from ingest.gdal import check_signature

# Among the first rows, titles and notes may stand before the one with the names.
_ROWS_BEFORE = 20
# A number in a cell is a double, of which Excel keeps 15 digits.
_EXACT = 10**15


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield a layer for each sheet that holds a table; hidden ones are passed over.

    The names of the columns stand in the first row that is as wide as the table and holds text only. Empty rows are
    left out. A column is of whole numbers, numbers, flags or dates where all its cells are, else text. There is no
    geometry: records go by their code, and the geometry of their objects stays.

    Raises
    ------
    InvalidData : no workbook, damaged, unpacking to too much (see `ingest.unpack`), without the sheet asked for.
    """
    from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

    from ingest.unpack import unpack

    check_signature(path, (b"PK\x03\x04",), "an Excel workbook (.xlsx)")
    with tempfile.TemporaryDirectory(prefix="cim-xlsx-") as scratch:
        unpack(path, Path(scratch))  # only to see that it is sound and no bomb; the reader unpacks by itself
        if not Path(scratch, "xl").is_dir():
            raise InvalidData(f"{path}: is not an Excel workbook (.xlsx): the zip holds no folder xl")
    try:
        with CalamineWorkbook.from_path(path) as book:
            shown = [s.name for s in book.sheets_metadata if s.visible == SheetVisibleEnum.Visible]
            sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=True) for name in shown}
    except (CalamineError, OSError, ValueError) as error:
        raise InvalidData(f"{path}: is no sound Excel workbook: {error}") from error
    layers = [layer for name, rows in sheets.items() if (layer := _layer(name, rows)) is not None]
    names = [layer.name for layer in layers]
    if options.layer not in (None, *names) or not layers:
        wanted = "a table" if options.layer is None else f"a table in sheet {options.layer!r}"
        raise InvalidData(f"{path}: has no {wanted.removeprefix('a ')}; its sheets are {', '.join(sheets) or 'none'}")
    yield from (layer for layer in layers if options.layer in (None, layer.name))


def _layer(name: str, rows: Sequence[Sequence[Any]]) -> Layer | None:
    """Return the table of a sheet, None where there is none."""
    widths = [sum(cell != "" for cell in row) for row in rows[:_ROWS_BEFORE]]
    texts = [all(isinstance(cell, str) for cell in row) for row in rows[:_ROWS_BEFORE]]
    full = [n for n, width in enumerate(widths) if texts[n] and width >= 2 and width == max(widths)]
    if not full:
        return None
    header, below = rows[full[0]], [row for row in rows[full[0] + 1 :] if any(cell != "" for cell in row)]
    columns: dict[str, pa.Array] = {}
    said = []
    for place, title in enumerate(header):
        cells = [None if row[place] == "" else row[place] for row in below]
        if str(title).strip() or any(cell is not None for cell in cells):
            column = free_name(str(title).strip() or f"column_{place + 1}", columns)
            if any(isinstance(cell, int | float) and abs(cell) >= _EXACT for cell in cells):
                said.append(f"column {column!r} holds numbers of more than 15 digits, which Excel rounds: make it text")
            columns[column] = _column(cells)
    columns[GEOMETRY] = pa.nulls(len(below), pa.binary())
    return Layer.of(name, None, pa.table(columns), None, said)


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
