from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from cim.dictionary import load_dictionary
from ingest.expressions import Expression
from ingest.formats import ReadOptions, format_of
from ingest.mapping import LayerMapping, load
from ingest.suggest import suggest
from sample_data import DATA, MAPPINGS

DICTIONARY = load_dictionary()


def suggested(path: Path, folder: Path, **options: Any) -> tuple[str, list[LayerMapping]]:
    """The proposal, and what it means once it is read back as a mapping."""
    text = suggest(path, format_of(path), ReadOptions(**options), DICTIONARY)
    (folder / "proposed.toml").write_text(text, encoding="utf-8")
    return text, load([folder / "proposed.toml"], DICTIONARY)


def layer_of(path: Path, records: list[dict[str, Any]], shape: shapely.Geometry | None = None) -> Path:
    shapes = [shape or shapely.box(i, 0, i + 1, 1) for i in range(len(records))]
    gpd.GeoDataFrame(records, geometry=shapes, crs=4548).to_file(path, engine="pyogrio")
    return path


def test_a_chinese_survey_is_understood_like_the_mapping_a_person_wrote(tmp_path: Path) -> None:
    _, (found,) = suggested(DATA / "buildings_old.shp", tmp_path)
    (written,) = load([MAPPINGS / "buildings_old.json"], DICTIONARY)
    assert (found.type, found.code) == (written.type, written.code)
    ours = {name: column.field for name, column in found.columns.items()}
    theirs = {name: column.field for name, column in written.columns.items()}
    # The field 现状 goes to one column only: a person may want it twice.
    assert ours == {name: field for name, field in theirs.items() if name != "local_status"}
    for name, column in found.columns.items():
        for value, ours_value in (column.values or {}).items():
            person = (written.columns[name].values or {}).get(value)
            assert person is None or str(person) == ours_value, (name, value)


def test_what_does_not_translate_is_left_to_a_person(tmp_path: Path) -> None:
    path = layer_of(tmp_path / "building.gpkg", [{"用途": u} for u in ("居民楼", "居民楼", "写字楼", "城堡")])
    text, (found,) = suggested(path, tmp_path)
    assert found.columns["usage"].values == {"居民楼": "residential", "写字楼": "office"}
    assert "'城堡' (1)" in text


@pytest.mark.parametrize(
    ("field", "values", "unit"),
    [
        ("height_ft", [40.0, 60.0], "ft"),
        ("高度(厘米)", [900, 1200], "厘米"),
        ("height", [9000.0, 120_000.0], "mm"),
        ("height", [9.0, 120.0], None),
    ],
)
def test_units_come_from_names_or_else_from_values(
    tmp_path: Path, field: str, values: list[float], unit: str | None
) -> None:
    path = layer_of(tmp_path / "building.gpkg", [{field: value} for value in values])
    _, (found,) = suggested(path, tmp_path)
    assert (found.columns["height"].field, found.columns["height"].unit) == (field, unit)


def test_names_alone_do_not_suffice(tmp_path: Path) -> None:
    records = [{"height": "tall", "year_built": 5, "code": "x1"}, {"height": "small", "year_built": 7, "code": "x2"}]
    _, (found,) = suggested(layer_of(tmp_path / "building.gpkg", records), tmp_path)
    assert found.columns == {}
    assert (found.code, found.source_id) == (None, "code")


@pytest.mark.parametrize(
    ("file", "shape", "fields", "expected"),
    [
        ("道路中心线.gpkg", shapely.LineString([(0, 0), (1, 1)]), {"路名": "a"}, "road"),
        ("管网.gpkg", shapely.LineString([(0, 0), (1, 1)]), {"管径": 200}, "pipe"),
        ("宗地.gpkg", shapely.box(0, 0, 1, 1), {"zddm": "1"}, "parcel"),
        ("export_17.gpkg", shapely.box(0, 0, 1, 1), {"层数": 6, "建筑面积": 900.0}, "building"),
        ("poi.gpkg", shapely.Point(0, 0), {"类别": "医院"}, "facility"),
    ],
)
def test_name_geometry_and_fields_tell_the_type(
    tmp_path: Path, file: str, shape: shapely.Geometry, fields: dict[str, Any], expected: str
) -> None:
    _, (found,) = suggested(layer_of(tmp_path / file, [fields], shape), tmp_path)
    assert found.type == expected


@pytest.mark.parametrize(
    ("file", "shape", "fields", "expected"),
    [
        # Every type has a name; a unit or an intervention may do without a place, a component has a class.
        ("stations.gpkg", shapely.Point(0, 0), {"name": "Central"}, "facility"),
        # Fields without a value are no dates of validity.
        ("stations.gpkg", shapely.Point(0, 0), {"name": "Central", "begin": None, "end": None}, "facility"),
        # As much of an intervention, which nobody delivers.
        ("sheds.gpkg", shapely.box(0, 0, 1, 1), {"name": "a", "usage": "office", "height": 3.0}, "building"),
    ],
)
def test_what_several_types_have_does_not_tell_the_type(
    tmp_path: Path, file: str, shape: shapely.Geometry, fields: dict[str, Any], expected: str
) -> None:
    _, (found,) = suggested(layer_of(tmp_path / file, [fields], shape), tmp_path)
    assert found.type == expected


def test_a_layer_like_nothing_we_know_is_said_to_be_one(tmp_path: Path) -> None:
    path = layer_of(tmp_path / "x.gpkg", [{"a": 1}], shapely.box(0, 0, 1, 1))
    text = suggest(path, format_of(path), ReadOptions(), DICTIONARY)
    assert "layer 'x': looks like no feature type; its fields: a" in text
    assert tomllib.loads(text) == {}


def test_several_layers_make_one_file(tmp_path: Path) -> None:
    text, found = suggested(DATA / "district.gpkg", tmp_path)
    assert {m.type for m in found} >= {"parcel", "building", "unit", "green_space"}
    assert text.count("[[layers]]") == len(found)
    assert all(m.layer is not None and not isinstance(m.code, Expression) for m in found)


@pytest.mark.real
def test_the_real_files_of_nanshan_and_huizhou(shared: Path, tmp_path: Path) -> None:
    _, (nanshan,) = suggested(shared / "data/gis/DERIVED_nanshan_gbk_4547/南山建筑.shp", tmp_path)
    assert (nanshan.type, nanshan.source_id) == ("building", "建筑编号")
    assert {name: c.field for name, c in nanshan.columns.items()} == {"height": "建筑高度", "usage": "用途"}
    _, (huizhou,) = suggested(shared / "data/gis/huizhou/land.shp", tmp_path)
    assert (huizhou.type, huizhou.source_id) == ("planning_zone", "ID")
    assert (huizhou.columns["land_use"].values or {})["R2"] == "residential"


@pytest.mark.real
@pytest.mark.parametrize("file", ["mapshaper_Albania.kmz", "mapshaper_wkt.csv", "mapshaper_big5/big5.shp"])
def test_real_points_with_a_name_are_facilities(shared: Path, tmp_path: Path, file: str) -> None:
    _, (found,) = suggested(shared / "data/autotest" / file, tmp_path)
    assert (found.type, found.columns["name"].field.casefold()) == ("facility", "name")
