from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cim.dictionary import load_dictionary
from cim.errors import InvalidData, NotFound

BENCH: dict[str, Any] = {
    "title": "Bench",
    "x-cim-title-zh": "长椅",
    "description": "A bench.",
    "x-cim-code-scheme": "provisional",
    "type": "object",
    "required": ["code", "seats"],
    "properties": {
        "code": {"type": "string", "x-ogc-role": "id"},
        "seats": {"title": "Seats", "type": "integer", "minimum": 1, "maximum": 50},
        "wood": {"type": "string", "x-cim-codelist": "wood", "maxLength": 20},
        "painted_on": {"type": "string", "format": "date"},
        "seen_at": {"type": "string", "format": "date-time"},
        "length": {"type": "number", "x-ogc-unit": "m"},
        "donor": {"type": "string", "x-cim-private": True},
        "parcel_code": {"type": "string", "x-cim-references": "parcel"},
        "geom": {"format": "geometry-point", "x-ogc-role": "primary-geometry"},
    },
}
WOOD: dict[str, Any] = {
    "title": "Wood",
    "title-zh": "木材",
    "source": "Own list",
    "confidence": "design",
    "values": [
        {"value": "oak", "title": "Oak", "title-zh": "橡木", "mappings": {"latin": "Quercus"}},
        {"value": "elm", "title": "Elm", "title-zh": "榆木", "confidence": "unsure"},
    ],
}


def city_folder(folder: Path, bench: object = BENCH, wood: object = WOOD, name: str = "bench") -> Path:
    (folder / "codelists").mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.schema.json").write_text(json.dumps(bench), encoding="utf-8")
    (folder / "codelists" / "wood.json").write_text(json.dumps(wood), encoding="utf-8")
    return folder


def changed(**keywords: object) -> dict[str, Any]:
    return {key: value for key, value in {**BENCH, **keywords}.items() if value is not None}


def with_property(name: str, **schema: object) -> dict[str, Any]:
    return changed(properties={**BENCH["properties"], name: schema})


def test_a_city_adds_a_type_and_a_codelist_as_files(tmp_path: Path) -> None:
    dictionary = load_dictionary(city_folder(tmp_path))
    bench = dictionary.type("bench")
    assert (bench.title, bench.title_zh, bench.geometry, bench.geometry_required) == (
        "Bench",
        "长椅",
        "Point",
        False,
    )
    assert {prop.name: prop.kind for prop in bench.properties} == {
        "seats": "integer",
        "wood": "string",
        "painted_on": "date",
        "seen_at": "datetime",
        "length": "number",
        "donor": "string",
        "parcel_code": "string",
    }
    seats = bench.property("seats")
    assert (seats.required, seats.minimum, seats.maximum, seats.unit) == (True, 1, 50, None)
    assert bench.property("length").unit == "m"
    assert bench.property("wood").max_length == 20
    assert bench.property("parcel_code").references == "parcel"
    assert [prop.name for prop in bench.private_properties] == ["donor"]
    assert "donor" not in [prop.name for prop in bench.public_properties]
    wood = dictionary.codelists["wood"]
    assert "oak" in wood
    assert "pine" not in wood
    assert wood.values["oak"].mappings == {"latin": "Quercus"}
    assert {value.value: value.confidence for value in wood.values.values()} == {
        "oak": "design",
        "elm": "unsure",
    }


def test_parents_come_first() -> None:
    order = list(load_dictionary().types)
    assert order.index("parcel") < order.index("building") < order.index("storey") < order.index("space")
    assert order.index("building") < order.index("unit")


def test_a_deployment_chooses_other_schemes() -> None:
    types = load_dictionary(code_schemes={"building": "nl-bag", "parcel": "cn-bdcdyh"}).types
    assert (types["building"].code_scheme, types["building"].code_level) == ("nl-bag", None)
    assert (types["parcel"].code_scheme, types["parcel"].code_level) == ("cn-bdcdyh", "parcel")
    with pytest.raises(InvalidData, match="CIM_CODE_SCHEMES names no feature type: 'house'"):
        load_dictionary(code_schemes={"house": "nl-bag"})


def test_what_is_not_there_is_named_with_what_there_is() -> None:
    dictionary = load_dictionary()
    with pytest.raises(NotFound, match="no feature type 'house'; there are division, "):
        dictionary.type("house")
    with pytest.raises(NotFound, match="road has no property 'colour'; it has name, road_class, "):
        dictionary.type("road").property("colour")


def test_digest_is_that_of_the_canonical_schema(tmp_path: Path) -> None:
    road = {**BENCH, "title": "b", "properties": {"code": {"x-ogc-role": "id"}}, "required": []}
    digest = load_dictionary(city_folder(tmp_path, road)).digests()["bench"]
    # JCS of it, written out: keys sorted, no spaces, UTF-8.
    canonical = (
        '{"description":"A bench.","properties":{"code":{"x-ogc-role":"id"}},"required":[],"title":"b",'
        '"type":"object","x-cim-code-scheme":"provisional","x-cim-title-zh":"长椅"}'
    )
    assert digest == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(
    ("bench", "message"),
    [
        ([], "expected a JSON object, got list"),
        (changed(properties=[]), "'properties' must be an object of objects"),
        (changed(properties={"code": "text"}), "'properties' must be an object of objects"),
        (changed(title=None), "'title' must be a string"),
        (changed(**{"x-cim-title-zh": None}), "'x-cim-title-zh' must be a string"),
        (changed(**{"x-cim-code-scheme": 7}), "'x-cim-code-scheme' must be a string"),
        (changed(properties={}), 'property \'code\' with "x-ogc-role": "id" is missing'),
        (with_property("geom", format="geometry-circle"), "geom needs a format out of geometry-point, "),
        (with_property("Größe", type="integer"), "lower-case letters, digits and _, got 'Größe'"),
        (with_property("two words", type="integer"), "got 'two words'"),
        (with_property("list", type="array"), "list has type 'array'; a column needs string, "),
        (with_property("nothing"), "nothing has type None"),
        (
            with_property("wood", type="string", **{"x-cim-codelist": "metal"}),
            "bench.wood names no codelist: 'metal'",
        ),
        (
            with_property("x", type="string", **{"x-cim-references": "car"}),
            "bench.x references no feature type: 'car'",
        ),
        (changed(**{"x-cim-parent": "car"}), "bench: x-cim-parent names no feature type: 'car'"),
        (changed(**{"x-cim-parent": ["parcel"]}), "'x-cim-parent' must be a string, got ['parcel']"),
        (changed(required="code"), "'required' must be an array, got 'code'"),
        (changed(required=["sheats"]), "'required' names no property: sheats"),
        (changed(title="\ud800"), "not JSON"),
        (with_property("seats", type="integer", minimum=float("nan")), "NaN is no number of JSON"),
        (with_property("seats", type="integer", minimum="1"), "'minimum' of property 'seats' must be a number"),
        (with_property("seats", type="integer", maximum=True), "'maximum' of property 'seats' must be a number"),
        (with_property("wood", type="string", **{"x-cim-codelist": ["wood"]}), "'x-cim-codelist' of property 'wood'"),
        # Either would have published what is private.
        (with_property("donor", type="string", **{"x-cim-privat": True}), "no keyword 'x-cim-privat' of property"),
        (with_property("donor", type="string", **{"x-cim-private": 0}), "must be true or false, got 0"),
        (with_property("ctid", type="string"), "every table of PostgreSQL has a column 'ctid' of its own"),
        (with_property("a" * 29, type="string"), "a property's name has at most 28 characters"),
    ],
)
def test_a_schema_we_cannot_use_is_refused(tmp_path: Path, bench: object, message: str) -> None:
    with pytest.raises(InvalidData) as refusal:
        load_dictionary(city_folder(tmp_path, bench))
    assert message in str(refusal.value)


@pytest.mark.parametrize("name", ["Bench", "2bench", "park bench", "长椅"])
def test_a_type_needs_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidData, match="feature type's name must be lower-case"):
        load_dictionary(city_folder(tmp_path, name=name))


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="'road' is defined already"):
        load_dictionary(city_folder(tmp_path, name="road"))
    folders = (city_folder(tmp_path / "a"), city_folder(tmp_path / "b"))
    with pytest.raises(InvalidData, match="'wood' is defined already"):
        load_dictionary(*folders)


def test_parents_in_a_ring_are_refused(tmp_path: Path) -> None:
    city_folder(tmp_path, changed(**{"x-cim-parent": "bin"}))
    city_folder(tmp_path, changed(**{"x-cim-parent": "bench"}), name="bin")
    with pytest.raises(InvalidData, match="bench → bin → bench"):
        load_dictionary(tmp_path)


@pytest.mark.parametrize("missing", ["title", "title-zh", "source", "confidence", "values"])
def test_a_codelist_needs_all_of_its_statements(tmp_path: Path, missing: str) -> None:
    wood = {key: value for key, value in WOOD.items() if key != missing}
    with pytest.raises(InvalidData, match=f"a codelist needs .*'{missing}'"):
        load_dictionary(city_folder(tmp_path, wood=wood))


def test_a_codelist_value_has_one_meaning(tmp_path: Path) -> None:
    wood = {**WOOD, "values": [*WOOD["values"], {"value": "oak", "title": "Oak again", "title-zh": "橡木"}]}
    with pytest.raises(InvalidData, match="stands there twice"):
        load_dictionary(city_folder(tmp_path, wood=wood))


def with_list(folder: Path, name: str, **said: object) -> Path:
    (folder / "codelists").mkdir(parents=True, exist_ok=True)
    (folder / "codelists" / f"{name}.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


LIFT = {"value": "2133", "title": "Lift", "title-zh": "电梯"}
OWN = {"extends": "component_class", "source": "The city's list", "confidence": "likely"}


def test_a_city_adds_values_to_a_codelist_that_leaves_them_to_it(tmp_path: Path) -> None:
    published = load_dictionary().codelists["component_class"]
    extended = load_dictionary(with_list(tmp_path, "own", **OWN, values=[LIFT])).codelists["component_class"]
    assert list(extended.values) == [*published.values, "2133"]
    lift = extended.values["2133"]
    assert (lift.title, lift.title_zh, lift.source, lift.confidence) == ("Lift", "电梯", "The city's list", "likely")
    # Each value keeps its own source and mark.
    assert (extended.source, extended.values["0101"]) == (published.source, published.values["0101"])
    assert "own" not in load_dictionary(tmp_path).codelists


def test_a_city_leaves_values_of_its_own_list_to_another_folder(tmp_path: Path) -> None:
    folder = city_folder(tmp_path / "state", wood={**WOOD, "extensible": "[a-z]+"})
    pine = {"value": "pine", "title": "Pine", "title-zh": "松木"}
    # Read first by its name: what it extends comes later.
    with_list(folder, "a", **{**OWN, "extends": "wood"}, values=[pine])
    assert list(load_dictionary(folder).codelists["wood"].values) == ["oak", "elm", "pine"]


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({**OWN, "values": [{**LIFT, "value": "0101"}]}, "has a value '0101' already, and its meaning never changes"),
        ({**OWN, "values": [{**LIFT, "value": "2133 "}]}, "leaves values of the form .* to cities, got '2133 '"),
        ({**OWN, "values": [{**LIFT, "value": "0139"}]}, "leaves values of the form .* to cities, got '0139'"),
        ({**OWN, "values": [LIFT, LIFT]}, "a value stands there twice"),
        ({**OWN, "values": [LIFT], "source": 5}, "source and confidence of a codelist are texts"),
        ({"extends": "component_class", "values": [LIFT]}, "an extension needs extends, source, confidence, values"),
        ({**OWN, "extends": "status", "values": [LIFT]}, "codelist 'status' is closed"),
        ({**OWN, "extends": "lifts", "values": [LIFT]}, "'extends' names no codelist: 'lifts'; there are"),
        ({**OWN, "extends": ["status"], "values": [LIFT]}, "'extends' names no codelist"),
    ],
)
def test_an_extension_that_is_none_is_refused(tmp_path: Path, said: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidData, match=rf"own\.json: .*{complaint}"):
        load_dictionary(with_list(tmp_path, "own", **said))


@pytest.mark.parametrize("form", [5, "["])
def test_what_a_list_leaves_to_cities_is_a_regular_expression(tmp_path: Path, form: object) -> None:
    with pytest.raises(InvalidData, match=r"wood\.json"):
        load_dictionary(city_folder(tmp_path, wood={**WOOD, "extensible": form}))


@pytest.mark.parametrize("values", [["oak"], [{"value": "oak"}], "oak", [{**WOOD["values"][0], "mappings": 5}]])
def test_codelist_values_of_another_form_are_refused(tmp_path: Path, values: object) -> None:
    with pytest.raises(InvalidData, match="a codelist needs"):
        load_dictionary(city_folder(tmp_path, wood={**WOOD, "values": values}))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bench.schema.json").write_text("{", encoding="utf-8")
    with pytest.raises(InvalidData, match=r"bench\.schema\.json: not JSON"):
        load_dictionary(tmp_path)


@pytest.mark.parametrize("keyword", ["title", "title-zh", "source", "confidence"])
def test_what_a_codelist_states_is_text(tmp_path: Path, keyword: str) -> None:
    with pytest.raises(InvalidData, match="of a codelist are texts"):
        load_dictionary(city_folder(tmp_path, wood={**WOOD, keyword: 5}))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bench.schema.json").mkdir()
    with pytest.raises(InvalidData, match=r"bench\.schema\.json: cannot be read"):
        load_dictionary(tmp_path)


def test_a_folder_without_anything_adds_nothing(tmp_path: Path) -> None:
    assert load_dictionary(tmp_path).types.keys() == load_dictionary().types.keys()


def test_a_folder_that_is_not_there_is_no_dictionary(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"CIM_DICTIONARY: there is no folder .*missing"):
        load_dictionary(tmp_path / "missing")
