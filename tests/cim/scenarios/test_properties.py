from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
import shapely
import shapely.affinity
import sqlalchemy as sa
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from cim.db.engine import Database
from cim.db.script import query
from cim.scenarios import _state, canonical, run
from cim.scenarios._indicator import numbers
from cim.settings import Settings

X, Y, SIDE = 500_000, 4_320_000, 120
LAND = shapely.box(X, Y, X + SIDE, Y + SIDE)


def square(x: int, y: int, width: int, height: int) -> str:
    return str(shapely.box(X + x, Y + y, X + x + width, Y + y + height).wkt)


size = st.integers(1, 30)
PARALLEL = ("district-inventory", "density-indicators", "check-constraints", "rank-renewal-candidates")
# What a session does that is let to use workers for everything; the names of the settings differ by server.
FORCED = sa.text(
    "SELECT set_config(name, CASE WHEN name IN ('force_parallel_mode', 'debug_parallel_query') THEN 'on' "
    "WHEN name = 'max_parallel_workers_per_gather' THEN '4' ELSE '0' END, true) FROM pg_settings "
    "WHERE name IN ('force_parallel_mode', 'debug_parallel_query', 'parallel_setup_cost', 'parallel_tuple_cost', "
    "'min_parallel_table_scan_size', 'min_parallel_index_scan_size', 'max_parallel_workers_per_gather')"
)


@st.composite
def towns(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Strips of parcels across the land and buildings of which some things are unknown; decimetres matter."""
    cuts = sorted(draw(st.sets(st.integers(1, SIDE - 1), max_size=5)))
    edges = [0, *cuts, SIDE]
    parcels = [
        {"code": f"P{i}", "geom": square(west, 0, east - west, SIDE)} for i, (west, east) in enumerate(pairwise(edges))
    ]
    maybe = st.one_of(st.none(), st.integers(1, 12))
    buildings = [
        {
            "code": f"B{i:02d}",
            "geom": square(draw(st.integers(-10, SIDE)), draw(st.integers(-10, SIDE)), draw(size), draw(size)),
            "storeys_above": draw(maybe),
            "year_built": draw(st.one_of(st.none(), st.integers(1950, 2020))),
            "gross_floor_area": draw(st.one_of(st.none(), st.integers(0, 99_999).map(lambda v: v / 10))),
            "structure": draw(st.sampled_from(["steel", "mixed", "brick_wood", None])),
        }
        for i in range(draw(st.integers(0, 8)))
    ]
    return {"parcel": parcels, "building": buildings}


@pytest.fixture(scope="module")
def town(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(Settings(home=tmp_path_factory.mktemp("town"), database_url=clone()))
    yield database
    database.dispose()


def rebuild(database: Database, put: Any, objects: dict[str, list[dict[str, Any]]]) -> None:
    with database.engine.begin() as connection:
        for type_name in ("building", "parcel"):
            connection.execute(sa.delete(database.table(type_name)))
    put(database, objects)


def ask(database: Database, scenario_id: str, **inputs: Any) -> dict[str, Any]:
    given = {"scope": LAND, "scope_crs": 4548, "reference_date": "2026-06-30"} | inputs
    return run(database, scenario_id, given)


@hypothesis(max_examples=15, deadline=None)
@given(objects=towns())
def test_however_the_land_is_parcelled_the_sums_stay(town: Database, put: Any, objects: Any) -> None:
    rebuild(town, put, objects)
    split = ask(town, "density-indicators", level="parcel")["result"]
    rebuild(town, put, objects | {"parcel": [{"code": "P0", "geom": square(0, 0, SIDE, SIDE)}]})
    whole = ask(town, "density-indicators")["result"]
    assert split["gross"] == whole["gross"]
    assert split["net"]["land"]["value"] == whole["net"]["land"]["value"] == SIDE * SIDE
    assert sum(p["land"]["value"] for p in split["parcels"]) == split["net"]["land"]["value"]
    for measure in ("footprint", "gfa"):
        total = sum(p[measure]["low"] for p in split["parcels"])
        assert total == pytest.approx(split["net"][measure]["low"], abs=1e-9)


@hypothesis(max_examples=15, deadline=None)
@given(objects=towns())
def test_far_is_gsi_times_mean_storeys(town: Database, put: Any, objects: Any) -> None:
    rebuild(town, put, objects)
    for extent in ("gross", "net"):
        figures = ask(town, "density-indicators")["result"][extent]
        far, gsi, storeys = (figures[name] for name in ("far", "gsi", "storeys"))
        if storeys["den"]:
            product = Fraction(gsi["num"], gsi["den"]) * Fraction(storeys["num"], storeys["den"])
            assert Fraction(far["num"], far["den"]) == product
        for indicator in figures.values():
            if None not in (indicator["value"], indicator["low"], indicator["high"]):
                assert indicator["low"] <= indicator["value"] <= indicator["high"]


@hypothesis(max_examples=10, deadline=None)
@given(objects=towns(), data=st.data())
def test_the_order_of_rows_changes_no_byte(town: Database, put: Any, objects: Any, data: st.DataObject) -> None:
    shuffled = {kind: data.draw(st.permutations(records)) for kind, records in objects.items()}
    answers = []
    for loaded in (objects, shuffled):
        rebuild(town, put, loaded)
        document = ask(town, "district-inventory", list_objects=True, group_by=["structure", "height_class"])
        answers.append(canonical({"result": document["result"], "coverage": document["coverage"]}))
    assert answers[0] == answers[1]


@hypothesis(max_examples=10, deadline=None)
@given(objects=towns())
def test_the_log_answers_like_the_live_tables(town: Database, put: Any, objects: Any) -> None:
    rebuild(town, put, objects)
    for scenario_id in ("district-inventory", "density-indicators"):
        inputs = {"scope": LAND, "scope_crs": 4548}
        live = run(town, scenario_id, inputs)
        assert canonical(live) == canonical(run(town, scenario_id, inputs, use_live=False))


@st.composite
def interventions(draw: st.DrawFn, buildings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Something done to some of the buildings, and perhaps a new one, which may stick out of the land."""
    area = st.integers(0, 99_999).map(lambda v: v / 10)
    params: dict[str, st.SearchStrategy[dict[str, Any]]] = {
        "keep": st.just({}),
        "repair": st.just({}),
        "add_lift": st.just({}),
        "demolish": st.just({}),
        "extend": st.fixed_dictionaries({"added_floor_area": area}),
        "rebuild": st.fixed_dictionaries({"gross_floor_area": area}),
    }
    found = []
    for record in buildings:
        action = draw(st.sampled_from([None, *params]))
        if action is not None:
            found.append({"target": record["code"], "action": action, "params": draw(params[action])})
    if draw(st.booleans()):
        place = shapely.box(X + 100, Y + 100, X + 130, Y + 110)
        new = {"geometry": shapely.geometry.mapping(place), "gross_floor_area": draw(area)}
        found.append({"target": "P0", "action": "new_build", "params": new})
    return found


def exactly(figure: dict[str, Any], part: str = "value") -> Fraction:
    return Fraction(str(figure[part] or 0))


@hypothesis(max_examples=10, deadline=None)
@given(cells=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))), data=st.data())
def test_without_overlap_no_more_than_the_land_is_covered(
    town: Database, put: Any, cells: set[tuple[int, int]], data: st.DataObject
) -> None:
    """Buildings that fill cells of a grid of 20 m, or less of them, stand beside each other."""
    sides = st.integers(1, 20)
    buildings = [
        {"code": f"B{x}{y}", "geom": square(20 * x, 20 * y, data.draw(sides), data.draw(sides)), "storeys_above": 1}
        for x, y in sorted(cells)
    ]
    rebuild(town, put, {"parcel": [{"code": "P0", "geom": square(0, 0, SIDE, SIDE)}], "building": buildings})
    result = ask(town, "density-indicators")["result"]
    for extent in ("gross", "net"):
        gsi = result[extent]["gsi"]
        assert gsi["num"] <= gsi["den"]
        # Area by shapely, in the integers of the sum.
        covered = round(sum(shapely.from_wkt(b["geom"]).area for b in buildings) * 10_000)
        assert gsi["num"] == covered


@hypothesis(max_examples=6, deadline=None)
@given(objects=towns())
def test_parallel_plans_change_no_byte(town: Database, put: Any, objects: Any) -> None:
    rebuild(town, put, objects)
    alone = {name: canonical(ask(town, name, explain=["/"])) for name in PARALLEL}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_state, "query", lambda name: FORCED if name == "scenarios/settle" else query(name))
        with _state.snapshot(town) as connection:
            plan = connection.execute(sa.text("EXPLAIN SELECT count(*) FROM city.building")).scalars().all()
            assert any("Gather" in line for line in plan)
        for name, expected in alone.items():
            assert canonical(ask(town, name, explain=["/"])) == expected


@hypothesis(max_examples=12, deadline=None)
@given(data=st.data())
def test_before_less_removed_plus_added_is_after(town: Database, put: Any, data: st.DataObject) -> None:
    """Per building and in sum, and the sum is what two other scenarios find when they read through the proposal."""
    objects = data.draw(towns())
    rebuild(town, put, objects)
    proposal = {"crs": 4548, "interventions": data.draw(interventions(objects["building"]))}
    (evaluated,) = ask(town, "evaluate-proposal", proposals=[{"name": "p", **proposal}])["result"]["proposals"]
    for name, figures in evaluated["balance"].items():
        before, removed, added, after = (exactly(figures[part]) for part in ("before", "removed", "added", "after"))
        assert before - removed + added == after
        assert exactly(figures["change"]) == after - before
        assert exactly(figures["change"], "low") <= after - before <= exactly(figures["change"], "high")
        lines = [line[name] for line in evaluated["objects"]]
        parts = [tuple(Fraction(str(line[p] or 0)) for p in ("before", "removed", "added", "after")) for line in lines]
        assert all(b - r + a == c for b, r, a, c in parts)
        assert sum((r for _, r, _, _ in parts), Fraction(0)) == removed
        assert sum((a for _, _, a, _ in parts), Fraction(0)) == added
    density = ask(town, "density-indicators", proposal=proposal)["result"]["gross"]
    inventory = ask(town, "district-inventory", proposal=proposal)["result"]
    balance = evaluated["balance"]
    for name, other in (("gfa", density["gfa"]), ("footprint", density["footprint"]), ("gfa", inventory["gfa_above"])):
        assert exactly(balance[name]["after"]) == exactly(other)
    assert balance["n"]["after"]["value"] == inventory["n"]["value"]


@hypothesis(max_examples=6, deadline=None)
@given(objects=towns())
def test_keeping_everything_changes_nothing(town: Database, put: Any, objects: Any) -> None:
    rebuild(town, put, objects)
    keep = [{"target": record["code"], "action": "keep"} for record in objects["building"]]
    (kept,) = ask(town, "evaluate-proposal", proposals=[{"name": "keep", "interventions": keep}])["result"]["proposals"]
    assert [figures["change"]["value"] for figures in kept["balance"].values()] == [0] * 5
    assert {pair["change"] for pair in kept["ratios"].values()} <= {0, None}
    as_it_is = ask(town, "density-indicators")
    assert ask(town, "density-indicators", proposal={"interventions": keep})["result"] == as_it_is["result"]
    assert ask(town, "density-indicators", proposal={"interventions": []})["result"] == as_it_is["result"]


@hypothesis(max_examples=6, deadline=None)
@given(data=st.data())
def test_a_number_opened_adds_up_to_itself(
    town: Database, put: Any, adds_up: Callable[[Any], None], data: st.DataObject
) -> None:
    objects = data.draw(towns())
    rebuild(town, put, objects)
    proposal = {"crs": 4548, "interventions": data.draw(interventions(objects["building"]))}
    membership = data.draw(st.sampled_from(["clip", "point_on_surface", "intersects"]))
    rule = data.draw(st.sampled_from(["above_ground", "with_basement", "footprint_storeys"]))
    whole = {"explain": ["/"], "membership": membership}
    asked: dict[str, dict[str, Any]] = {
        "district-inventory": {"proposal": proposal, "list_objects": True},
        "density-indicators": {"proposal": proposal, "level": "parcel", "gfa_rule": rule},
        "evaluate-proposal": {"proposals": [{"name": "a/b", **proposal}]},
        "check-constraints": {"proposal": proposal, "compare_with": "cn-renewal"},
        "displacement": {"proposal": proposal},
    }
    for scenario_id, inputs in asked.items():
        result = ask(town, scenario_id, **whole, **inputs)["result"]
        adds_up(result)
        for line in result["why"]:
            terms = line["num"]["terms"] + (line["den"] or {"terms": []})["terms"]
            assert all(
                t["leaf"] is not None or t["code"].startswith("PV") or t["type"] == "polygon" or t.get("codes")
                for t in terms
            )
    sums = [ask(town, scenario_id, **whole, **asked[scenario_id])["result"] for scenario_id in ("district-inventory",)]
    for line in (line for result in sums for line in result["why"] if line["den"] is None):
        number = dict(numbers(sums[0]))[line["at"]]
        known = sum(Fraction(str(t["contribution"] or 0)) for t in line["num"]["terms"])
        assert known + sum(Fraction(str(item["most"])) for item in line["unknown"]) == exactly(number, "high")


@hypothesis(max_examples=5, deadline=None)
@given(objects=towns(), east=st.integers(-2000, 2000), north=st.integers(-2000, 2000))
def test_moving_the_city_changes_nothing(town: Database, put: Any, objects: Any, east: int, north: int) -> None:
    def moved(wkt: str) -> str:
        return str(shapely.affinity.translate(shapely.from_wkt(wkt), east, north).wkt)

    rebuild(town, put, objects)
    here = ask(town, "density-indicators", level="parcel")["result"]
    rebuild(town, put, {kind: [row | {"geom": moved(row["geom"])} for row in rows] for kind, rows in objects.items()})
    land = shapely.affinity.translate(LAND, east, north)
    assert ask(town, "density-indicators", level="parcel", scope=land)["result"] == here
