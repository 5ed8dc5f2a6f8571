"""Three sheds beside the sample district, the same in every format that departments exchange tables and outlines in.

Written by hand, not through the library that reads them, but for the geodatabase and the outlines of the shapefile.

- barn: 12 m × 8 m, 96 m²
- corner: an L of 10 m × 10 m without a quarter, 75 m²
- yard: 20 m × 20 m around a court of 8 m × 8 m, 336 m²
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

from ingest.gdal import pyogrio
from sample_data import _dbf
from sample_data._write import PROJECTED, REAL, TEXT, WHOLE, degrees, gdal_layer

EAST, NORTH = 422_000, 4_318_000
_PARCEL = "130638003099GB00001"
COLUMNS = {"code": TEXT, "name": TEXT, "usage": TEXT, "year_built": WHOLE, "storeys_above": WHOLE, "height": REAL}
_OUTLINES = {
    "谷仓 barn": "POLYGON ((0 0, 12 0, 12 8, 0 8, 0 0))",
    "转角 corner": "POLYGON ((20 0, 30 0, 30 5, 25 5, 25 10, 20 10, 20 0))",
    "院子 yard": "POLYGON ((40 0, 60 0, 60 20, 40 20, 40 0), (46 6, 46 14, 54 14, 54 6, 46 6))",
}
_FIELDS: tuple[_dbf.Field, ...] = (
    ("code", "C", 28, 0), ("name", "C", 40, 0), ("usage", "C", 20, 0), ("year_built", "N", 4, 0),
    ("storeys_ab", "N", 3, 0), ("height", "N", 6, 1),
)  # fmt: skip
_DAY = (2025, 6, 1)


def sheds() -> list[dict[str, Any]]:
    """Return the sheds, with outlines in EPSG:4548; the corner has no year, the yard no height."""
    return [
        {
            "code": f"{_PARCEL}F{number:04d}0000",
            "name": name,
            "usage": "warehouse",
            "year_built": None if number == 2 else 1990 + number,
            "storeys_above": number,
            "height": None if number == 3 else 2.5 + number,
            "geom": shapely.transform(shapely.from_wkt(wkt), lambda xy: xy + (EAST, NORTH)),  # noqa: RUF005
        }
        for number, (name, wkt) in enumerate(_OUTLINES.items(), start=1)
    ]


def write(folder: Path) -> None:
    """Write the sheds in every format into a folder; the workbook says when they were renovated."""
    folder.mkdir(parents=True, exist_ok=True)
    _csv(folder / "sheds.csv")
    _geojson_lines(folder / "sheds.geojsonl")
    _gml(folder / "sheds.gml")
    _kml(folder / "sheds.kml")
    _parquet(folder / "sheds.parquet")
    _workbook(folder / "sheds.xlsx")
    with tempfile.TemporaryDirectory() as scratch:
        _geodatabase(Path(scratch, "sheds.gdb"))
        _zip(folder / "sheds.gdb.zip", Path(scratch))
    with tempfile.TemporaryDirectory() as scratch:
        _shapefile(Path(scratch, "sheds.shp"))
        _zip(folder / "sheds.zip", Path(scratch))


def _attributes(shed: Mapping[str, Any]) -> dict[str, Any]:
    return {name: shed[name] for name in COLUMNS}


def _csv(path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*COLUMNS, "wkt"])
    for shed in sheds():
        writer.writerow([*_attributes(shed).values(), f"SRID=4548;{shapely.to_wkt(shed['geom'], trim=True)}"])
    path.write_bytes(text.getvalue().encode("utf-8-sig"))


def _geojson_lines(path: Path) -> None:
    lines = [
        json.dumps(
            {
                "type": "Feature",
                "properties": _attributes(shed),
                "geometry": json.loads(shapely.to_geojson(degrees(shed["geom"]))),
            },
            ensure_ascii=False,
        )
        for shed in sheds()
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _rings(shape: shapely.Polygon) -> list[list[tuple[float, ...]]]:
    return [list(ring.coords) for ring in (shape.exterior, *shape.interiors)]


def _gml(path: Path) -> None:
    """Write GML 3.2 with north before east, as EPSG:4548 has its axes."""
    members = []
    for shed in sheds():
        outer, *inner = (" ".join(f"{y:.3f} {x:.3f}" for x, y in ring) for ring in _rings(shed["geom"]))
        ring = "<gml:{0}><gml:LinearRing><gml:posList>{1}</gml:posList></gml:LinearRing></gml:{0}>"
        rings = ring.format("exterior", outer) + "".join(ring.format("interior", text) for text in inner)
        values = "".join(
            f"<s:{name}>{escape(str(value))}</s:{name}>"
            for name, value in _attributes(shed).items()
            if value is not None
        )
        members.append(
            f'<gml:featureMember><s:sheds gml:id="{shed["code"]}">{values}<s:outline>'
            f'<gml:Polygon gml:id="outline.{shed["code"]}" srsName="urn:ogc:def:crs:EPSG::4548">{rings}</gml:Polygon>'
            "</s:outline></s:sheds></gml:featureMember>"
        )
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<gml:FeatureCollection gml:id="all" xmlns:gml="http://www.opengis.net/gml/3.2" xmlns:s="urn:sheds">\n'
        + "\n".join(members)
        + "\n</gml:FeatureCollection>\n",
        encoding="utf-8",
        newline="\n",
    )


def _kml(path: Path) -> None:
    places = []
    for shed in sheds():
        outer, *inner = (" ".join(f"{x:.9f},{y:.9f}" for x, y in ring) for ring in _rings(degrees(shed["geom"])))
        ring = "<{0}><LinearRing><coordinates>{1}</coordinates></LinearRing></{0}>"
        rings = ring.format("outerBoundaryIs", outer) + "".join(ring.format("innerBoundaryIs", r) for r in inner)
        values = "".join(
            f'<Data name="{name}"><value>{escape(str(value))}</value></Data>'
            for name, value in _attributes(shed).items()
            if name != "name" and value is not None
        )
        places.append(
            f"<Placemark><name>{escape(shed['name'])}</name><ExtendedData>{values}</ExtendedData>"
            f"<Polygon>{rings}</Polygon></Placemark>"
        )
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        "<name>sheds</name>\n" + "\n".join(places) + "\n</Document></kml>\n",
        encoding="utf-8",
        newline="\n",
    )


def _parquet(path: Path) -> None:
    arrays = {name: pa.array([shed[name] for shed in sheds()], kind) for name, kind in COLUMNS.items()}
    arrays["geometry"] = pa.array([shapely.to_wkb(s["geom"], flavor="iso") for s in sheds()], pa.binary())
    column = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": pyproj.CRS(PROJECTED).to_json_dict()}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    pq.write_table(pa.table(arrays).replace_schema_metadata({"geo": json.dumps(geo)}), path)


def _workbook(path: Path) -> None:
    """Write a sheet with a title above the names, texts inline."""
    rows: list[list[Any]] = [["仓库改造 renovation"], ["code", "name", "year_renovated"]]
    rows += [[shed["code"], shed["name"], 2020 + number] for number, shed in enumerate(sheds())]
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = "".join(
            f'<c r="{"ABC"[place]}{number}"><v>{cell}</v></c>'
            if isinstance(cell, int)
            else f'<c r="{"ABC"[place]}{number}" t="inlineStr"><is><t>{escape(cell)}</t></is></c>'
            for place, cell in enumerate(row)
        )
        lines.append(f'<row r="{number}">{cells}</row>')
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="sheds" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
    }
    declaration = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    _pack(path, {name: (declaration + text).encode() for name, text in parts.items()})


def _geodatabase(path: Path) -> None:
    gdal = pyogrio()
    gdal.set_gdal_config_options({"OPENFILEGDB_REPRODUCIBLE_UUID": "YES"})
    try:
        # A geodatabase of the usual version has whole numbers of 32 bits only.
        columns = {name: pa.int32() if kind == WHOLE else kind for name, kind in COLUMNS.items()}
        gdal_layer(path, "OpenFileGDB", "sheds", columns, "MultiPolygon", sheds())
    finally:
        gdal.set_gdal_config_options({"OPENFILEGDB_REPRODUCIBLE_UUID": None})


def _shapefile(path: Path) -> None:
    gdal_layer(path, "ESRI Shapefile", path.stem, {"n": WHOLE}, "Polygon", [{"n": 0, **shed} for shed in sheds()])
    path.with_suffix(".cpg").unlink()
    rows = [{**shed, "storeys_ab": shed["storeys_above"]} for shed in sheds()]
    _dbf.write(path.with_suffix(".dbf"), _FIELDS, rows, _DAY)


def _zip(path: Path, folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    _pack(path, {p.relative_to(folder).as_posix(): p.read_bytes() for p in files})


def _pack(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, (*_DAY, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
