"""The portfolio: worked out by hand, held to CP-SAT's proved optimum, and taken back as a proposal by the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ortools.sat.python import cp_model

from cim.db.engine import Database
from cim.errors import InvalidData
from cim.scenarios import run
from cim.scenarios._milp import Limit, Problem, choose, to_relax, total

P1 = "130629001001GB00001"
LOT = "POLYGON((500000 4320000,500400 4320000,500400 4320100,500000 4320100,500000 4320000))"
ACTIONS = {
    "repair": {"cost": 1000, "effect": 0.5},
    "rebuild": {"cost": 4000, "effect": 1, "floor_ratio": 1.5, "rehoused": 0.5},
}


def house(number: int, floor_area: float | None = 100.0, **values: Any) -> dict[str, Any]:
    west = 500_000 + 20 * number
    ring = f"{west} 4320010,{west + 10} 4320010,{west + 10} 4320020,{west} 4320020,{west} 4320010"
    record = {
        "code": f"{P1}F{number:04d}0000",
        "parcel_code": P1,
        "status": "in_use",
        "usage": "residential",
        "heritage": "none",
        "year_built": 1970,
        "households": 2,
        "geom": f"POLYGON(({ring}))",
        **values,
    }
    return record if floor_area is None else {**record, "gross_floor_area": floor_area}


@pytest.fixture
def portfolio(database: Database, put: Callable[..., int]) -> Callable[..., dict[str, Any]]:
    def computed(*houses: dict[str, Any], **inputs: Any) -> dict[str, Any]:
        put(database, {"parcel": [{"code": P1, "geom": LOT}], "building": list(houses)})
        asked = {"scope": [P1], "reference_date": "2026-06-30", "criteria": ["age"], "actions": ACTIONS}
        return dict(run(database, "optimise-portfolio", asked | inputs)["result"])

    return computed


def actions(result: dict[str, Any]) -> list[str]:
    return [item["action"] for item in result["objects"]]


def test_demolition_is_held_to_its_limit_of_the_existing(portfolio: Callable[..., dict[str, Any]]) -> None:
    # Five houses of 100 m²: 20 % are one of them. That is rebuilt for 100 m², the others repaired for 50 m² each.
    result = portfolio(*(house(n) for n in range(1, 6)))
    assert sorted(actions(result)) == ["rebuild", "repair", "repair", "repair", "repair"]
    assert result["benefit"]["value"] == 300.0
    rules = {rule["rule"]: rule for rule in result["rules"]}
    assert (rules["R1"]["value"]["value"], rules["R1"]["limit"], rules["R1"]["margin"]) == (20.0, 20, 0)
    # One per cent of 500 m² more: 5 m² rebuilt instead of repaired, worth 2.5 m².
    assert rules["R1"]["price"] == pytest.approx(2.5)
    assert (rules["R2"]["value"]["value"], rules["R2"]["margin"]) == (1.5, 0.5)
    assert (rules["R3"]["value"]["value"], rules["R3"]["margin"]) == (50.0, 0)
    assert result["cost"]["value"] == 4 * 100_000 + 400_000
    assert result["gap"] == 0


def test_where_nothing_stands_nothing_is_done(portfolio: Callable[..., dict[str, Any]]) -> None:
    result = portfolio()
    assert (result["status"], result["objects"], result["benefit"]["value"]) == ("optimal", [], 0)


def test_a_budget_holds_to_the_fen(portfolio: Callable[..., dict[str, Any]]) -> None:
    houses = [house(n) for n in range(1, 4)]
    assert actions(portfolio(*houses, budget=300_000)) == ["repair"] * 3


def test_a_budget_a_yuan_short_is_short(portfolio: Callable[..., dict[str, Any]]) -> None:
    result = portfolio(*(house(n) for n in range(1, 4)), budget=299_999)
    assert sorted(actions(result)) == ["keep", "repair", "repair"]
    budget = next(rule for rule in result["rules"] if rule["rule"] == "budget")
    assert budget["margin"] == 99_999
    # A yuan more repairs a thousandth of a square metre, of which half is need removed.
    assert budget["price"] == pytest.approx(0.0005)


def test_each_phase_keeps_its_own_budget(portfolio: Callable[..., dict[str, Any]], database: Database) -> None:
    """Repairs of 100, 100 and 200 m² cost 100,000, 100,000 and 200,000 yuan. In phases of 200,000 all three fit, in
    250,000 and 150,000 only the greatest and one more: what one phase leaves is not the next one's."""
    houses = [house(1), house(2), house(3, 200.0)]
    only = {"repair": ACTIONS["repair"]}

    portfolio(*houses, actions=only)
    common = {"scope": [P1], "reference_date": "2026-06-30", "criteria": ["age"], "actions": only}

    def asked(*budgets: int) -> dict[str, Any]:
        return dict(run(database, "optimise-portfolio", common | {"budget": list(budgets)})["result"])

    even = asked(200_000, 200_000)
    assert actions(even) == ["repair"] * 3
    phases = [item["phase"] for item in even["objects"]]
    assert phases[0] == phases[1] != phases[2]
    assert [one["phase"] for one in even["proposal"]["interventions"]] == phases
    limits = {rule["rule"]: rule["value"]["value"] for rule in even["rules"] if rule["rule"].startswith("budget")}
    assert limits == {"budget 1": 200_000, "budget 2": 200_000}
    assert asked(250_000, 150_000)["benefit"]["value"] == 150  # half of 200 + 100 m²
    short = asked(190_000, 190_000)
    assert actions(short) == ["repair", "repair", "keep"]
    assert [item["phase"] for item in short["objects"]][2] is None


def test_a_group_shares_its_phase(portfolio: Callable[..., dict[str, Any]]) -> None:
    group = [f"{P1}F{n:04d}0000" for n in (1, 2)]
    only = {"repair": ACTIONS["repair"]}
    result = portfolio(house(1), house(2), together=[group], actions=only, budget=[100_000, 199_999, 200_000])
    assert [(item["action"], item["phase"]) for item in result["objects"]] == [("repair", 3)] * 2


def test_heritage_stands_and_grade_d_is_acted_on(portfolio: Callable[..., dict[str, Any]]) -> None:
    new = {"year_built": 2020}  # no need to act on it by age
    only = {"rebuild": ACTIONS["rebuild"]}
    result = portfolio(
        house(1, heritage="listed"), house(2, danger_grade="D", **new), house(3, 600.0, **new), actions=only
    )
    assert actions(result) == ["keep", "rebuild", "keep"]


def test_what_cannot_be_is_named_with_the_fewest_limits_to_relax(portfolio: Callable[..., dict[str, Any]]) -> None:
    # Of grade D, half of all the floor area: to act on it by rebuilding breaks R1 alone.
    only = {"rebuild": ACTIONS["rebuild"]}
    result = portfolio(house(1, danger_grade="D"), house(2), actions=only)
    assert (result["status"], result["proposal"], result["objects"]) == ("infeasible", None, [])
    assert result["relax"] in (["R1"], ["must_act"])


def test_a_building_of_unknown_floor_area_is_kept(portfolio: Callable[..., dict[str, Any]]) -> None:
    result = portfolio(house(1), house(2, None))
    assert actions(result) == ["repair", "keep"]
    assert (result["benefit"]["n"], result["benefit"]["n_known"]) == (2, 1)


def test_a_group_gets_one_action(portfolio: Callable[..., dict[str, Any]]) -> None:
    group = [f"{P1}F{n:04d}0000" for n in (1, 2)]
    result = portfolio(*(house(n) for n in range(1, 6)), together=[group], budget=150_000)
    chosen = actions(result)
    assert chosen[0] == chosen[1]
    assert chosen.count("repair") == 1
    assert chosen[0] == "keep"


def test_a_group_does_what_all_of_it_can(portfolio: Callable[..., dict[str, Any]]) -> None:
    group = [f"{P1}F{n:04d}0000" for n in (1, 2)]
    result = portfolio(house(1, heritage="listed"), house(2), house(3, 1000.0), together=[group])
    assert actions(result)[:2] == ["repair", "repair"]


def test_a_group_names_buildings_of_the_scope(portfolio: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(InvalidData, match="no building nowhere"):
        portfolio(house(1), together=[[f"{P1}F00010000", "nowhere"]])


def test_the_choice_is_a_proposal_that_the_rules_take(
    portfolio: Callable[..., dict[str, Any]], database: Database
) -> None:
    result = portfolio(*(house(n) for n in range(1, 6)))
    asked = {
        "scope": [P1],
        "reference_date": "2026-06-30",
        "proposal": result["proposal"],
        "rules": ["R1", "R2", "R3"],
    }
    checked = run(database, "check-constraints", asked)["result"]
    assert checked["status"] == "pass"
    ours = {rule["rule"]: rule["value"]["value"] for rule in result["rules"]}
    assert {rule["rule"]: rule["value"]["value"] for rule in checked["rules"]} == ours


@pytest.mark.parametrize("phases", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_is_the_one_that_cp_sat_proves(seed: int, phases: int) -> None:
    """With a budget in each phase too: every action but the first, to keep, may be taken in any of them."""
    random = np.random.default_rng(seed)
    objects, kinds = (40, 4) if phases == 1 else (12, 1 + 3 * phases)
    of = [i for i in range(objects) for _ in range(kinds)]
    size = random.integers(50, 5000, objects)
    benefit = [int(size[i] * e) for i in range(objects) for e in (0, *random.integers(1, 100, kinds - 1))]
    cost = [int(size[i] * c) for i in range(objects) for c in (0, *random.integers(300, 5000, kinds - 1))]
    torn = [int(size[i]) * (k > 0 and k % 3 == 0) for i in range(objects) for k in range(kinds)]
    of_phase = [0 if k == 0 else (k - 1) // 3 + 1 for _ in range(objects) for k in range(kinds)]
    limits = [Limit("R1", torn, int(size.sum()) // 5)]
    for phase in range(1, phases + 1):
        spent = [c if p == phase else 0 for c, p in zip(cost, of_phase, strict=True)]
        limits.append(Limit(f"budget {phase}", spent, sum(spent) // 8))
    same = [(0 * kinds + k, 1 * kinds + k) for k in range(kinds)]
    problem = Problem(of, benefit, limits, same)

    model = cp_model.CpModel()
    chosen = [model.new_bool_var(str(n)) for n in range(len(of))]
    for i in range(objects):
        model.add_exactly_one(chosen[i * kinds : (i + 1) * kinds])
    for limit in limits:
        model.add(sum(a * x for a, x in zip(limit.amount, chosen, strict=True)) <= limit.most)
    for first, second in same:
        model.add(chosen[first] == chosen[second])
    model.maximize(sum(b * x for b, x in zip(benefit, chosen, strict=True)))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    assert solver.solve(model) == cp_model.OPTIMAL

    ours = choose(problem, 0.0, 1_000_000)
    assert ours is not None
    assert total(benefit, ours.options) == round(solver.objective_value)
    assert all(total(limit.amount, ours.options) <= limit.most for limit in limits)
    assert sorted(of[option] for option in ours.options) == list(range(objects))
    assert ours.bound >= total(benefit, ours.options) - 1e-6 * abs(ours.bound)


def test_amounts_beyond_the_solvers_tolerance_still_hold_to_the_unit() -> None:
    """Both together cost one more than 10^13: the solver takes that for a fit, whole numbers do not."""
    most = 10**13
    cost = [0, most // 2, 0, most // 2 + 1]
    problem = Problem([0, 0, 1, 1], [0, 5, 0, 4], [Limit("budget", cost, most)])
    ours = choose(problem, 0.0, 1000)
    assert ours is not None
    assert ours.options == (1, 2)


def test_the_fewest_limits_are_relaxed() -> None:
    # One object that must take its one option; it breaks a, b and, more than those, c.
    limits = [Limit("a", [5], 4), Limit("b", [5], 5), Limit("c", [100], 1)]
    problem = Problem([0], [1], limits)
    assert choose(problem, 0.0, 100) is None
    assert to_relax(problem, ["a", "b", "c"]) == ["a", "c"]
