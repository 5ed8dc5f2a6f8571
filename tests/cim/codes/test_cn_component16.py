from __future__ import annotations

import pytest

from cim import codes
from cim.codes import cn_component16
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


def test_a_city_may_have_classes_of_its_own() -> None:
    lift = "3205082133000001"
    city = cn_component16.with_classes(["2114", "2124", "2133"])
    assert city.check(lift) == lift
    assert city.check("3205080101000001")
    assert city.validate("3205082134000001")[0].place == 9
    assert SCHEME.validate(lift)[0].message == "no published main class 21; a deployment cannot take a city's own yet"


def test_a_class_of_its_own_has_four_digits() -> None:
    with pytest.raises(InvalidCode, match="four digits, got '21', '21AB'"):
        cn_component16.with_classes(["2133", "21AB", "21"])


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
