"""Every expected value is worked out on paper from the city of conftest.py; see the sums beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import shapely

from cim.db.engine import Database
from cim.scenarios import run
from cim.scenarios._indicator import decimal

Ask = Callable[..., dict[str, Any]]
P1, P2 = "130629001001GB00001", "130629001001GB00002"
X, Y = 500_050, 4_320_080  # a corner without buildings


@pytest.fixture
def density(ask: Ask) -> dict[str, Any]:
    return ask("density-indicators", level="parcel")["result"]


def figures(indicator: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(indicator[name] for name in ("value", "low", "high"))


@pytest.mark.parametrize(
    ("indicator", "expected"),
    [
        ("land", (10_000, 10_000, 10_000)),
        ("footprint", (365, 365, 365)),
        ("gfa", (1085.75, 1085.75, 1155.75)),  # 4 and 7 unknown, up to 40 + 30 m²
        ("far", (0.108575, 0.108575, 0.115575)),
        ("gsi", (0.0365, 0.0365, 0.0365)),
        ("storeys", (2.974658, 2.974658, 3.166438)),  # 1085.75 / 365, 1155.75 / 365
        ("osr", (8.874050, 8.336578, 8.874050)),  # 9635 / 1085.75, 9635 / 1155.75: more floor area, less space
        ("green_ratio", (1, 1, 1.5)),  # 100 m² count, 50 m² may
        ("network_density", (0.015, 0.015, 0.015)),  # 100 m inside, 100 m along the edge at half
    ],
)
def test_gross(density: dict[str, Any], indicator: str, expected: tuple[float, ...]) -> None:
    assert figures(density["gross"][indicator]) == expected


@pytest.mark.parametrize(
    ("indicator", "expected"),
    [
        ("land", (4000, 4000, 4000)),  # 2000 + 40/60 of 3000
        ("footprint", (340, 340, 340)),  # without the kiosk in the street
        ("gfa", (1060.75, 1060.75, 1130.75)),
        ("far", (0.265188, 0.265188, 0.282688)),  # 0.2651875 and 0.2826875: ties to even
        ("gsi", (0.085, 0.085, 0.085)),
        ("green_ratio", (2.5, 2.5, 2.5)),  # the doubtful green lies in no parcel
    ],
)
def test_net(density: dict[str, Any], indicator: str, expected: tuple[float, ...]) -> None:
    assert figures(density["net"][indicator]) == expected


def test_tare_is_the_land_in_no_parcel(density: dict[str, Any]) -> None:
    assert (density["tare"]["value"], density["tare"]["num"], density["tare"]["den"]) == (0.6, 60_000_000, 100_000_000)


def test_each_parcel_with_its_share_in_the_scope(density: dict[str, Any], ask: Ask) -> None:
    first, second = density["parcels"]
    assert (first["code"], second["code"]) == (P1, P2)
    assert [first[name]["value"] for name in ("land", "footprint", "gfa", "far", "gsi", "n")] == [
        2000, 170, 360, 0.18, 0.085, 3,
    ]  # fmt: skip
    assert [second[name]["value"] for name in ("land", "footprint", "gfa", "far", "gsi", "n")] == [
        2000, 170, 700.75, 0.350375, 0.085, 1,
    ]  # fmt: skip
    assert ask("density-indicators")["result"]["parcels"] == []


@pytest.mark.parametrize(
    ("rule", "value", "known"),
    [
        ("above_ground", 1085.75, 4),
        ("with_basement", 360, 1),  # only of building 1 is the basement known: none
        ("footprint_storeys", 1155, 6),  # 360 + 150×4 + 20×5 + 20×2 + 25 + 30
    ],
)
def test_the_rule_for_counted_floor_area(ask: Ask, rule: str, value: float, known: int) -> None:
    result = ask("density-indicators", gfa_rule=rule)["result"]
    assert result["gfa_rule"] == rule
    assert (result["gross"]["gfa"]["value"], result["gross"]["gfa"]["n_known"]) == (value, known)


def test_a_building_naming_no_parcel_belongs_to_the_one_beneath(
    ask: Ask, city: Any, put: Any, box: Any, building: Any
) -> None:
    put(city, {"building": [building(31, box(0, 25, 4, 5), gross_floor_area=20.0)]})
    first = ask("density-indicators", city, level="parcel")["result"]["parcels"][0]
    assert (first["gfa"]["value"], first["n"]["value"]) == (380, 4)


def test_a_building_without_any_footprint_moves_in_both_sums_at_once(
    ask: Ask, city: Any, put: Any, building: Any
) -> None:
    # Nothing is known of it, so it has 0 and 0, or at most 5000 m² footprint and 50000 m² floor area.
    put(city, {"building": [building(32, None, parcel_code=P1)]})
    gross = ask("density-indicators", city)["result"]["gross"]
    assert figures(gross["footprint"]) == (365, 365, 5365)
    assert figures(gross["gfa"]) == (1085.75, 1085.75, 51_155.75)
    # (1155.75 + 50000) / (365 + 5000), not 51155.75 / 365
    assert figures(gross["storeys"]) == (2.974658, 2.974658, 9.535089)


def test_empty_land_has_no_mean_storeys(ask: Ask) -> None:
    corner = {"type": "Polygon", "coordinates": [[[X, Y], [X + 5, Y], [X + 5, Y + 5], [X, Y + 5], [X, Y]]]}
    gross = ask("density-indicators", scope=corner, scope_crs=4548)["result"]["gross"]
    assert gross["far"]["value"] == 0
    assert (gross["storeys"]["value"], gross["storeys"]["status"]) == (None, "undefined")


def test_coverage_counts_what_was_read(ask: Ask) -> None:
    coverage = ask("density-indicators")["coverage"]
    assert coverage["building"] == {
        "members": 6,
        "counted": 5,
        "on_no_parcel": 1,
        "without_geometry": 1,
        "without_status": 1,
        "unknown": {"footprint": 0, "gross_floor_area": 2},
    }
    assert (coverage["parcel"], coverage["road"]) == ({"members": 2}, {"members": 2})
    assert coverage["green_space"] == {"members": 3, "unknown": {"counts_as_green": 1}}


# Lot area, building area and built floor area ratio of five lots as New York's PLUTO publishes them: their ratio is
# rounded to two decimals. Square feet stand for square metres; a ratio does not care.
PLUTO = [(1642, 940, 0.57), (2000, 868, 0.43), (4000, 1128, 0.28), (4000, 1616, 0.40), (4000, 1017, 0.25)]


def test_floor_area_ratios_are_those_of_pluto(database: Database, put: Callable[..., int]) -> None:
    parcels, buildings = [], []
    for number, (lot, floors, _) in enumerate(PLUTO):
        west, south = 500_000 + 300 * number, 4_320_000
        code = f"LOT{number}"
        parcels.append({"code": code, "geom": shapely.box(west, south, west + lot / 20, south + 20).wkt})
        house = shapely.box(west + 1, south + 1, west + 11, south + 11).wkt
        buildings.append({"code": f"B{number}", "parcel_code": code, "gross_floor_area": floors, "geom": house})
    put(database, {"parcel": parcels, "building": buildings})
    scope = [parcel["code"] for parcel in parcels]
    result = run(database, "density-indicators", {"scope": scope, "level": "parcel"})["result"]
    found = [parcel["far"] for parcel in result["parcels"]]
    assert [decimal(far["num"], far["den"], 2) for far in found] == [published for _, _, published in PLUTO]
