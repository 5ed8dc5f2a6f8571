"""Every expected value is worked out on paper from the city of conftest.py; see the sums beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def inventory(ask: Ask) -> dict[str, Any]:
    return ask("district-inventory", list_objects=True)["result"]


def figures(indicator: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(indicator[name] for name in ("value", "low", "high", "n", "n_known"))


@pytest.mark.parametrize(
    ("measure", "unit", "expected"),
    [
        # 3 has its point on surface outside, 5 is demolished: 1 2 4 6 7 are counted; 3 belongs by its share alone.
        ("n", "{building}", (5, 5, 5, 5, 5)),
        # 120 + 3/4 of 200 + 1/10 of 200 + 20 + 25 + 30 as stated for the one without geometry
        ("footprint", "m2", (365, 365, 365, 6, 6)),
        # 360 + 3/4 of 801 + 1/10 of 1000 + 25; unknown: 4 up to 20 m² × 2 storeys, 7 up to 30 m² × 1
        ("gfa_above", "m2", (1085.75, 1085.75, 1155.75, 6, 4)),
        # 1 has no basement; the others up to 3 storeys of their 150 + 20 + 20 + 25 + 30 m²
        ("gfa_below", "m2", (0, 0, 735, 6, 1)),
        # 6 + 0 + 1; unknown: 4 up to 40 m² ÷ 15 = 2, 6 up to 25 m² ÷ 15 = 1
        ("dwellings", "{dwelling}", (7, 7, 10, 5, 3)),
        # 5 + 0 + 1; unknown: 4 up to 2 dwellings × 2, 6 up to 1 dwelling × 2
        ("households", "{household}", (6, 6, 12, 5, 3)),
    ],
)
def test_sums(inventory: dict[str, Any], measure: str, unit: str, expected: tuple[float, ...]) -> None:
    assert inventory[measure]["unit"] == unit
    assert figures(inventory[measure]) == expected


def test_age_is_weighted_by_floor_area_and_bounded_by_what_is_unknown(inventory: dict[str, Any]) -> None:
    # 41 a × 360 + 16 a × 600.75 + 66 a × 100 + 6 a × 25 = 31122 over 1085.75 m²
    # least: 4 is new and has its 40 m², 7 (27 a) has its 30 m²: 31932 / 1155.75
    # most: 4 is of 1900, 126 a on 40 m²; 7 would pull down, so it has nothing: 36162 / 1125.75
    age = inventory["age"]
    assert (age["num"], age["den"]) == (311_220_000, 10_857_500)
    assert figures(age) == (28.664057, 27.628812, 32.122585, 6, 4)
    assert age["unit"] == "a"


def test_old_communities_are_residential_and_of_2000_at_the_latest(inventory: dict[str, Any]) -> None:
    # 1 and 7 are, 3 belongs by area alone, 4 may be: its year is unknown
    assert figures(inventory["old_communities"]["n"]) == (2, 2, 3, 5, 4)
    # 360 + 100; unknown: 30 of 7 and 40 of 4
    assert figures(inventory["old_communities"]["gfa_above"]) == (460, 460, 530, 6, 4)


def cells(inventory: dict[str, Any], *dimensions: str) -> list[tuple[Any, ...]]:
    return [
        (*cell["by"].values(), cell["n"]["value"], cell["gfa_above"]["value"])
        for cell in inventory["cube"]
        if tuple(cell["by"]) == dimensions
    ]


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        (
            "decade",
            [(1960, 0, 100), (1980, 1, 360), (1990, 1, None), (2010, 1, 600.75), (2020, 1, 25), (None, 1, None)],
        ),
        ("structure", [("brick_wood", 0, 100), ("mixed", 1, 360), ("steel", 2, 625.75), (None, 2, None)]),
        ("usage", [("commercial", 1, 25), ("office", 1, 600.75), ("residential", 3, 460)]),
        ("height_class", [("1", 2, 25), ("2-3", 2, 360), ("4-6", 1, 700.75)]),
        ("danger", [("B", 1, 360), (None, 4, 725.75)]),
        ("tenure", [("collective", 1, 700.75), ("state_owned", 3, 360), (None, 1, 25)]),
    ],
)
def test_the_cube_by_one_dimension(inventory: dict[str, Any], dimension: str, expected: list[Any]) -> None:
    assert cells(inventory, dimension) == expected


def test_the_cube_crossed(inventory: dict[str, Any], ask: Ask) -> None:
    assert cells(inventory, "decade", "structure") == [
        (1960, "brick_wood", 0, 100),
        (1980, "mixed", 1, 360),
        (1990, None, 1, None),
        (2010, "steel", 1, 600.75),
        (2020, "steel", 1, 25),
        (None, None, 1, None),
    ]
    other = ask("district-inventory", group_by=["danger", "usage", "tenure"])["result"]
    assert ("office", None, "collective", 1, 600.75) in cells(other, "usage", "danger", "tenure")
    assert cells(other, "decade", "structure") == []


@pytest.mark.parametrize("measure", ["n", "footprint", "gfa_above", "gfa_below", "dwellings", "households"])
def test_every_dimension_of_the_cube_adds_up(inventory: dict[str, Any], measure: str) -> None:
    """Where nothing of a cell is known its value is null; its bounds still add up."""
    for dimension in ("decade", "structure", "usage", "height_class", "danger", "tenure"):
        rows = [cell[measure] for cell in inventory["cube"] if tuple(cell["by"]) == (dimension,)]
        for name in ("low", "high", "n", "n_known"):
            assert sum(row[name] for row in rows) == pytest.approx(inventory[measure][name], abs=1e-9)


def test_objects_are_listed_by_code_with_their_share(inventory: dict[str, Any], ask: Ask) -> None:
    listed = inventory["objects"]
    assert [int(item["code"][-8:-4]) for item in listed] == [1, 2, 3, 4, 6, 7]
    assert [item["n"]["value"] for item in listed] == [1, 1, 0, 1, 1, 1]
    assert [item["footprint"]["value"] for item in listed] == [120, 150, 20, 20, 25, 30]
    assert (listed[0]["decade"], listed[0]["height_class"], listed[0]["tenure"]) == (1980, "2-3", "state_owned")
    assert ask("district-inventory")["result"]["objects"] == []


def test_coverage_says_what_was_not_known(ask: Ask) -> None:
    coverage = ask("district-inventory")["coverage"]
    assert coverage["scope"]["area"] == {"value": 10_000, "unit": "m2"}
    assert coverage["building"] == {
        "members": 6,
        "counted": 5,
        "without_geometry": 1,
        "without_status": 1,
        "unknown": {
            "decade": 1,
            "structure": 2,
            "usage": 0,
            "height_class": 0,
            "danger": 5,
            "tenure": 1,
            "gross_floor_area": 2,
            "dwellings": 2,
            "households": 2,
        },
    }


@pytest.mark.parametrize(
    ("membership", "n", "gfa"),
    [
        ("clip", 5, 1085.75),
        ("point_on_surface", 5, 360 + 801 + 25),  # 2 whole, 3 not at all
        ("intersects", 6, 360 + 801 + 1000 + 25),  # 2 and 3 whole
    ],
)
def test_membership(ask: Ask, membership: str, n: int, gfa: float) -> None:
    result = ask("district-inventory", membership=membership)["result"]
    assert (result["n"]["value"], result["gfa_above"]["value"]) == (n, gfa)


@pytest.mark.parametrize(
    ("filter", "n", "gfa"),
    [
        ("structure = 'steel'", 2, 625.75),
        ("year_built < 2000 AND usage = 'residential'", 2, 460),
        ("storeys_above > 99", 0, 0),
    ],
)
def test_a_filter_narrows_the_stock(ask: Ask, filter: str, n: int, gfa: float) -> None:  # noqa: A002
    result = ask("district-inventory", filter=filter)["result"]
    assert (result["n"]["value"], result["gfa_above"]["value"]) == (n, gfa)


def test_age_and_existence_are_judged_on_the_reference_date(ask: Ask) -> None:
    # In 2015 building 6 (of 2020) has no age; the rest is eleven years younger.
    age = ask("district-inventory", reference_date="2015-01-01")["result"]["age"]
    assert (age["num"], age["den"]) == (30 * 3_600_000 + 5 * 6_007_500 + 55 * 1_000_000, 10_607_500)


def test_a_record_that_is_no_longer_valid_is_not_counted(
    ask: Ask, city: Any, put: Any, box: Any, building: Any
) -> None:
    values = {"gross_floor_area": 10.0, "year_built": 1990, "storeys_above": 1}
    records = [
        building(21, box(0, 60, 2, 2), valid_to="2026-06-30", **values),
        building(22, box(4, 60, 2, 2), valid_to="2026-07-01", **values),
        building(23, box(8, 60, 2, 2), valid_from="2026-07-01", **values),
    ]
    put(city, {"building": records})
    assert ask("district-inventory", city)["result"]["n"]["value"] == 5 + 1
