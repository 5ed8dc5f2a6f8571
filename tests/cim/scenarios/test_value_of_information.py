"""What to survey first: by hand, and against every way that the unknown could turn out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cim.db.engine import Database
from cim.scenarios import run
from cim.scenarios.value_of_information import _membership

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
    assert top["survey"] == [{"code": code(3), "leaf": 4, "property": "age", "least": 0.0, "most": 1.0, "swing": 1.0}]
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
