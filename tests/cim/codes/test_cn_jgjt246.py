from __future__ import annotations

import pytest
from stdnum.iso7064 import mod_11_2

from cim.codes import cn_jgjt246
from cim.codes.cn_jgjt246 import SCHEME, WEIGHTS, scheme
from cim.errors import Conflict, InvalidCode, InvalidData

BUILDING = "11010101020200009000003"
UNIT = "11010101020200009100012"


def test_the_weights_are_those_of_the_standard() -> None:
    assert WEIGHTS == (4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


@pytest.mark.parametrize("body", ["1101010102020000900000", "1101010102019000900000", "3205080022015001200000"])
def test_the_check_character_is_that_of_the_library(body: str) -> None:
    assert cn_jgjt246.check_character(body) == mod_11_2.calc_check_digit(body)


def test_ten_is_read_both_ways_and_written_in_one() -> None:
    assert SCHEME.check("1101010102020000700000*") == "1101010102020000700000X"
    assert scheme("*").check("1101010102020000700000x") == "1101010102020000700000*"
    assert scheme("*").check_many(["1101010102020000700000X"]) == (["1101010102020000700000*"], {})
    with pytest.raises(InvalidData, match="X or \\*"):
        scheme("A")


def test_a_star_in_the_body_is_worth_ten() -> None:
    # By hand: the first row of the standard has sum 130; place 1 from 1 to 10 adds 9 · 4 = 36, 166 mod 11 = 1, check 0.
    assert SCHEME.check("*1010101020200009000000") == "*1010101020200009000000"
    assert SCHEME.check_many(["*1010101020200009000000"])[1] == {}


def test_a_unit_lies_in_its_building() -> None:
    assert SCHEME.parent(UNIT) == BUILDING
    assert SCHEME.parent(BUILDING) is None
    assert SCHEME.parse(BUILDING)["division"] == "110101010"
    with pytest.raises(InvalidCode, match=f"code of a unit, expected that of a building; its building is {BUILDING}"):
        SCHEME.check(UNIT, level="building")
    with pytest.raises(InvalidCode, match="code of a building, expected that of a unit"):
        SCHEME.check(BUILDING, level="unit")
    assert SCHEME.parse(UNIT)["unit"] == "10001"


def test_a_logical_building_is_taken_where_the_city_says_so() -> None:
    with pytest.raises(InvalidCode, match="too long"):
        SCHEME.check(BUILDING + "01")
    beijing = scheme(logical_buildings=True)
    assert beijing.check(BUILDING + "01") == BUILDING + "01"
    assert beijing.check_many([BUILDING + "01", BUILDING, BUILDING[:-1] + "401"], level="building")[0] == [
        BUILDING + "01",
        BUILDING,
        None,
    ]


def test_the_message_gives_the_expected_check_character() -> None:
    with pytest.raises(InvalidCode, match="place 23: check character is 4, the places before it give 3"):
        SCHEME.check("11010101020200009000004")


@pytest.mark.parametrize(
    ("parent", "taken", "minted"),
    [
        ("1101010102020", ["11010101020200008000000"], "11010101020200009000003"),  # place 14-17: 0008, then 0009
        (BUILDING, ["11010101020200009100004"], UNIT),  # unit 10000, then 10001
    ],
)
def test_minting(parent: str, taken: list[str], minted: str) -> None:
    assert SCHEME.mint(parent, taken) == minted


def test_minting_ends_when_the_numbers_do_and_needs_a_parent_that_numbers() -> None:
    with pytest.raises(Conflict, match="9999 is taken"):
        SCHEME.mint("1101010102020", ["11010101020209999000000"])
    with pytest.raises(InvalidCode, match="is neither"):
        SCHEME.mint("110101")
