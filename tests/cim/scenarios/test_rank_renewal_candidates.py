"""Scores against pymcdm's weighted sum model, and by hand; an order that does not hang on who else is ranked."""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from pymcdm.methods import TOPSIS, WSM
from pymcdm.normalizations import vector_normalization

from cim.db.engine import Database
from cim.errors import InvalidData
from cim.scenarios import rule_pack, run
from cim.scenarios._order import times_first
from cim.settings import Settings

P1 = "130629001001GB00001"
X, Y = 500_000, 4_320_000
U = {"brick_wood": 1.0, "mixed": 0.6, "reinforced_concrete": 0.3, "steel": 0.1}
GRADES = {"A": 0.0, "B": 0.3, "C": 0.7, "D": 1.0}
WEIGHTS = {"age": 20, "structure": 15, "danger": 30, "gas": 5}


def square(x: int, side: int = 10) -> str:
    return f"POLYGON(({X + x} {Y},{X + x + side} {Y},{X + x + side} {Y + side},{X + x} {Y + side},{X + x} {Y}))"


def houses() -> list[dict[str, Any]]:
    """Sixteen of every structure and grade, of which all is known; ages and gas vary with the number."""
    return [
        {
            "code": f"{P1}F{number:04d}0000",
            "usage": "residential",
            "structure": structure,
            "danger_grade": grade,
            "year_built": 1970 + 3 * number,
            "has_gas": number % 3 > 0,
            "status": "in_use",
            "geom": square(12 * number),
        }
        for number, (structure, grade) in enumerate([(s, g) for s in U for g in GRADES], 1)
    ]


@pytest.fixture(scope="module")
def city(clone: Callable[[], str], put: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(Settings(home=tmp_path_factory.mktemp("ranking"), database_url=clone()))
    far = {"code": f"{P1}F90000000", "usage": "residential", "storeys_above": 5, "has_lift": False, "status": "in_use"}
    put(
        database,
        {
            "parcel": [{"code": P1, "geom": square(0, 400)}],
            "planning_zone": [
                {"code": "PZ-1", "zone_kind": "development_control", "far_cap": 0.01, "geom": square(0, 2000)}
            ],
            "building": [
                *houses(),
                {**far, "parcel_code": P1, "gross_floor_area": 400.0, "geom": square(1500), "heritage": "protected"},
            ],
            "unit": [
                {"code": f"{P1}F9000{i:04d}", "building_code": far["code"], "occupied": i != 1} for i in range(1, 11)
            ],
        },
    )
    yield database
    database.dispose()


def ask(city: Database, width: int, **inputs: Any) -> dict[str, Any]:
    ring = [(X, Y), (X + width, Y), (X + width, Y + 400), (X, Y + 400), (X, Y)]
    scope = {"type": "Polygon", "coordinates": [ring]}
    given = {"scope": scope, "scope_crs": 4548, "reference_date": "2026-06-30", "criteria": list(WEIGHTS)}
    return dict(run(city, "rank-renewal-candidates", given | inputs)["result"])


def decisions() -> tuple[Any, Any]:
    """The matrix of the houses' values and the weights, as pymcdm takes them."""
    matrix = [
        [
            min(max((2026 - h["year_built"] - 15) / 35, 0), 1),
            U[h["structure"]],
            GRADES[h["danger_grade"]],
            float(not h["has_gas"]),
        ]
        for h in houses()
    ]
    return np.array(matrix), np.array(list(WEIGHTS.values())) / sum(WEIGHTS.values())


def test_scores_are_those_of_the_weighted_sum_model(city: Database) -> None:
    ranking = ask(city, 400, top_k=20)["ranking"]
    matrix, weights = decisions()
    # Its own normalisation is left out: the functions are fixed.
    model = WSM(normalization_function=lambda column, cost=False: column)
    wanted = model(matrix, weights, np.ones(4))
    found = {line["code"]: line["score"]["value"] for line in ranking}
    assert [found[h["code"]] for h in houses()] == pytest.approx(list(wanted), abs=5.1e-7)
    # Equal scores go by code.
    assert [line["code"] for line in ranking] == sorted(found, key=lambda code: (-found[code], code))
    for line in ranking:
        assert sum(part["contribution"] for part in line["contributions"]) == pytest.approx(
            line["score"]["value"], abs=2.1e-6
        )


def test_nearness_is_that_of_topsis_and_labelled(city: Database, adds_up: Callable[[Any], None]) -> None:
    """Hwang and Yoon's, with columns divided by their length; it has no interval, and every score opens."""
    result = ask(city, 400, top_k=20, method="topsis", explain=["/"])
    matrix, weights = decisions()
    wanted = TOPSIS(normalization_function=vector_normalization)(matrix, weights, np.ones(4))
    found = {line["code"]: line["score"]["value"] for line in result["ranking"]}
    assert [found[h["code"]] for h in houses()] == pytest.approx(list(wanted), abs=5.1e-7)
    order = sorted(zip(-wanted, (h["code"] for h in houses()), strict=True))
    assert [line["code"] for line in result["ranking"]] == [code for _, code in order]
    assert (result["method"], result["possible"]) == ("topsis", None)
    for line in result["ranking"]:
        assert (line["score"]["low"], line["score"]["high"], line["p_top_k"]) == (None, None, None)
        assert {part["contribution"] for part in line["contributions"]} == {None}
    adds_up(result)


def test_who_else_is_ranked_changes_scores_of_topsis_alone(city: Database) -> None:
    few, many = (ask(city, width, method="topsis", top_k=20)["ranking"] for width in (100, 400))
    scores = {line["code"]: line["score"]["value"] for line in many}
    assert any(scores[line["code"]] != line["score"]["value"] for line in few)


def test_services_out_of_reach_count_once_a_city_switches_them_on(
    clone: Callable[[], str], put: Any, tmp_path: Path
) -> None:
    """Of six kinds a market and a kindergarten stand 300 m off, the ring, and nothing else: 4 of 6 are out of reach,
    667 per mille. 11 m farther all are. A facility of unknown kind may be a missing one. An office needs none."""
    pack = {"name": "served", "version": "1", "title": "Served", "title-zh": "服务", "extends": "cn-renewal"}
    rule = {"id": "criterion_service", "enabled": True}
    limit = schemas_limit("criterion_service") | {"ring_m": 300}
    (tmp_path / "rules").mkdir()
    text = json.dumps({**pack, "rules": [{**rule, "limit": limit}]})
    (tmp_path / "rules" / "served.json").write_text(text, encoding="utf-8")
    settings = Settings(home=tmp_path / "home", database_url=clone(), dictionary=tmp_path)
    database = Database(settings)
    shop = {"market": "FA-1", "kindergarten": "FA-2"}
    common = {"usage": "residential", "status": "in_use"}
    put(
        database,
        {
            "building": [
                {"code": "B1", "geom": square(0), **common},
                {"code": "B2", "geom": square(11), **common},
                {"code": "B3", "geom": square(30), **common, "usage": "office"},
            ],
            "facility": [{"code": c, "kind": k, "geom": f"POINT({X - 300} {Y})"} for k, c in shop.items()],
        },
    )

    def needs() -> list[Any]:
        found = ask(database, 100, criteria=["service"], rule_pack="served")["ranking"]
        return [part["u"] for line in sorted(found, key=lambda one: one["code"]) for part in line["contributions"]]

    assert needs() == [0.667, 1, 0]
    put(database, {"facility": [{"code": "FA-3", "geom": f"POINT({X + 200} {Y})"}]})
    assert needs() == [None, None, 0]
    database.dispose()


def schemas_limit(rule: str) -> dict[str, Any]:
    return dict(rule_pack("cn-renewal").rules[rule].limit)


def test_who_else_is_ranked_changes_no_score(city: Database) -> None:
    few = {line["code"]: line["score"] for line in ask(city, 100)["ranking"]}
    many = {line["code"]: line["score"] for line in ask(city, 400)["ranking"]}
    assert 0 < len(few) < len(many)
    assert few == {code: many[code] for code in few}


def test_how_often_a_draw_of_weights_keeps_a_candidate_first(city: Database) -> None:
    ranking = ask(city, 400, top_k=5, draws=200)["ranking"]
    assert [line["rank"] for line in ranking] == [1, 2, 3, 4, 5]
    assert all(0 <= line["p_top_k"] <= 1 for line in ranking)
    assert ranking[0]["p_top_k"] > ranking[4]["p_top_k"]
    everybody = ask(city, 400, top_k=16, draws=50)["ranking"]
    assert {line["p_top_k"] for line in everybody} == {1}
    assert ask(city, 400, top_k=5, draws=200, seed=1)["ranking"] != ranking
    assert {line["p_top_k"] for line in ask(city, 400, draws=0)["ranking"]} == {None}


@hypothesis(deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.sampled_from([None, 0, 300_000, 700_000, 1_000_000])] * 3), max_size=60),
    most=st.integers(1, 8),
    seed=st.integers(0, 9),
)
def test_no_candidate_is_left_out_of_the_draws_that_could_come_first(
    rows: list[tuple[int | None, ...]], most: int, seed: int
) -> None:
    """As often as every draw sorted in full has it first."""
    weights = {"age": 20, "gas": 0, "structure": 15, "danger": 30}
    Row = namedtuple("Row", ["age", "structure", "gas", "danger"])
    share = np.array([20, 15, 30]) / 65

    def score(row: tuple[int | None, ...], drawn: Any) -> int:
        return sum(int(weight) * (value or 0) for value, weight in zip(row, drawn, strict=True))

    ranked = sorted(rows, key=lambda row: -score(row, (20, 15, 30)))
    draws = np.rint(np.random.Generator(np.random.PCG64(seed)).dirichlet(50 * share, size=40) * 1_000_000)
    times = [0] * len(ranked)
    for drawn in draws:
        for place in sorted(range(len(ranked)), key=lambda place: (-score(ranked[place], drawn), place))[:most]:
            times[place] += 1
    given_rows: Any = [Row(age, structure, 0, danger) for age, structure, danger in ranked]
    assert times_first(given_rows, weights, most, 40, seed, 50) == times[:most]


def test_lift_vacancy_and_the_room_a_plan_leaves(city: Database) -> None:
    """Five storeys without a lift: (5 - 3) / 4. One of ten units is vacant: 100 of 200 per mille. 400 m² on a parcel
    of 160,000 m² under FAR 0.01, which takes 1,600: three quarters are left."""
    (line,) = [
        one
        for one in ask(city, 1600, criteria=["lift", "vacancy", "slack"], top_k=17)["ranking"]
        if one["code"].endswith("F90000000")
    ]
    assert [part["u"] for part in line["contributions"]] == [0.5, 0.5, 0.75]
    assert line["score"]["value"] == 0.583333  # (10 · 0.5 + 10 · 0.5 + 10 · 0.75) / 30
    assert line["flags"] == ["heritage"]


def test_whether_a_lift_is_missing_is_unknown_with_the_storeys(
    clone: Callable[[], str], put: Any, tmp_path: Path
) -> None:
    """Without a lift 40 storeys are as many as count, two need none, and an office; of the third nobody knows."""
    database = Database(Settings(home=tmp_path, database_url=clone()))
    common = {"usage": "residential", "has_lift": False, "status": "in_use"}
    given = {"high": {"storeys_above": 40}, "low": {"storeys_above": 2}, "unknown": {}, "office": {"usage": "office"}}
    buildings = [{"code": name, **common, **own, "geom": square(20 * i)} for i, (name, own) in enumerate(given.items())]
    put(database, {"building": buildings})
    ranking = ask(database, 400, criteria=["lift"], top_k=4)["ranking"]
    found = {line["code"]: line["contributions"][0]["u"] for line in ranking}
    assert found == {"high": 1, "low": 0, "unknown": None, "office": 0}
    database.dispose()


def test_the_room_that_a_plan_leaves_is_unknown_with_the_floor_area_or_the_limit(
    clone: Callable[[], str], put: Any, tmp_path: Path
) -> None:
    """On lots of 100 m²: 30 of 40 m² are built, 50 of 40, none may be; one area is unknown, one lot has no limit."""
    database = Database(Settings(home=tmp_path, database_url=clone()))
    lots = {"room": 30.0, "full": 50.0, "none": 10.0, "unknown": None, "unplanned": 10.0}
    caps = {"room": 0.4, "full": 0.4, "none": 0.0, "unknown": 0.4}
    places = {name: square(20 * place) for place, name in enumerate(lots)}
    codes = {name: f"130629001001GB{place:05d}" for place, name in enumerate(lots, 1)}
    put(
        database,
        {
            "parcel": [{"code": codes[name], "geom": places[name]} for name in lots],
            "planning_zone": [
                {"code": name, "zone_kind": "development_control", "far_cap": cap, "geom": places[name]}
                for name, cap in caps.items()
            ],
            "building": [
                {
                    "code": f"{codes[name]}F00010000",
                    "parcel_code": codes[name],
                    "gross_floor_area": area,
                    "status": "in_use",
                    "geom": places[name],
                }
                for name, area in lots.items()
            ],
        },
    )
    ranking = ask(database, 400, criteria=["slack"], top_k=5)["ranking"]
    found = {line["code"]: line for line in ranking}
    room = {name: found[f"{codes[name]}F00010000"]["contributions"][0]["u"] for name in lots}
    assert room == {"room": 0.25, "full": 0, "none": 0, "unknown": None, "unplanned": None}
    score = found[f"{codes['unknown']}F00010000"]["score"]
    assert (score["low"], score["high"], score["n_known"]) == (0, 1, 0)
    database.dispose()


def test_what_is_unknown_leaves_an_interval(city: Database) -> None:
    """Nobody knows age, structure, danger and gas of the last one: it may come first, or last."""
    result = ask(city, 1600, top_k=2)
    assert (result["candidates"], result["possible"]) == (17, 3)
    last = ask(city, 1600, top_k=17)["ranking"][-1]["score"]
    assert (last["value"], last["low"], last["high"], last["n_known"]) == (0, 0, 1, 0)


def test_neighbours_make_a_cluster(city: Database) -> None:
    result = ask(city, 1600, top_k=17)
    assert result["clusters"] == [{"cluster": f"{P1}F00010000", "buildings": 16}]
    assert [line["cluster"] for line in result["ranking"] if line["code"].endswith("F90000000")] == [None]


def test_weights_and_criteria_are_checked(city: Database) -> None:
    only_age = ask(city, 400, weights={"structure": 0, "danger": 0, "gas": 0})["ranking"]
    assert only_age[0]["score"]["value"] == 1
    with pytest.raises(InvalidData, match="input seed: 1e\\+40 is greater than the maximum"):
        ask(city, 400, seed=1e40)  # as a reader of JSON gives what is too long for an integer
    with pytest.raises(InvalidData, match="add up to nothing"):
        ask(city, 400, criteria=["age"], weights={"age": 0})
    with pytest.raises(InvalidData, match="no criterion energy that is switched on"):
        ask(city, 400, criteria=["energy"])
