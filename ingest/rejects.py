"""The records that could not be taken: as the database keeps them, written out to be mended, and coming back.

An export carries, beside the fields of the source, what each record was: `_reject_id`, the file and layer it came from,
what names it there, and why it was rejected. Taken in again, its records go through the mapping of the file they came
from, and those that are taken leave the list of rejects; those that are not stand there with their new reason only.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc
import shapely

from cim import crs
from cim.db.engine import Database
from cim.db.script import query
from cim.errors import InvalidData, NotFound
from ingest.formats import Layer
from ingest.formats._base import FEATURE_ID, GEOMETRY
from ingest.values import text_of

# Fields an export has beside those of the source; they do not come back as attributes.
ID, FILE, LAYER, RECORD, REASON = "_reject_id", "_reject_file", "_reject_layer", "_reject_record", "_reject_reason"
WKB = "_reject_wkb"
FIELDS = (ID, FILE, LAYER, RECORD, REASON, WKB)
_CODE = re.compile(r"\w+:[\w+]+$")


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """One record: the file and layer it came from, what names it there, why it was rejected, and all of it.

    `record` is a GeoJSON feature in the source's coordinates; its `crs` says which.
    """

    id: int
    file: str
    dataset: str
    layer: str
    source_id: str | None
    reason: str
    record: dict[str, Any]
    at: datetime


def rejects_of(database: Database, dataset: str | None = None, layer: str | None = None) -> list[RejectedRecord]:
    """Return rejected records in the order they came, of one file (by name or digest) and one layer if asked for.

    Raises
    ------
    NotFound : no such file was ever taken in.
    """
    with database.engine.connect() as connection:
        if (
            dataset is not None
            and not connection.execute(query("ingest/knows_dataset"), {"dataset": dataset}).scalar_one()
        ):
            raise NotFound(f"no file {dataset!r} was taken in; name it as `cim rejects` does, or by its SHA-256")
        rows = connection.execute(query("ingest/list_rejects"), {"dataset": dataset, "layer": layer})
        return [RejectedRecord(r.id, r.name, r.dataset, r.layer, r.source_id, r.reason, r.record, r.at) for r in rows]


def export(found: Sequence[RejectedRecord], path: Path) -> None:
    """Write records to a `.gpkg` (a layer for each they came from), `.geojson` or `.csv`, as they came.

    Raises
    ------
    InvalidData : another suffix; records of several systems, or of none, that one GeoJSON file cannot hold.
    """
    match path.suffix.lower():
        case ".gpkg":
            _write_geopackage(found, path)
        case ".geojson" | ".json":
            path.write_bytes(orjson.dumps(_collection(found), option=orjson.OPT_INDENT_2))
        case ".csv":
            with path.open("w", encoding="utf-8-sig", newline="") as file:
                _write_csv(found, file)
        case _:
            raise InvalidData(f"{path}: rejects are exported as .gpkg, .geojson or .csv; give the file such a name")


def returned(layer: Layer) -> Iterator[tuple[str, Layer]]:
    """Yield the layers that mended rejects came from, each with the name of its file; nothing if it holds none."""
    if not {ID, FILE, LAYER} <= set(layer.schema.names):
        return
    table = layer.table()
    origins = sorted(set(zip(table.column(FILE).to_pylist(), table.column(LAYER).to_pylist(), strict=True)), key=str)
    for file, name in origins:
        if file is None or name is None:
            continue
        here = pc.and_(pc.equal(table.column(FILE), file), pc.equal(table.column(LAYER), name))
        own = table.filter(pc.fill_null(here, False))
        # Records of other layers lend their fields to these when one file holds all: what is empty was not theirs.
        empty = [n for n in own.column_names if n not in (GEOMETRY, *FIELDS) and own.column(n).null_count == len(own)]
        own = own.drop_columns(empty)
        if RECORD in own.column_names:
            # An export numbers its rows anew: a mapping that names records by their number means the one before.
            own = own.drop_columns([n for n in own.column_names if n == FEATURE_ID])
            own = own.append_column(FEATURE_ID, own.column(RECORD))
        origin = Layer.of(name, layer.feature_type, own, layer.crs, layer.warnings)
        yield file, replace(origin, encoding=layer.encoding)


def ids_of(layer: Layer) -> list[int]:
    """Return the numbers of the rejects that the records of a returned layer were."""
    texts = text_of(layer.table().column(ID)).to_pylist()
    return [int(text) for text in texts if text is not None and text.isdigit()]


def _properties(record: RejectedRecord) -> dict[str, Any]:
    # Geometry that GeoJSON cannot hold is kept as it came.
    wkb = {WKB: record.record["wkb"]} if "wkb" in record.record else {}
    return {
        **record.record["properties"],
        ID: record.id,
        FILE: record.file,
        LAYER: record.layer,
        RECORD: record.source_id,
        REASON: record.reason,
        **wkb,
    }


def _write_geopackage(found: Sequence[RejectedRecord], path: Path) -> None:
    import geopandas as gpd
    import pandas as pd

    from ingest.gdal import pyogrio

    path.touch()  # an OSError where it cannot be written, as of the other formats; GDAL has errors of its own
    path.unlink()
    gdal = pyogrio()
    layers: dict[tuple[str, str], list[RejectedRecord]] = {}
    for record in found:
        layers.setdefault((record.file, record.layer), []).append(record)
    names = [layer for _, layer in layers]
    for (file, name), records in layers.items():
        shapes = [
            None if r.record["geometry"] is None else shapely.from_geojson(orjson.dumps(r.record["geometry"]))
            for r in records
        ]
        columns = pd.DataFrame([_plain(_properties(r)) for r in records])
        system = records[0].record["crs"]
        title = name if names.count(name) == 1 else f"{Path(file).stem} {name}"
        with warnings.catch_warnings(action="ignore"):  # no CRS was stated: none is
            if all(shape is None for shape in shapes):
                gdal.write_dataframe(columns, path, layer=title, driver="GPKG")
            else:
                frame = gpd.GeoDataFrame(columns, geometry=shapes, crs=None if system is None else crs.parse(system))
                gdal.write_dataframe(frame, path, layer=title, driver="GPKG")


def _plain(properties: dict[str, Any]) -> dict[str, Any]:
    """Return nested values as the text of their JSON: a table's cell holds no more."""
    return {k: orjson.dumps(v).decode() if isinstance(v, (dict, list)) else v for k, v in properties.items()}


def _collection(found: Sequence[RejectedRecord]) -> dict[str, Any]:
    """Return the records as one GeoJSON collection, in the coordinates they came in."""
    placed = [r for r in found if r.record["geometry"] is not None]
    systems = sorted({str(r.record["crs"]) for r in placed})
    if len(systems) > 1:
        raise InvalidData(
            f"the records are in {', '.join(systems)}: export to a .gpkg, or one --dataset or --layer at a time"
        )
    if systems == ["None"]:
        raise InvalidData("the records state no CRS, and GeoJSON would make it WGS 84: export to a .gpkg")
    if systems and not _CODE.match(systems[0]):
        raise InvalidData("the records are in a CRS without a code, and GeoJSON names one by it: export to a .gpkg")
    features = [{"type": "Feature", "properties": _properties(r), "geometry": r.record["geometry"]} for r in found]
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if systems:
        # RFC 7946 knows degrees of WGS 84 only; readers of the 2008 specification understand this member.
        collection["crs"] = {"type": "name", "properties": {"name": systems[0]}}
    return collection


def _write_csv(found: Sequence[RejectedRecord], file: Any) -> None:
    names = list(dict.fromkeys(name for record in found for name in record.record["properties"]))
    writer = csv.writer(file)
    shape = next(name for name in ("wkt", "geom", "wkt_geom") if name not in names)
    writer.writerow([ID, FILE, LAYER, RECORD, REASON, *names, shape])
    for r in found:
        values = [r.record["properties"].get(name) for name in names]
        writer.writerow([r.id, r.file, r.layer, r.source_id, r.reason, *values, _wkt(r.record)])


def _wkt(record: dict[str, Any]) -> str:
    """Return a record's geometry as WKT, with its EPSG code where it has one; empty where it has none."""
    if record["geometry"] is None:
        return ""
    text = shapely.to_wkt(shapely.from_geojson(orjson.dumps(record["geometry"])), rounding_precision=-1)
    authority, _, code = (record["crs"] or "").partition(":")
    return f"SRID={code};{text}" if authority == "EPSG" else text
