"""What to survey first: by hand, and against every way that the unknown could turn out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cim.db.engine import Database
from cim.scenarios import run
from cim.scenarios.value_of_information import _membership
from cim.settings import Settings

P1 = "130629001001GB00001"
LOT = "POLYGON((500000 4320000,500400 4320000,500400 4320100,500000 4320100,500000 4320000))"


def code(number: int) -> str:
    return f"{P1}F{number:04d}0000"


def house(number: int, **values: Any) -> dict[str, Any]:
    west = 500_000 + 20 * number
    ring = f"{west} 4320010,{west + 10} 4320010,{west + 10} 4320020,{west} 4320020,{west} 4320010"
    base = {"code": code(number), "parcel_code": P1, "status": "in_use", "households": 2, "geom": f"POLYGON(({ring}))"}
    return {**base, **values}


@pytest.fixture
def ask_value(database: Database, put: Callable[..., int]) -> Callable[..., dict[str, Any]]:
    def asked(
        *houses: dict[str, Any], demolish: int | None = None, rehoused: int | None = None, **inputs: Any
    ) -> dict[str, Any]:
        put(database, {"parcel": [{"code": P1, "geom": LOT}], "building": list(houses)})
        if demolish is not None:
            params = {} if rehoused is None else {"rehoused_households": rehoused}
            inputs["proposal"] = {"interventions": [{"target": code(demolish), "action": "demolish", "params": params}]}
        common = {"scope": [P1], "reference_date": "2026-06-30", "rules": ["R1"]}
        return dict(run(database, "value-of-information", common | inputs)["result"])

    return asked


def test_a_rule_that_is_decided_needs_no_survey(ask_value: Callable[..., dict[str, Any]]) -> None:
    # 100 of 1100 m² and more: 9 % at most.
    result = ask_value(
        house(1, gross_floor_area=1000.0), house(2, gross_floor_area=100.0), house(3, storeys_above=4), demolish=2
    )
    (rule,) = result["rules"]
    assert (rule["status"], rule["unknowns"], rule["chance"], rule["survey"]) == ("pass", 1, None, [])


def test_the_survey_is_the_shortest_that_decides_as_often_as_demanded(
    ask_value: Callable[..., dict[str, Any]],
) -> None:
    # Known 800 and 220 to be demolished; unknown up to 400, 300, 200 and 10 m² (100 m² of ground each, or 10 × 1).
    result = ask_value(
        house(1, gross_floor_area=800.0),
        house(2, gross_floor_area=220.0),
        house(3, storeys_above=4),
        house(4, storeys_above=3),
        house(5, storeys_above=2),
        house(6, storeys_above=1),
        demolish=2,
        draws=400,
        confidence=0.8,
    )
    (rule,) = result["rules"]
    assert (rule["status"], rule["unknowns"]) == ("not_assessed", 4)
    order = [item["code"] for item in rule["survey"]]
    assert order == [code(n) for n in (3, 4, 5, 6)][: len(order)]
    assert [item["most"] for item in rule["survey"]] == [400.0, 300.0, 200.0, 100.0][: len(order)]
    assert rule["chance"] >= 0.8

    def share(known: int) -> float:
        """Of other draws: 220 is at most 20 % of 1020 + x from x = 80 on, so it is decided where 80 is not between."""
        drawn = np.random.default_rng(99).uniform(0, [400, 300, 200, 100], size=(20_000, 4))
        low = drawn[:, :known].sum(axis=1)
        high = low + sum([400, 300, 200, 100][known:])
        return float(((low >= 80) | (high < 80)).mean())

    assert share(len(order)) == pytest.approx(rule["chance"], abs=0.06)
    assert share(len(order) - 1) < 0.8


def test_unknown_households_are_surveyed_too(ask_value: Callable[..., dict[str, Any]]) -> None:
    # Of the house's households nobody knows, 0 to 6; 2 come back, which is half of up to 4.
    result = ask_value(
        house(1, gross_floor_area=1000.0),
        {**house(2, gross_floor_area=100.0), "households": None, "dwellings": 3},
        demolish=2,
        rehoused=2,
        rules=["R3"],
    )
    (rule,) = result["rules"]
    assert (rule["status"], rule["chance"]) == ("not_assessed", 1)
    assert [(item["code"], item["property"], item["most"]) for item in rule["survey"]] == [(code(2), "households", 6)]


def test_what_the_proposal_leaves_open_is_no_matter_of_surveys(ask_value: Callable[..., dict[str, Any]]) -> None:
    houses = house(1, gross_floor_area=1000.0), house(2, gross_floor_area=100.0)
    (rule,) = ask_value(*houses, demolish=2, rules=["R3"])["rules"]
    assert (rule["status"], rule["unknowns"], rule["survey"]) == ("not_assessed", 0, [])


PLOT = "POLYGON((500000 4320000,500100 4320000,500100 4320100,500000 4320100,500000 4320000))"  # 10,000 m²
ZONE = {
    "code": "PZ-1",
    "zone_kind": "development_control",
    "far_cap": 0.1,
    "height_cap": 12.0,
    "density_cap": 0.3,
    "green_ratio_min": 0.3,
    "geom": PLOT,
}
GREEN = "POLYGON((500000 4320050,500100 4320050,500100 4320090,500000 4320090,500000 4320050))"
LOCAL = {
    "R12": {"min": 1, "per_dwelling": 1, "per_100_m2": {}, "unknown_capacity_max": 50},
    "R13": {"min": 1, "usage": ["education"], "persons_per_household": 3},
    "R14": {"min": 4, "tolerance_m": 1, "unknown_width_max_m": 40},
}
NOWHERE = {"code": code(9), "parcel_code": P1, "status": "in_use", "gross_floor_area": 100.0}
ROAD = {"code": "RO-1", "geom": "LINESTRING(500000 4319999,500100 4319999)"}
WHOLE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # 700 and up to 4 × 100 m² on 10,000 m² under 0.1: 300 are free.
    (
        "R5",
        {"building": [house(1, gross_floor_area=700.0), house(2, storeys_above=4)]},
        {"type": "building", "code": code(2), "property": "gross_floor_area", "least": 0, "most": 400.0},
    ),
    # Four storeys of 2.2 to 6 m each under 12 m.
    (
        "R6",
        {"building": [house(1, storeys_above=4)]},
        {"type": "building", "code": code(1), "property": "height", "least": 8.8, "most": 24.0},
    ),
    # Nobody drew it: up to 5,000 m² of ground, of 3,000 allowed.
    (
        "R7",
        {"building": [house(1), NOWHERE]},
        {"type": "building", "code": code(9), "property": "footprint_area", "least": 0, "most": 5000.0},
    ),
    # 4,000 m² of green that may not count, of 3,000 demanded.
    (
        "R8",
        {"green_space": [{"code": "GR-1", "geom": GREEN}]},
        {"type": "green_space", "code": "GR-1", "property": "counts_as_green", "least": 0, "most": 1},
    ),
    # 20 dwellings; 0 to 50 spaces.
    (
        "R12",
        {
            "building": [house(1, dwellings=20)],
            "facility": [{"code": "FA-1", "kind": "parking", "geom": "POINT(500050 4320050)"}],
        },
        {"type": "facility", "code": "FA-1", "property": "capacity", "least": 0, "most": 50},
    ),
    # 2 households, 6 persons; a school of 0 to 400 m², and one square metre each is demanded.
    (
        "R13",
        {"building": [house(1, households=2, gross_floor_area=100.0), house(2, usage="education", storeys_above=4)]},
        {"type": "building", "code": code(2), "property": "gross_floor_area", "least": 0, "most": 400.0},
    ),
    # A road of unknown width, 0 to 40 m, along a lot that needs 4 m.
    (
        "R14",
        {"road": [ROAD]},
        {"type": "parcel", "code": P1, "property": "width", "least": 0, "most": 40.0},
    ),
]


@pytest.fixture
def local(clone: Callable[[], str], tmp_path: Path) -> Iterator[Database]:
    """A city that has switched on what ships switched off."""
    pack = {"name": "local", "version": "1", "title": "Local", "title-zh": "地方", "extends": "cn-renewal"}
    rules = [{"id": name, "limit": limit, "enabled": True} for name, limit in LOCAL.items()]
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "local.json").write_text(json.dumps({**pack, "rules": rules}), encoding="utf-8")
    database = Database(Settings(home=tmp_path / "home", database_url=clone(), dictionary=tmp_path))
    yield database
    database.dispose()


@pytest.mark.parametrize(("rule_id", "objects", "expected"), WHOLE, ids=[rule for rule, _, _ in WHOLE])
def test_one_unknown_decides_each_rule(
    local: Database, put: Callable[..., int], rule_id: str, objects: dict[str, Any], expected: dict[str, Any]
) -> None:
    """By hand: one thing is unknown, the limit lies between its ends, and to survey it decides whatever is found."""
    put(local, {"parcel": [{"code": P1, "geom": PLOT}], "planning_zone": [ZONE], **objects})
    asked = {"scope": [P1], "reference_date": "2026-06-30", "rules": [rule_id], "rule_pack": "local"}
    (rule,) = run(local, "value-of-information", asked)["result"]["rules"]
    assert (rule["status"], rule["unknowns"], rule["chance"]) == ("not_assessed", 1, 1)
    (item,) = rule["survey"]
    assert {name: item[name] for name in expected} == expected
    assert item["swing"] == 1


def test_rules_of_land_that_are_decided_need_no_survey(local: Database, put: Any) -> None:
    """All is known of two houses under every cap, beside a road of 6 m, with a space for each dwelling; and of none."""
    known = {"gross_floor_area": 100.0, "height": 6.0, "dwellings": 1, "heritage": "none", "usage": "education"}
    objects = {
        "building": [house(1, **known), house(2, **known)],
        "green_space": [{"code": "GR-1", "counts_as_green": True, "geom": GREEN}],
        "road": [{**ROAD, "width": 6.0}],
        "facility": [{"code": "FA-1", "kind": "parking", "capacity": 2, "geom": "POINT(500050 4320050)"}],
    }
    put(local, {"parcel": [{"code": P1, "geom": PLOT}], "planning_zone": [ZONE], **objects})
    asked = {"scope": [P1], "reference_date": "2026-06-30", "rule_pack": "local"}
    rules = {rule["rule"]: rule for rule in run(local, "value-of-information", asked)["result"]["rules"]}
    land = ["R5", "R6", "R7", "R8", "R9", "R12", "R13", "R14"]
    assert [(rules[name]["status"], rules[name]["survey"]) for name in land] == [("pass", [])] * len(land)
    nothing = run(local, "value-of-information", asked | {"proposal": {"interventions": []}})["result"]["rules"]
    assert all(rule["survey"] == [] for rule in nothing)


def test_protection_that_nobody_recorded_decides_whether_a_house_may_go(database: Database, put: Any) -> None:
    houses = [house(1), house(2, heritage="none")]
    put(database, {"parcel": [{"code": P1, "geom": PLOT}], "building": houses})
    gone = [{"target": code(n), "action": "demolish"} for n in (1, 2)]
    asked = {"scope": [P1], "rules": ["R9"], "proposal": {"interventions": gone}}
    (rule,) = run(database, "value-of-information", asked)["result"]["rules"]
    assert (rule["status"], rule["chance"]) == ("not_assessed", 1)
    assert [(item["code"], item["property"]) for item in rule["survey"]] == [(code(1), "heritage")]


def test_what_no_survey_tells_is_not_surveyed_for(database: Database, put: Any) -> None:
    """No zone limits the second lot, so R5 can fail on the first, where a survey decides, but never be kept."""
    east = "POLYGON((500100 4320000,500200 4320000,500200 4320100,500100 4320100,500100 4320000))"
    lots = [{"code": P1, "geom": PLOT}, {"code": f"{P1[:-1]}2", "geom": east}]
    houses = [house(1, gross_floor_area=700.0), house(2, storeys_above=4)]
    put(database, {"parcel": lots, "planning_zone": [ZONE], "building": houses})
    asked = {"scope": [lot["code"] for lot in lots], "rules": ["R5"], "confidence": 0.1, "draws": 400}
    (rule,) = run(database, "value-of-information", asked)["result"]["rules"]
    assert [item["code"] for item in rule["survey"]] == [code(2)]
    assert rule["chance"] == pytest.approx(0.25, abs=0.06)  # more than 300 of up to 400 m²
    (rule,) = run(database, "value-of-information", asked | {"confidence": 0.9})["result"]["rules"]
    assert rule["chance"] < 0.9


def test_the_first_of_a_ranking_are_decided_by_who_may_be_among_them(
    ask_value: Callable[..., dict[str, Any]],
) -> None:
    """By age alone the second is first; the third, of unknown year, may go before it, and the first never."""
    result = ask_value(
        house(1, year_built=2020, gross_floor_area=100.0),
        house(2, year_built=1991, gross_floor_area=100.0),
        house(3, gross_floor_area=100.0),
        rules=[],
        criteria=["age"],
        top_k=1,
    )
    top = result["top_k"]
    assert (top["k"], top["sure"], top["undecided"], top["chance"]) == (1, 0, 2, 1)
    # The second is 35 years old: (35 - 15) / (50 - 15). The third has between nothing and all.
    (item,) = top["survey"]
    assert item == {"type": "building", "code": code(3), "leaf": 4, "property": "age"} | {
        "least": 0.0,
        "most": 1.0,
        "swing": 1.0,
    }
    assert result["rules"] == []


def test_membership_is_what_every_outcome_agrees_on() -> None:
    random = np.random.default_rng(3)
    for _ in range(200):
        count = int(random.integers(1, 6))
        low = random.integers(0, 4, count)
        high = low + random.integers(0, 3, count)
        k = int(random.integers(1, count + 1))
        outcomes = itertools.product(*(range(a, b + 1) for a, b in zip(low, high, strict=True)))
        members = [set(sorted(range(count), key=lambda i: (-scores[i], i))[:k]) for scores in outcomes]
        sure, possible = _membership(low, high, k)
        assert set(np.flatnonzero(sure)) == set.intersection(*members)
        assert set(np.flatnonzero(possible)) == set.union(*members)
