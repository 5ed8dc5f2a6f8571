"""Tables of attributes without geometry: they reach the objects that are there, and make none."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import shapely

from cim.db.engine import Database
from ingest import Options, ingest
from ingest.mapping import load
from ingest.rejects import rejects_of

Rows = Callable[..., list[dict[str, Any]]]

FIRST, SECOND, ABSENT = (f"130638003001GB0000{n}" for n in (1, 2, 9))
# The survey's table: names in Chinese, codes of two parcels that are there, one that is not, one missing.
TABLE = [
    ["宗地代码", "名称", "面积", "备注"],
    [FIRST, "一号地", "100.5", "已核"],
    [SECOND, "二号地", "98", "待核"],
    [ABSENT, "九号地", "1", "查无"],
    ["", "无号地", "1", "缺号"],
]
MAPPING = """\
type = "parcel"
code = "宗地代码"
[source]
file = "survey.*"
[columns]
name = "名称"
area = {field = "面积", unit = "m2"}
"""


def workbook(path: Path, table: Sequence[Sequence[str]]) -> None:
    """Write the least that is an Excel workbook: one sheet, texts inline."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    cells = [
        "".join(f'<c r="{chr(65 + x)}{y}" t="inlineStr"><is><t>{escape(t)}</t></is></c>' for x, t in enumerate(row))
        for y, row in enumerate(table, start=1)
    ]
    lines = "".join(f'<row r="{y}">{row}</row>' for y, row in enumerate(cells, start=1))
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kinds}.worksheet+xml"/></Types>'
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", types)
        for name, kind, target in (
            ("_rels/.rels", "officeDocument", "xl/workbook.xml"),
            ("xl/_rels/workbook.xml.rels", "worksheet", "worksheets/sheet1.xml"),
        ):
            archive.writestr(
                name,
                f'<Relationships xmlns="{package}"><Relationship Id="rId1" Type="{office}/{kind}" Target="{target}"/>'
                "</Relationships>",
            )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook {main} xmlns:r="{office}"><sheets>'
            '<sheet name="普查" sheetId="1" r:id="rId1"/></sheets></workbook>',
        )
        archive.writestr("xl/worksheets/sheet1.xml", f"<worksheet {main}><sheetData>{lines}</sheetData></worksheet>")


def survey(path: Path) -> Path:
    if path.suffix == ".xlsx":
        workbook(path, TABLE)
    else:
        path.write_bytes("".join(",".join(row) + "\r\n" for row in TABLE).encode("gbk"))
    return path


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
def test_a_table_reaches_the_objects_it_names_and_makes_none(
    database: Database,
    tmp_path: Path,
    write: Callable[..., Path],
    square: Callable[..., shapely.Polygon],
    rows: Rows,
    suffix: str,
) -> None:
    file = tmp_path / "survey.toml"
    file.write_text(MAPPING, encoding="utf-8")
    options = Options(mappings=load([file], database.dictionary))
    table = survey(tmp_path / f"survey{suffix}")

    early = ingest(database, [table], options).files[0].layers[0]
    assert (early.read, early.rejected, early.inserted, early.updated) == (4, 4, 0, 0)  # nothing is there yet

    places = [square(), square(20)]
    ingest(database, [write(tmp_path / "parcel.gpkg", [{"code": FIRST}, {"code": SECOND}], places)])
    before = rows("parcel", "code", "geom")
    dry = Options(mappings=options.mappings, dry_run=True)
    for chosen in (dry, options):
        layer = ingest(database, [table], chosen).files[0].layers[0]
        assert (layer.read, layer.updated, layer.inserted, layer.unchanged, layer.rejected) == (4, 2, 0, 0, 2)
        assert (layer.identity, layer.provisional) == ({"code": 2}, 0)
    assert rows("parcel", "code", "geom") == before
    assert rows("parcel", "name", "area", "attributes") == [
        {"name": "一号地", "area": 100.5, "attributes": {"备注": "已核"}},
        {"name": "二号地", "area": 98.0, "attributes": {"备注": "待核"}},
    ]
    assert sorted(record.reason for record in rejects_of(database)) == [
        "code: names no object, and without geometry there can be no new parcel; correct it, or load its geometry"
        f" first, got {ABSENT!r}",
        "code: names no object, and without geometry there can be no new parcel; give its code or another identifier,"
        " or its geometry",
    ]
    again = ingest(database, [table], options).files[0].layers[0]
    assert (again.updated, again.unchanged, again.rejected) == (0, 2, 2)
