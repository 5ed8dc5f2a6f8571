from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cim.dictionary import load_dictionary
from cim.errors import InvalidData
from ingest.formats import Layer
from ingest.mapping import Column, LayerMapping, by_names, choose, load

DICTIONARY = load_dictionary()


def mapping_file(path: Path, **changes: Any) -> Path:
    document = {"source": {"file": "*.gpkg"}, "type": "building"} | changes
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def layer(name: str, *fields: str, feature_type: str | None = None) -> Layer:
    table = pa.table({f: pa.array(["1"]) for f in (*fields, "_source_id")} | {"geom": pa.array([b""])})
    return Layer(name, feature_type, table, None)


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
        ({"source": {}}, "'file' is a required property"),
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
