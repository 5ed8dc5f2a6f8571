"""Write the sample district: `python -m sample_data.make [folder]`. The same code gives the same bytes.

`_layout` draws streets and blocks, `_district` builds on them, `_records` and `_networks` give everything
its record, `_faults` spoils a few, and this module says what goes into which file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sample_data import (
    DATA,
    FORMATS,
    MAPPINGS,
    _city3d,
    _dbf,
    _district,
    _faults,
    _ifc,
    _interchange,
    _networks,
    _osm,
    _records,
)
from sample_data._write import DAY, FLAG, GEOGRAPHIC, REAL, TEXT, WHOLE, degrees, gdal_layer, geojson

Record = dict[str, Any]

SEED = 20250601
SURVEYED_UNTIL = 2000  # the survey of old buildings took those completed by the end of this year

DIVISION = {
    "code": TEXT,
    "name": TEXT,
    "level": TEXT,
    "parent_code": TEXT,
    "population": WHOLE,
    "valid_from": DAY,
}
PARCEL = {
    "code": TEXT, "division_code": TEXT, "name": TEXT, "land_use": TEXT, "land_right": TEXT, "area": REAL,
    "tenure": TEXT, "address": TEXT, "valid_from": DAY,
}  # fmt: skip
BUILDING = {
    "code": TEXT, "parcel_code": TEXT, "division_code": TEXT, "name": TEXT, "address": TEXT, "usage": TEXT,
    "structure": TEXT, "status": TEXT, "year_built": WHOLE, "year_renovated": WHOLE, "storeys_above": WHOLE,
    "storeys_below": WHOLE, "height": REAL, "ground_elevation": REAL, "footprint_area": REAL,
    "gross_floor_area": REAL, "gross_floor_area_below": REAL, "dwellings": WHOLE, "households": WHOLE,
    "danger_grade": TEXT, "danger_certificate": TEXT, "heritage": TEXT, "has_lift": FLAG, "has_gas": FLAG,
    "seismic_intensity": WHOLE,
}  # fmt: skip
UNIT = {
    "code": TEXT, "building_code": TEXT, "parcel_code": TEXT, "name": TEXT, "storey_number": WHOLE,
    "room_number": TEXT, "usage": TEXT, "floor_area": REAL, "tenure": TEXT, "households": WHOLE,
    "occupied": FLAG,
    "owner_name": TEXT, "owner_id": TEXT, "right_certificate": TEXT, "survey_team": TEXT,
}  # fmt: skip
GREEN = {"id": TEXT, "name": TEXT, "kind": TEXT, "area": REAL, "counts_as_green": FLAG}
ZONE = {
    "id": TEXT, "name": TEXT, "zone_kind": TEXT, "land_use": TEXT, "far_cap": REAL, "density_cap": REAL,
    "green_ratio_min": REAL, "height_cap": REAL, "effective_from": DAY, "source": TEXT,
}  # fmt: skip
DISTRICT = {
    "id": TEXT, "name": TEXT, "renewal_kind": TEXT, "stage": TEXT, "responsible": TEXT, "designated_on": DAY
}  # fmt: skip
ROAD = {
    "road_id": TEXT, "name": TEXT, "road_class": TEXT, "width": REAL, "lanes": WHOLE, "speed_limit": REAL,
    "surface": TEXT, "status": TEXT,
}  # fmt: skip
PIPE = {
    "pipe_id": TEXT, "network": TEXT, "material": TEXT, "diameter": REAL, "depth_cm": WHOLE,
    "year_laid": WHOLE,
    "flow_from": TEXT, "flow_to": TEXT,
}  # fmt: skip
FACILITY = ("id", "name", "kind", "capacity", "building_code", "address")
COMPONENT = (
    "ObjID", "ObjName", "ObjState", "class_code", "supervisor", "owner_department", "maintainer", "ORDate",
    "CHDate"
)  # fmt: skip
# Columns of the survey's attribute table; what they mean stands in mappings/buildings_old.json.
SURVEY: tuple[_dbf.Field, ...] = (
    ("顺序号", "N", 6, 0), ("建筑编码", "C", 60, 0), ("宗地编码", "C", 19, 0), ("社区编码", "C", 12, 0),
    ("建筑名称", "C", 40, 0), ("坐落", "C", 80, 0), ("用途", "C", 8, 0), ("结构", "C", 10, 0), ("现状", "C",
    10, 0),
    ("建成年份", "N", 4, 0), ("改造年份", "N", 4, 0), ("层数", "N", 3, 0), ("地下层数", "N", 2, 0),
    ("高度", "N", 6, 1), ("地面高程", "N", 7, 2), ("基底面积", "N", 10, 2), ("建筑面积", "N", 11, 2),
    ("套数", "N", 4, 0), ("户数", "N", 4, 0), ("危房等级", "C", 4, 0), ("鉴定文号", "C", 30, 0),
    ("保护类别", "C", 4, 0), ("电梯", "C", 2, 0), ("燃气", "C", 2, 0), ("设防烈度", "N", 2, 0), ("测绘单位",
    "C", 20, 0),
)  # fmt: skip


@dataclass(frozen=True)
class _Backwards:
    """The source field of a column, and the source's words for each of our values; None: it has our own."""

    field: str
    words: dict[Any, list[str]] | None

    def word(self, value: Any, record: Record) -> Any:
        """Return what the source would say for our value in a record: the same each time it is delivered."""
        if self.words is None or value is None:
            return value
        choice = self.words[value]
        return choice[zlib.crc32(record["name"].encode()) % len(choice)]


def make(folder: Path) -> None:
    """Write every file of the sample into a folder, emptying it first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    town = _district.build(SEED)
    layers = _records.describe(town, SEED + 1)
    networks = _networks.describe(town, SEED + 2)
    rng = random.Random(SEED + 3)
    _forget(layers.records["building"], rng)
    old = [r for r in layers.records["building"] if r["year_built"] is None or r["year_built"] <= SURVEYED_UNTIL]
    new = [r for r in layers.records["building"] if r["year_built"] is not None and r["year_built"] > SURVEYED_UNTIL]
    _district_file(folder / "district.gpkg", layers.records, new, rng)
    _survey_file(folder / "buildings_old.shp", _faults.old_buildings(old, rng))
    gdal_layer(folder / "roads.fgb", "FlatGeobuf", "roads", ROAD, "LineString", _faults.roads(networks["road"], rng))
    pipes = [{**row, "geom": degrees(row["geom"])} for row in networks["pipe"]]
    gdal_layer(folder / "pipes.gpkg", "GPKG", "pipe_survey", PIPE, "LineString", pipes, GEOGRAPHIC)
    geojson(
        folder / "facilities.geojson", FACILITY,
        _faults.facilities([*layers.records["facility"], *networks["facility"]], rng),
    )  # fmt: skip
    _component_file(folder / "components.geojson", _faults.components(networks["component"], rng))
    _ifc.write(folder / "models", layers)
    _sums(folder)


def _sums(folder: Path) -> None:
    """List the SHA-256 of every file, as `sha256sum --check` reads it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}\n" for p in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8", newline="\n")


def _forget(buildings: list[Record], rng: random.Random) -> None:
    """Blank what nobody knows: unknown is neither false nor zero."""
    _faults.unknown(
        buildings, "year_built", 9, rng, lambda r: r["structure"] == "brick_wood" and r["heritage"] == "none"
    )
    _faults.unknown(buildings, "height", 6, rng, lambda r: (r["year_built"] or 9999) < 1985 and not r["dwellings"])
    _faults.unknown(buildings, "structure", 4, rng, lambda r: r["year_built"] is not None and not r["dwellings"])


def _district_file(path: Path, records: dict[str, list[Record]], new: list[Record], rng: random.Random) -> None:
    layers: tuple[tuple[str, dict[str, pa.DataType], str | None, list[Record]], ...] = (
        ("division", DIVISION, "Polygon", records["division"]),
        ("parcel", PARCEL, "Polygon", _faults.parcels(records["parcel"], rng)),
        ("building", BUILDING, "Polygon", _faults.new_buildings(new, rng)),
        ("unit", UNIT, None, _faults.units(records["unit"], rng)),
        ("green_space", GREEN, "Polygon", records["green_space"]),
        ("planning_zone", ZONE, "Polygon", records["planning_zone"]),
        ("renewal_district", DISTRICT, "Polygon", records["renewal_district"]),
    )
    for name, columns, kind, rows in layers:
        gdal_layer(path, "GPKG", name, columns, kind, rows)


def _survey_file(path: Path, records: list[Record]) -> None:
    gdal_layer(path, "ESRI Shapefile", path.stem, {"n": WHOLE}, "Polygon", [{"n": 0, **r} for r in records])
    path.with_suffix(".cpg").unlink()
    columns = _backwards(_mapping("buildings_old")["columns"])
    # The survey has one column of status; the mapping reads it twice, in our words and in its own.
    del columns["local_status"]
    rows = []
    for record in records:
        row: Record = {"顺序号": record["number"], "建筑编码": record["code"], "测绘单位": "县测绘队"}
        for column, backwards in columns.items():
            row[backwards.field] = backwards.word(record.get(column), record)
        row["结构"] = record.get("structure_zh", row["结构"])
        row["用途"] = record.get("usage_zh", row["用途"])
        rows.append(row)
    _dbf.write(path.with_suffix(".dbf"), SURVEY, rows, (2025, 6, 1))


def _component_file(path: Path, records: list[Record]) -> None:
    states = _backwards(_mapping("components")["columns"])["status"]
    rows = [
        {
            **record, "ObjID": record["code"], "ObjName": record["name"], "ORDate": record["installed_on"],
            "CHDate": record["changed_on"], "ObjState": record.get("status_zh", states.word(record["status"], record)),
        }
        for record in records
    ]  # fmt: skip
    geojson(path, COMPONENT, rows)


def _mapping(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((MAPPINGS / f"{name}.json").read_text(encoding="utf-8"))
    return document


def _backwards(columns: dict[str, Any]) -> dict[str, _Backwards]:
    """Return how to read a mapping backwards, by our column; constants have no way back."""
    found = {}
    for column, rule in columns.items():
        if isinstance(rule, str):
            found[column] = _Backwards(rule, None)
        elif "values" in rule:
            words: dict[Any, list[str]] = {}
            for word, value in rule["values"].items():
                words.setdefault(value, []).append(word)
            found[column] = _Backwards(rule["field"], words)
    return found


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", nargs="?", type=Path, help="where to; without it, the samples of the project anew")
    folder = arguments.parse_args().folder
    if folder:
        make(folder)
    else:
        make(DATA)
        for recipe in (_city3d, _interchange, _osm):
            recipe.write(FORMATS)
