"""A proposal from its first draft to the permit: pinned, logged, read through, rebased, merged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import shapely
import sqlalchemy as sa
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.errors import Conflict, InvalidData, NotFound
from cim.scenarios import canonical
from cim.settings import Settings

P1 = "130629001001GB00001"
X, Y = 500_000, 4_320_000
OLD, BIG, GREY = (f"{P1}F{number:04d}0000" for number in (1, 2, 3))
Put = Callable[..., int]


def box(x: float, y: float, width: float, height: float) -> shapely.Polygon:
    return shapely.box(X + x, Y + y, X + x + width, Y + y + height)


def house(code: str, x: float, floor_area: float, **values: Any) -> dict[str, Any]:
    common = {"parcel_code": P1, "status": "in_use", "usage": "residential", "heritage": "none", "storeys_above": 2}
    geom = box(x, 10, 20, 10).wkt
    return {"code": code, "gross_floor_area": floor_area, "geom": geom, "households": 3, **common, **values}


@pytest.fixture
def city(settings: Settings, put: Put) -> Iterator[City]:
    """A parcel with 190, 800 and 10 m²."""
    with City(settings) as city:
        put(
            city.database,
            {
                "parcel": [{"code": P1, "geom": box(0, 0, 100, 100).wkt}],
                "building": [house(OLD, 0, 190.0), house(BIG, 30, 800.0), house(GREY, 60, 10.0)],
            },
        )
        yield city


PARAMS = {"gross_floor_area": 300.0, "households": 5, "dwellings": 5, "rehoused_households": 3}
REBUILD: dict[str, Any] = {"target": OLD, "action": "rebuild", "params": PARAMS}
LIFT = {"target": BIG, "action": "add_lift", "phase": 2}
GREEN = {
    "target": P1,
    "action": "new_green",
    "params": {"geometry": shapely.geometry.mapping(box(10, 50, 20, 20)), "kind": "park", "counts_as_green": True},
}
EVERYTHING: list[dict[str, Any]] = [REBUILD, LIFT, GREEN]


def draw_up(city: City, *interventions: dict[str, Any], name: str = "东街一期", **more: Any) -> str:
    code = city.proposals.create(name, interventions or EVERYTHING, crs=4548, **more)
    city.sequence(60.0)
    return code


def edit(city: City, code: str, **values: Any) -> None:
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        connection.execute(sa.update(table).where(table.c.code == code).values(**values))
    city.sequence(60.0)


def ask(city: City, scenario_id: str, **inputs: Any) -> dict[str, Any]:
    return city.scenario(scenario_id, **{"scope": [P1], "reference_date": "2026-06-30"} | inputs)


# ------------------------------------------------------------------------------------------------ drawn up and logged


def test_a_proposal_is_in_the_log(city: City) -> None:
    base = city.tree_head()
    code = draw_up(city, author="规划院")
    (record,) = city.proposals.records()
    assert (record["code"], record["proposal_status"], record["interventions"]) == (code, "draft", 3)
    assert (record["base_tree_size"], record["base_root"]) == (base.size, base.root.hex())
    assert record["author"] == "规划院"
    assert [entry.op for entry in city.history(code)] == ["insert"]
    assert city.proof(code).startswith("c2sp.org/tlog-proof@v1")
    found = city.features("intervention", where=f"proposal_code = '{code}'")
    assert sorted(found["action"]) == ["add_lift", "new_green", "rebuild"]


def test_as_it_was_given_it_comes_back(city: City) -> None:
    code = draw_up(city)
    found = city.proposals.get(code)
    inline = {"crs": 4548, "interventions": EVERYTHING}
    given = ask(city, "density-indicators", proposal=inline, as_of=found["base_tree_size"])
    assert found["sha256"] == given["assessment"]["proposal_root"]
    again = {"code": code, "crs": found["crs"], "interventions": found["interventions"]}
    assert city.proposals.get(draw_up(city, *found["interventions"], name="again"))["sha256"] == found["sha256"]
    recorded = ask(city, "check-constraints", proposal=code)
    assert recorded["assessment"]["inputs"]["proposal"]["interventions"] == again["interventions"]
    assert recorded["result"]["rules"][0]["value"]["value"] == 19  # 190 of 1,000 m²
    assert canonical(ask(city, "check-constraints", proposal=again, as_of=found["base_tree_size"])) == canonical(
        recorded
    )


def test_a_sealed_result_outlives_the_draft(city: City) -> None:
    code = draw_up(city)
    sealed = ask(city, "check-constraints", proposal=code)
    city.proposals.revise(code, [LIFT])
    city.sequence(60.0)
    assert city.scenario("verify-assessment", document=sealed)["result"]["status"] == "valid"
    assert ask(city, "check-constraints", proposal=code)["result"]["rules"][0]["value"]["value"] == 0


def test_revising_touches_what_changes(city: City) -> None:
    code = draw_up(city)
    before = {row.Index: len(city.history(row.Index)) for row in city.features("intervention").itertuples()}
    more = {**REBUILD, "params": {**PARAMS, "gross_floor_area": 310.0}}
    city.proposals.revise(code, [more, GREEN], crs=4548)
    city.sequence(60.0)
    found = city.features("intervention")
    assert sorted(found["action"]) == ["new_green", "rebuild"]
    counts = {str(row.action): len(city.history(str(row.Index))) for row in found.itertuples()}
    assert counts == {"new_green": 1, "rebuild": 2}
    assert len(before) == 3
    with pytest.raises(NotFound, match="no building NOWHERE"):
        city.proposals.revise(code, [{"target": "NOWHERE", "action": "keep"}])


def test_what_cannot_be_recorded_is_refused(city: City) -> None:
    draw_up(city)
    with pytest.raises(Conflict, match="already"):
        city.proposals.create("东街一期", [LIFT])
    with pytest.raises(InvalidData, match="needs a name"):
        city.proposals.create(" ", [LIFT])
    with pytest.raises(InvalidData, match="proposal: interventions"):
        city.proposals.create("x", [{"target": BIG, "action": "explode"}])
    with pytest.raises(NotFound, match="no renewal district"):
        city.proposals.create("x", [LIFT], scope="RD-NOWHERE")
    with pytest.raises(NotFound, match="no proposal 'PV'"):
        city.proposals.get("PV")


# ---------------------------------------------------------------------------------------------- read through, compared


def test_any_query_reads_through_it(city: City) -> None:
    code = draw_up(city)
    through = city.features("building", proposal=code)
    standing = through[through["status"] == "in_use"]
    assert sorted(standing["gross_floor_area"]) == [10, 300, 800]
    kept = through.loc[[OLD, BIG], ["households", "storeys_above", "heritage"]]
    assert kept.to_numpy().tolist() == [[3, 2, "none"], [3, 2, "none"]]
    assert through.geometry.loc[BIG].area == 200
    assert list(city.features("building", proposal=code, where="has_lift = true").index) == [BIG]
    assert city.features("green_space", proposal=code).geometry.area.sum() == 400
    assert len(city.features("building")) == 3
    assert city.features("green_space").empty
    # It lies on its base, whatever becomes of the city; or on what one asks for.
    edit(city, GREY, gross_floor_area=20.0)
    assert city.features("building", proposal=code).loc[GREY, "gross_floor_area"] == 10
    now = city.tree_head().size
    assert city.features("building", proposal=code, as_of=now).loc[GREY, "gross_floor_area"] == 20


@pytest.mark.parametrize("state", ["", "(SELECT size FROM cim.tree_state), "])
def test_a_branch_holds_what_is_another(city: City, state: str) -> None:
    """Changed with what is set and what is emptied, taken away, and two objects more: whole, of a code there is too."""
    branch = {
        OLD: {"households": None, "usage": "office"},
        BIG: None,
        GREY: {"code": GREY, "rev": 0, "usage": "office"},
        "NEW": {"code": "NEW", "rev": 0, "households": 7},
    }
    with city.database.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT code, usage, households, storeys_above, ST_Area(geom) "
            f"FROM city.building_in({state}%s::jsonb) ORDER BY code",
            (json.dumps({"building": branch}),),
        )
        assert [tuple(row) for row in found] == [
            (OLD, "office", None, 2, 200.0),
            (GREY, "office", None, None, None),
            ("NEW", None, 7, None, None),
        ]


def test_the_difference_to_the_city_and_to_another_proposal(city: City) -> None:
    code = draw_up(city)
    found = {(line["change"], line["type"]): line for line in city.proposals.diff(code)}
    kinds = {("removed", "building"), ("added", "building"), ("changed", "building"), ("added", "green_space")}
    assert found.keys() == kinds
    assert found["changed", "building"]["fields"] == {"has_lift": [None, True]}
    assert found["removed", "building"]["fields"]["status"] == ["in_use", "demolished"]
    assert found["added", "building"]["fields"]["gross_floor_area"] == [None, 300]
    assert found["added", "building"]["interventions"] == [f"rebuild {OLD} 1"]
    other = draw_up(city, LIFT, {"target": GREY, "action": "demolish"}, name="东街二期")
    lines = {line["code"]: line for line in city.proposals.diff(code, other)}
    assert BIG not in lines
    assert lines[GREY]["fields"]["status"] == ["demolished", "in_use"]
    assert lines[OLD]["fields"]["status"] == ["in_use", "demolished"]
    names = [line["name"] for line in ask(city, "evaluate-proposal", proposals=[code])["result"]["proposals"]]
    assert names == ["东街一期"]
    with pytest.raises(InvalidData, match="rebase them on one"):
        ask(city, "evaluate-proposal", proposals=[code, other])
    compared = ask(city, "evaluate-proposal", proposals=[code, other], as_of=city.tree_head().size)["result"]
    assert [one["balance"]["gfa"]["after"]["value"] for one in compared["proposals"]] == [1110, 990]


def test_the_difference_has_whole_numbers_as_such(city: City) -> None:
    code = draw_up(city, {"target": BIG, "action": "extend", "params": {"added_floor_area": 10.5, "height": 9}})
    (line,) = city.proposals.diff(code)
    assert json.dumps(line["fields"]) == '{"gross_floor_area": [800, 810.5], "height": [null, 9]}'


# ------------------------------------------------------------------------------------------------------------- rebased


def test_rebase_names_what_changed(city: City) -> None:
    code = draw_up(city)
    edit(city, GREY, gross_floor_area=20.0)  # not one of its targets
    clean = city.proposals.rebase(code)
    assert (clean.done, clean.conflicts) == (True, [])
    edit(city, OLD, danger_grade="C", households=4)
    found = city.proposals.rebase(code)
    (conflict,) = found.conflicts
    assert not found.done
    assert (conflict["kind"], conflict["code"], conflict["fields"]) == ("object", OLD, ["danger_grade", "households"])
    assert conflict["now"] == city.history(OLD)[-1].leaf
    assert city.proposals.get(code)["base_tree_size"] == clean.onto
    accepted = city.proposals.rebase(code, accept=True)
    assert accepted.done
    assert city.proposals.get(code)["base_tree_size"] == accepted.onto


def test_rebase_names_the_rule_that_now_fails(city: City) -> None:
    """190 of 1,000 m² is 19 %. Once somebody has measured 700 in place of 800 m², 190 of 900 are 21.1 %."""
    code = draw_up(city, REBUILD)
    edit(city, BIG, gross_floor_area=700.0)
    found = city.proposals.rebase(code)
    (conflict,) = found.conflicts
    assert (found.done, conflict["kind"], conflict["rule"]) == (False, "rule", "R1")
    assert conflict["value"]["value"] == 21.111111
    with pytest.raises(Conflict, match="R1 fails today"):
        city.proposals.merge(code, permit="建规许〔2026〕7号", effective_on=date(2027, 1, 1))


def test_what_is_gone_cannot_be_accepted(city: City) -> None:
    code = draw_up(city)
    with city.database.engine.begin() as connection:
        table = city.database.table("building")
        connection.execute(sa.delete(table).where(table.c.code == BIG))
    city.sequence(60.0)
    found = city.proposals.rebase(code, accept=True)
    assert not found.done
    assert [(one["code"], one["now"]) for one in found.conflicts] == [(BIG, None)]


# -------------------------------------------------------------------------------------------------------------- merged


def test_merged_it_is_what_it_promised(city: City) -> None:
    """From the day the permit names, the city is what the branch was; before it, what the base was."""
    code = draw_up(city)
    day, permit = date(2027, 1, 1), "建规许〔2026〕7号"
    figures = ("n", "footprint", "gfa_above", "households", "dwellings")

    def inventory(**inputs: Any) -> dict[str, Any]:
        result = ask(city, "district-inventory", **inputs)["result"]
        return {name: result[name] for name in figures}

    before, promised = inventory(), inventory(proposal=code)
    merged = city.proposals.merge(code, permit=permit, effective_on=day, actor="规划局")
    city.sequence(60.0)
    assert {kind: len(codes) for kind, codes in merged.added.items()} == {"building": 1, "green_space": 1}
    assert merged.changed == {"building": [OLD, BIG]}
    assert inventory(reference_date="2026-12-31") == before
    assert inventory(reference_date="2027-01-01") == promised
    assert promised["gfa_above"]["value"] == 1110
    old = city.get(OLD).properties
    assert (old["status"], old["valid_to"]) == ("demolition_approved", day)
    last = city.history(OLD)[-1]
    first = city.history(merged.added["building"][0])[0]
    assert last.actor == first.actor == "规划局"
    assert f"permit {permit}" in (last.reason or "")
    assert f"permit {permit}" in (first.reason or "")
    record = city.proposals.get(code)
    assert (record["proposal_status"], record["permit"], record["effective_on"]) == ("merged", permit, "2027-01-01")
    for refused in (
        lambda: city.proposals.merge(code, permit=permit, effective_on=day),
        lambda: city.proposals.revise(code, [LIFT]),
        lambda: city.proposals.withdraw(code, reason="x"),
    ):
        with pytest.raises(Conflict, match="only a draft can change"):
            refused()


def test_merging_nothing_touches_no_object(city: City) -> None:
    keep = [{"target": code, "action": "keep"} for code in (OLD, BIG, GREY)]
    code = draw_up(city, *keep)
    merged = city.proposals.merge(code, permit="1", effective_on=date(2027, 1, 1))
    assert (merged.changed, merged.added) == ({}, {})
    assert [len(city.history(each)) for each in (OLD, BIG, GREY, P1)] == [1, 1, 1, 1]


def test_a_merge_needs_the_city_it_was_drawn_up_on(city: City) -> None:
    code = draw_up(city)
    edit(city, OLD, danger_grade="C")
    with pytest.raises(Conflict, match=f"building {OLD} is another: danger_grade"):
        city.proposals.merge(code, permit="7", effective_on=date(2027, 1, 1))
    with pytest.raises(InvalidData, match="number of the permit"):
        city.proposals.merge(code, permit=" ", effective_on=date(2027, 1, 1))
    assert len(city.features("building")) == 3


def test_a_merge_does_not_end_what_had_not_begun(city: City) -> None:
    edit(city, OLD, valid_from=date(1999, 5, 1), year_built=1998)
    code = draw_up(city, {"target": OLD, "action": "demolish"})
    for day in (date(1997, 12, 31), date(1999, 4, 30)):
        with pytest.raises(InvalidData, match=f"effective_on {day} lies before {OLD} was there"):
            city.proposals.merge(code, permit="7", effective_on=day)
    assert city.proposals.get(code)["proposal_status"] == "draft"
    assert len(city.history(OLD)) == 2  # made, and edited
    city.proposals.merge(code, permit="7", effective_on=date(1999, 5, 1))


def test_a_withdrawn_one_stays_readable(city: City) -> None:
    code = draw_up(city)
    with pytest.raises(InvalidData, match="needs a reason"):
        city.proposals.withdraw(code, reason="")
    city.proposals.withdraw(code, reason="no money")
    city.sequence(60.0)
    assert city.proposals.get(code)["proposal_status"] == "withdrawn"
    assert city.history(code)[-1].reason == "no money"


# ------------------------------------------------------------------------------------------------- on the command line


def test_on_the_command_line(city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIM_DATABASE_URL", city.settings.database_url or "")
    monkeypatch.setenv("CIM_HOME", str(city.settings.home))
    monkeypatch.setenv("CIM_ORIGIN", city.settings.origin)
    app, file = build(), tmp_path / "plan.json"

    def cim(*arguments: str) -> tuple[int, str]:
        ran = CliRunner().invoke(app, ["proposal", *arguments])
        return ran.exit_code, ran.stdout

    file.write_text(json.dumps({"crs": 4548, "interventions": EVERYTHING}), encoding="utf-8")
    made = cim("create", "东街一期", str(file), "--actor", "planner")
    assert made[0] == 0
    code = made[1].strip()
    assert code in cim("list")[1]
    assert json.loads(cim("show", code, "--json")[1])["interventions"][0]["action"] == "new_green"
    assert "rebuild" in cim("show", code)[1]
    assert "has_lift" in cim("diff", code)[1]
    file.write_text(json.dumps({"interventions": [REBUILD, LIFT]}), encoding="utf-8")
    assert cim("revise", code, str(file), "--reason", "no park")[0] == 0
    edit(city, OLD, danger_grade="C")
    status, text = cim("rebase", code)
    assert (status, "danger_grade" in text) == (6, True)
    assert cim("rebase", code, "--accept")[0] == 0
    merged = cim("merge", code, "--permit", "建规许〔2026〕7号", "--effective-on", "2027-01-01")
    assert merged[0] == 0
    assert "demolish" not in merged[1]
    assert "merged" in cim("list")[1]
    scope = f'scope=["{P1}"]'
    ran = CliRunner().invoke(app, ["scenario", "run", "check-constraints", scope, f"proposal=@{file}", "as_of=5"])
    assert json.loads(ran.stdout)["result"]["interventions"] == 2
    bad = CliRunner().invoke(app, ["proposal", "create", "x", str(tmp_path / "nothing.json")])
    assert isinstance(bad.exception, InvalidData)
    assert "cannot read" in str(bad.exception)
