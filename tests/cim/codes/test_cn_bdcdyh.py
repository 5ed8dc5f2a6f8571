"""Expected results are the published and worked examples of GB/T 37346-2019, and hand counts of places."""

from __future__ import annotations

import pytest

from cim import codes
from cim.errors import Conflict, InvalidCode

SCHEME = codes.scheme("cn-bdcdyh")
PARCEL = "340123002004GB00011"
BUILDING = PARCEL + "F00070000"
UNIT = PARCEL + "F00070012"


def test_a_unit_is_taken_apart() -> None:
    parsed = SCHEME.parse("340123 002004 gb00011 f00070012")
    assert {part.name: (part.first, part.text) for part in parsed.parts} == {
        "county": (1, "340123"),
        "cadastral zone": (7, "002"),
        "sub-zone": (10, "004"),
        "owner": (13, "G"),
        "right": (14, "B"),
        "sequence": (15, "00011"),
        "fixture": (20, "F"),
        "building": (21, "0007"),
        "unit": (25, "0012"),
    }
    assert parsed["building"] == "0007"
    assert SCHEME.format(UNIT) == "340123 002 004 G B 00011 F 0007 0012"


@pytest.mark.parametrize(
    ("code", "levels"),
    [
        (PARCEL, ("parcel",)),
        (PARCEL + "W00000000", ("land",)),
        (PARCEL + "L00000001", ("fixture",)),
        (PARCEL + "Q12345678", ("fixture",)),
        (BUILDING, ("building",)),
        (PARCEL + "F00070001", ("unit", "building")),
        (PARCEL + "F99990000", ("building",)),
        (UNIT, ("unit",)),
    ],
)
def test_levels(code: str, levels: tuple[str, ...]) -> None:
    assert SCHEME.parse(code).levels == levels


@pytest.mark.parametrize(
    ("code", "parent"),
    [
        (UNIT, BUILDING),
        (PARCEL + "F00070001", BUILDING),
        (BUILDING, PARCEL),
        (PARCEL + "F00000012", PARCEL),
        (PARCEL + "W00000000", PARCEL),
        (PARCEL + "L00000001", PARCEL),
        (PARCEL, None),
    ],
)
def test_parents(code: str, parent: str | None) -> None:
    assert SCHEME.parent(code) == parent


def test_children_share_a_prefix_whichever_way_the_building_is_written() -> None:
    assert SCHEME.children_pattern(PARCEL) == PARCEL + ".+"
    assert SCHEME.children_pattern(BUILDING) == PARCEL + "F0007" + ".+"
    assert SCHEME.children_pattern(PARCEL + "F00070001") == PARCEL + "F0007" + ".+"
    assert SCHEME.children_pattern(UNIT) == UNIT + ".+"


@pytest.mark.parametrize(
    ("parent", "taken", "minted"),
    [
        (PARCEL, [], PARCEL + "F00010000"),
        (PARCEL, [PARCEL + "F00020000", UNIT, PARCEL + "F00030000"], PARCEL + "F00080000"),
        (PARCEL, [PARCEL + "W00000000", PARCEL + "L00000009"], PARCEL + "F00010000"),
        (PARCEL, [PARCEL + "F99990000"], PARCEL + "F00010000"),  # the number of whole projects
        (PARCEL, ["340123002004GB00012F00050000"], PARCEL + "F00010000"),
        (PARCEL.lower(), [UNIT.lower()], PARCEL + "F00080000"),
        (BUILDING, [], PARCEL + "F00070001"),
        (BUILDING, [UNIT], PARCEL + "F00070013"),
        (PARCEL + "F00070001", [], PARCEL + "F00070002"),
        ("340123002004GB", [], "340123002004GB00001"),
        ("340123002004GB", [UNIT], "340123002004GB00012"),
    ],
)
def test_minting(parent: str, taken: list[str], minted: str) -> None:
    assert SCHEME.mint(parent, taken) == minted


def test_minting_ends_when_the_numbers_do() -> None:
    with pytest.raises(Conflict, match="9998 is taken"):
        SCHEME.mint(PARCEL, [PARCEL + "F99980003"])
    with pytest.raises(Conflict, match="9999 is taken"):
        SCHEME.mint(BUILDING, [PARCEL + "F00079999"])
    with pytest.raises(Conflict, match="99999 is taken"):
        SCHEME.mint("340123002004GB", ["340123002004GB99999"])


@pytest.mark.parametrize("parent", [UNIT, PARCEL + "W00000000", "340123002004", "", "340123002004GA"])
def test_minting_needs_a_parent_that_numbers(parent: str) -> None:
    with pytest.raises(InvalidCode):
        SCHEME.mint(parent)


@pytest.mark.parametrize("right", "LN")
def test_letters_of_unsure_meaning_warn_in_strict_mode_only(right: str) -> None:
    code = f"340123002004J{right}00007"
    assert SCHEME.validate(code) == []
    (warning,) = SCHEME.validate(code, strict=True)
    assert (warning.kind, warning.place) == ("warning", 14)


def test_strict_mode_is_silent_about_a_usual_code() -> None:
    assert SCHEME.validate(UNIT, strict=True) == []


def test_all_faults_are_told_in_the_order_of_the_rules() -> None:
    problems = SCHEME.validate("340123000000GC00000W00000200")
    assert [(p.kind, p.place) for p in problems] == [
        ("rule", 15),
        ("rule", 13),
        ("rule", 7),
        ("rule", 10),
        ("rule", 26),
    ]


def test_a_code_of_another_level_is_refused_with_the_right_one() -> None:
    with pytest.raises(InvalidCode, match=f"code of a unit, expected that of a parcel; its parcel is {PARCEL};"):
        SCHEME.check(UNIT, level="parcel")
    with pytest.raises(InvalidCode, match=f"its building is {BUILDING};"):
        SCHEME.check(UNIT, level="building")
    with pytest.raises(InvalidCode, match="code of a parcel, expected that of a building; mend"):
        SCHEME.check(PARCEL, level="building")
    assert SCHEME.check(PARCEL + "F00070001", level="building") == PARCEL + "F00070001"
    assert SCHEME.check(PARCEL + "F00070001", level="unit") == PARCEL + "F00070001"
