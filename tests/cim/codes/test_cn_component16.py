from __future__ import annotations

import json
from pathlib import Path

import pytest

from cim import codes
from cim.codes import cn_component16
from cim.dictionary import load_dictionary
from cim.errors import Conflict, InvalidCode

SCHEME = codes.scheme("cn-component16")


def test_the_published_list_has_all_classes() -> None:
    # Counted in the list: 38 utilities, 17 traffic, 10 appearance, 10 greening, 2 housing, 5 others.
    mains = [code[:2] for code in cn_component16.published_classes()]
    assert {main: mains.count(main) for main in sorted(set(mains))} == {
        "01": 38,
        "02": 17,
        "03": 10,
        "04": 10,
        "05": 2,
        "06": 5,
    }


def test_a_water_cover_is_taken_apart() -> None:
    parsed = SCHEME.parse("3205080101000001")
    assert [part.text for part in parsed.parts] == ["320508", "01", "01", "000001"]
    assert parsed.level is None
    assert SCHEME.parent(parsed.code) == "320508"
    assert codes.check("cn-div6", "320508", level="county")


def test_a_city_may_have_classes_of_its_own(tmp_path: Path) -> None:
    own = {"extends": "component_class", "source": "Reference list", "confidence": "likely"}
    lift = {"value": "2133", "title": "Lift", "title-zh": "电梯"}
    (tmp_path / "codelists").mkdir()
    (tmp_path / "codelists" / "own.json").write_text(json.dumps({**own, "values": [lift]}), encoding="utf-8")
    dictionary = load_dictionary(tmp_path)
    code, unknown, water = "3205082133000001", "3205082134000001", "3205080101000001"

    city = codes.scheme("cn-component16", dictionary.codelists)
    assert city.check(code) == code
    assert city.check(water) == water
    assert city.validate(unknown)[0].place == 9
    assert city.mint("3205082133") == code
    # Columns are judged as single codes are, for keys as well.
    found, problems = city.check_many([code, unknown, water])
    assert (found, list(problems)) == ([code, None, water], [1])
    assert codes.check_many_for(dictionary.type("component"), [code, unknown, water])[0] == [code, None, water]
    # What is published stays as it is.
    said = SCHEME.validate(code)[0].message
    assert said == "no main class 21; one of the city's own is to be in its component_class"
    with pytest.raises(InvalidCode):
        codes.check_for(load_dictionary().type("component"), code)


def test_minting_numbers_within_county_and_class() -> None:
    assert SCHEME.mint("3205080217") == "3205080217000001"
    taken = ["3205080217000012", "3205080217000003", "3205080216000099"]
    assert SCHEME.mint("3205080217", taken) == "3205080217000013"
    with pytest.raises(Conflict):
        SCHEME.mint("3205080217", ["3205080217999999"])
    with pytest.raises(InvalidCode, match="county and class"):
        SCHEME.mint("320508")


def test_minting_refuses_a_class_there_is_not() -> None:
    with pytest.raises(InvalidCode, match="main class 06 has no sub-class 05"):
        SCHEME.mint("3205080605")
