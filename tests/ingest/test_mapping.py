from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cim.dictionary import load_dictionary
from cim.errors import InvalidData
from ingest.columns import Column, conversion, units
from ingest.expressions import Expression
from ingest.formats import Layer
from ingest.mapping import (
    PUBLISHED,
    LayerMapping,
    by_names,
    choose,
    choose_published,
    load,
    mapping_files,
    published,
)

DICTIONARY = load_dictionary()


def mapping_file(path: Path, **changes: Any) -> Path:
    document = {"source": {"file": "*.gpkg"}, "type": "building"} | changes
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def layer(name: str, *fields: str, feature_type: str | None = None) -> Layer:
    table = pa.table({f: pa.array(["1"]) for f in (*fields, "_source_id")} | {"geom": pa.array([b""])})
    return Layer.of(name, feature_type, table, None)


def test_a_mapping_file_is_read_whole(tmp_path: Path) -> None:
    path = mapping_file(
        tmp_path / "m.json",
        source={"file": "a.gpkg", "layer": "b", "identity": "c", "encoding": "GB18030", "assume_crs": "EPSG:4490"},
        code="nr",
        source_id="id",
        columns={"height": {"field": "h", "factor": 0.1}, "usage": {"constant": "office"}, "name": "n"},
        rest="attributes",
    )
    (found,) = load([path], DICTIONARY)
    assert (found.file, found.layer, found.identity) == ("a.gpkg", "b", "c")
    assert (found.encoding, found.assume_crs, found.code, found.source_id) == ("GB18030", "EPSG:4490", "nr", "id")
    assert found.columns == {
        "height": Column("h", factor=0.1),
        "usage": Column(constant="office"),
        "name": Column("n"),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colums": {}}, "'colums' was unexpected"),
        ({"source": {"file": "a", "sheet": 1}}, "'sheet' was unexpected"),
        ({"source": {"layer": "a"}}, "says neither file nor format nor fields"),
        ({"type": "castle"}, "there is no feature type 'castle'"),
        ({"columns": {"hight": "h"}}, "building has no column hight"),
        ({"columns": {"height": {"field": "h", "factor": 0}}}, "columns.height"),
        ({"columns": {"height": {"factor": 2}}}, "columns.height"),
        ({"rest": "drop"}, "'attributes'"),
    ],
)
def test_what_a_mapping_may_not_say_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidData, match=r"m\.json") as caught:
        load([mapping_file(tmp_path / "m.json", **changes)], DICTIONARY)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"source": {"file": "a"}, "type": NaN}'])
def test_a_mapping_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(InvalidData, match=r"m\.json"):
        load([tmp_path], DICTIONARY)


def test_the_mapping_that_names_the_layer_goes_first_and_two_equal_ones_are_refused() -> None:
    every = LayerMapping("every", "*.gpkg", "building")
    one = LayerMapping("one", "*.GPKG", "parcel", layer="plots")
    path = Path("Town.gpkg")
    assert choose([every, one], path, "plots") is one
    assert choose([every, one], path, "houses") is every
    assert choose([one], path, "houses") is None
    assert choose([every, one], Path("town.shp"), "plots") is None
    with pytest.raises(InvalidData, match="mapped twice, by every and again"):
        choose([every, LayerMapping("again", "town.*", "road")], path, "houses")


@pytest.mark.parametrize(
    ("name", "file", "said", "known", "expected"),
    [
        ("Building", "x.gpkg", None, None, "building"),
        ("BUILDINGS", "x.gpkg", None, None, "building"),
        ("green-space", "x.gpkg", None, None, "green_space"),
        ("poly", "road.fgb", None, None, "road"),
        ("poly", "x.fgb", "pipe", None, "pipe"),
        ("building", "x.fgb", "pipe", None, "pipe"),
        ("spaces", "x.ifc", "pipe", "space", "space"),
        ("poly", "x.fgb", None, None, None),
    ],
)
def test_names_tell_the_type(name: str, file: str, said: str | None, known: str | None, expected: str | None) -> None:
    found = by_names(layer(name, feature_type=known), Path(file), DICTIONARY, said, alone=True)
    assert (found and found.type) == expected


def test_the_file_does_not_name_one_layer_of_several() -> None:
    assert by_names(layer("sketch"), Path("building.gpkg"), DICTIONARY, None, alone=False) is None


def test_fields_go_to_columns_of_their_name_also_where_a_dbf_cut_it() -> None:
    fields = layer("building", "CODE", "Height", "storeys_ab", "gross_floo", "other")
    found = by_names(fields, Path("building.shp"), DICTIONARY, None, alone=True)
    assert found is not None
    # gross_floo may be gross_floor_area or gross_floor_area_below: nobody can tell.
    assert found.columns == {"height": Column("Height"), "storeys_above": Column("storeys_ab")}
    assert found.code == "CODE"
    other = by_names(fields, Path("building.gpkg"), DICTIONARY, None, alone=True)
    assert other is not None
    assert set(other.columns) == {"height"}


TOML = """
type = "building"
code = {expr = "concat(district, number)"}
source_id = "id"

[source]
fields = ["district", "number"]

[identifiers]
provisional = "old"

[columns]
height = {field = "h", unit = "ft"}
valid_from = {expr = "date(day, '%Y%m%d')"}
status = {field = "s", vocabulary = "bag", otherwise = "in_use", values = {1 = "ruin"}}
"""
YAML = """
layers:
  - type: building
    code: {expr: "concat(district, number)"}
    source_id: id
    source: {fields: [district, number]}
    identifiers: {provisional: old}
    columns:
      height: {field: h, unit: ft}
      valid_from: {expr: "date(day, '%Y%m%d')"}
      status: {field: s, vocabulary: bag, otherwise: in_use, values: {1: ruin}}
"""


def test_yaml_that_stands_for_billions_of_values_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    (tmp_path / "m.yaml").write_text("\n".join(lines))
    with pytest.raises(InvalidData, match=r"m\.yaml: not a readable YAML file: it stands for more than 100,000 values"):
        load([tmp_path / "m.yaml"], DICTIONARY)


def test_toml_and_yaml_say_the_same_as_json(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(TOML, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(YAML, encoding="utf-8")
    toml, yaml = load([tmp_path], DICTIONARY)
    assert toml.columns == yaml.columns
    assert (toml.code, toml.source_id, toml.identifiers, toml.fields, toml.file) == (
        yaml.code,
        yaml.source_id,
        yaml.identifiers,
        yaml.fields,
        yaml.file,
    )
    assert isinstance(toml.code, Expression)
    assert toml.code.fields == {"district", "number"}
    assert toml.columns["status"].values == {"1": "ruin"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"height": {"field": "h", "unit": "mu"}}, "columns.height: unit 'mu' measures area, but 'm' measures length"),
        ({"height": {"field": "h", "unit": "furlong"}}, "unknown unit 'furlong'"),
        ({"name": {"field": "h", "unit": "m"}}, "the column has no unit to convert to"),
        ({"height": {"expr": "h +"}}, "at place 4 expected a field"),
        ({"height": {"expr": "h", "field": "h"}}, "columns.height"),
        ({"status": {"field": "s", "vocabulary": "nobody"}}, "no vocabulary 'nobody'; its codelist has"),
        ({"usage": {"field": "s", "otherwise": "castle"}}, "'castle' is no value of building_usage"),
    ],
)
def test_what_a_column_may_not_say_is_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidData) as caught:
        load([mapping_file(tmp_path / "m.json", columns=columns)], DICTIONARY)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.toml", "type = "),
        ("m.yaml", "a: [b"),
        ("m.yaml", "!!python/object/apply:os.getcwd []"),
        ("m.toml", "a = nan"),
    ],
)
def test_broken_or_active_files_are_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InvalidData, match=name):
        load([tmp_path / name], DICTIONARY)


def test_units_are_converted_by_published_sizes() -> None:
    assert conversion("ft", "m") == 0.3048
    assert conversion("mu", "m2") == pytest.approx(666.6667, abs=1e-4)
    assert conversion("坪", "m2") == pytest.approx(3.305785, abs=1e-6)
    assert conversion("%", "1") == 0.01
    for feature_type in DICTIONARY.types.values():
        for prop in feature_type.properties:
            assert prop.unit is None or prop.unit in units(), prop


def test_a_layer_is_known_by_its_fields_where_one_mapping_alone_fits() -> None:
    tokyo = ["建物ID", "measuredHeight", "buildingRoofEdgeArea", "地区計画"]
    known = published(DICTIONARY)

    def found(fields: list[str], type_name: str | None = None) -> LayerMapping | None:
        return choose_published(known, Path("a.fgb"), "layer", fields, "fgb", type_name)

    chosen = found(tokyo)
    assert chosen is not None
    assert chosen.identity == "plateau-tokyo23ku"
    assert found(tokyo[1:]) is None
    assert found(tokyo, "parcel") is None
    assert choose_published([*known, chosen], Path("a.fgb"), "layer", tokyo, "fgb", None) is None


def test_a_glob_over_the_layer_and_a_format_choose() -> None:
    parts = LayerMapping("parts", "*", "building", layer="bldg_*", format="gpkg")
    path = Path("x.gpkg")
    assert choose([parts], path, "bldg_1", (), "gpkg") is parts
    assert choose([parts], path, "road_1", (), "gpkg") is None
    assert choose([parts], path, "bldg_1", (), "fgb") is None


@pytest.mark.parametrize("path", mapping_files(PUBLISHED), ids=lambda path: path.stem)
def test_every_published_mapping_is_sound_and_says_what_it_is_for(path: Path) -> None:
    found = load([Path(path.stem)], DICTIONARY)
    assert found
    docs = Path(__file__).parents[2] / "docs" / "mapping.md"
    assert f"| `{path.stem}` |" in docs.read_text(encoding="utf-8")
    assert all(m.fields or m.format or m.layer or m.file != "*" for m in found)
