from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import schemas
from cim import codes
from cim.dictionary import GEOMETRY_FORMATS, RESERVED, load_dictionary

DICTIONARY = load_dictionary()
SCHEMAS = {
    path.name.removesuffix(".schema.json"): document for path, document in schemas.documents(schemas.V1, ".schema.json")
}
every_type = pytest.mark.parametrize("name", list(SCHEMAS))

# The part of UCUM's case-sensitive grammar that a city needs: atoms, metric prefixes on those that take them,
# exponents, products and quotients. https://ucum.org/ucum
_METRIC = "m|g|s|K|A|W|J|Pa|V|N|Hz|L|l|lm|lx|B|t|ar|eV"
_PLAIN = "1|%|h|min|d|wk|mo|a|deg|har|ha|Cel|\\[degF\\]"
_UNIT = f"(?:(?:da|[YZEPTGMkhdcmunpfazy])?(?:{_METRIC})|{_PLAIN})(?:-?[1-9])?"
UCUM = re.compile(f"{_UNIT}(?:[./]{_UNIT})*")


def keywords(document: dict[str, Any]) -> set[str]:
    return set(document) | {key for prop in document["properties"].values() for key in prop}


@every_type
def test_it_is_json_schema_2020_12(name: str) -> None:
    document = SCHEMAS[name]
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(document)


@every_type
def test_it_takes_its_columns_and_no_others(name: str) -> None:
    validator = Draft202012Validator(SCHEMAS[name])
    feature: dict[str, Any] = {"code": "x", "geom": {}, "attributes": {"anything": 1}}
    assert validator.is_valid(feature)
    assert not validator.is_valid({**feature, "no_such_column": 1})
    assert not validator.is_valid({key: value for key, value in feature.items() if key != "code"})
    assert not validator.is_valid({**feature, "attributes": "text"})


@every_type
def test_limits_refuse_what_lies_outside(name: str) -> None:
    validator = Draft202012Validator(SCHEMAS[name])
    for prop in DICTIONARY.type(name).properties:
        if prop.minimum is None:
            assert prop.maximum is None
            continue
        feature = {"code": "x", "geom": {}, prop.name: prop.minimum}
        assert validator.is_valid(feature)
        assert not validator.is_valid({**feature, prop.name: prop.minimum - 1})
        assert "(design)" in prop.description
        if prop.maximum is not None:
            assert prop.minimum < prop.maximum
            assert not validator.is_valid({**feature, prop.name: prop.maximum + 1})


@every_type
def test_everything_has_a_title_in_english_and_chinese_and_a_description(name: str) -> None:
    document = SCHEMAS[name]
    for label, described in {name: document, **document["properties"]}.items():
        assert described["title"].isascii(), label
        assert re.search("[\u4e00-\u9fff]", described["x-cim-title-zh"]), label
        assert described["description"].endswith((".", "(design).")), label


@every_type
def test_keywords_beyond_json_schema_are_ours_or_ogcs(name: str) -> None:
    allowed = {
        *("$schema", "title", "description", "type", "required", "additionalProperties", "properties"),
        *("format", "maxLength", "minimum", "maximum"),
        *(
            "x-ogc-role",
            "x-ogc-unit",
            "x-cim-title-zh",
            "x-cim-code-scheme",
            "x-cim-code-level",
            "x-cim-parent",
        ),
        *("x-cim-codelist", "x-cim-references", "x-cim-private"),
    }
    assert keywords(SCHEMAS[name]) <= allowed


@every_type
def test_roles_are_given_once(name: str) -> None:
    properties = SCHEMAS[name]["properties"]
    roles = [prop["x-ogc-role"] for prop in properties.values() if "x-ogc-role" in prop]
    assert len(roles) == len(set(roles))
    assert properties["code"]["x-ogc-role"] == "id"
    assert properties["geom"]["x-ogc-role"] == "primary-geometry"
    assert properties["geom"]["format"] in GEOMETRY_FORMATS


@every_type
def test_units_are_ucum_and_every_measure_has_one(name: str) -> None:
    for prop in DICTIONARY.type(name).properties:
        if prop.unit is not None:
            assert UCUM.fullmatch(prop.unit), f"{prop.name}: {prop.unit}"
            assert prop.kind in {"number", "integer"}, prop.name
        elif prop.kind == "number":
            assert (name, prop.name) == ("pipe", "capacity"), f"{prop.name} needs x-ogc-unit"


@pytest.mark.parametrize("unit", ["m", "m2", "mm", "km/h", "1", "%", "kg/m3", "kW.h/m2", "L/s"])
def test_the_unit_grammar_takes_ucum(unit: str) -> None:
    assert UCUM.fullmatch(unit)


@pytest.mark.parametrize("unit", ["m²", "sqm", "kmh", "metre", "KM", "m^2", ""])
def test_the_unit_grammar_refuses_what_is_not(unit: str) -> None:
    assert not UCUM.fullmatch(unit)


@every_type
def test_its_code_scheme_level_and_codelists_exist(name: str) -> None:
    feature_type = DICTIONARY.type(name)
    scheme = codes.scheme(feature_type.code_scheme)
    assert feature_type.code_level is None or feature_type.code_level in scheme.levels
    for prop in feature_type.properties:
        if prop.codelist:
            longest = max(map(len, DICTIONARY.codelists[prop.codelist].values))
            assert prop.kind == "string"
            assert prop.max_length is None or longest <= prop.max_length
        assert prop.name not in RESERVED


@every_type
def test_it_takes_a_provisional_code_besides_its_own(name: str) -> None:
    # A fixed code out of cim/codes/provisional.py's examples.
    assert codes.check_for(DICTIONARY.type(name), "PV0ZACHMWWAYZ5P9J27") == "PV0ZACHMWWAYZ5P9J27"
