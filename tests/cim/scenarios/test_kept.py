"""Answers that a process keeps: asked again nothing is read, and no other state, proposal or reader is served them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from cim.db.engine import Database
from cim.scenarios import canonical, run
from cim.scenarios._kept import ANSWERS, Answers, versions
from cim.scenarios._seal import state_of
from cim.scenarios.district_inventory import DistrictInventory
from tests.cim.scenarios.conftest import DISTRICT, P1

HOUSES = [f"{P1}F{number:04d}0000" for number in (1, 2, 3)]
INPUTS: dict[str, dict[str, Any]] = {
    "district-inventory": {"scope": DISTRICT, "list_objects": True},
    "density-indicators": {"scope": DISTRICT, "level": "parcel"},
    "compare-districts": {"scope": [DISTRICT]},
    "rank-renewal-candidates": {"scope": DISTRICT, "top_k": 3, "draws": 20},
    "check-constraints": {
        "scope": DISTRICT,
        "proposal": {"interventions": [{"target": HOUSES[0], "action": "demolish"}]},
    },
}
every = pytest.mark.parametrize("scenario_id", INPUTS)


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    ANSWERS.clear()


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Collect the statements that a database is sent."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    with database.engine.connect() as connection:
        versions(connection)  # each connection is asked once
    engines = database.engine, database.spare
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    yield sent
    for engine in engines:
        sa.event.remove(engine, "before_cursor_execute", note)


def write(database: Database, statement: str) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(statement)


@every
def test_asked_again_it_reads_what_state_there_is_and_answers_the_same_bytes(
    unchanging: Database, scenario_id: str
) -> None:
    first = canonical(run(unchanging, scenario_id, INPUTS[scenario_id]))
    with statements(unchanging) as sent:
        again = canonical(run(unchanging, scenario_id, INPUTS[scenario_id]))
    # The session is set up, the head of the tree is read, and what the live tables are at.
    assert [("set_config" in s, "tree_head" in s, "cim.tree_state" in s) for s in sent] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert again == first == canonical(run(unchanging, scenario_id, INPUTS[scenario_id], use_live=False))


@every
def test_a_write_is_seen_when_it_has_its_leaf_and_the_state_before_it_stays(
    city: Database, put: Callable[..., int], scenario_id: str
) -> None:
    before = run(city, scenario_id, INPUTS[scenario_id])
    write(city, f"UPDATE city.building SET gross_floor_area = 5555 WHERE code = '{HOUSES[1]}'")
    assert canonical(run(city, scenario_id, INPUTS[scenario_id])) == canonical(before)
    put(city, {})
    after = run(city, scenario_id, INPUTS[scenario_id])
    assert after["assessment"]["read_set"] != before["assessment"]["read_set"]
    assert canonical(after) == canonical(run(city, scenario_id, INPUTS[scenario_id], use_live=False))
    then = INPUTS[scenario_id] | {"as_of": before["assessment"]["tree_size"]}
    assert canonical(run(city, scenario_id, then)) == canonical(before)


def test_what_was_kept_of_another_proposal_or_of_none_is_not_mixed_in(unchanging: Database) -> None:
    def stock(*targets: str) -> tuple[int, dict[str, Any]]:
        interventions = [{"target": code, "action": "demolish"} for code in targets]
        inputs = {"scope": DISTRICT, **({"proposal": {"interventions": interventions}} if targets else {})}
        document = run(unchanging, "district-inventory", inputs)
        assert canonical(document) == canonical(run(unchanging, "district-inventory", inputs, use_live=False))
        return document["coverage"]["building"]["members"], document["assessment"]["read_set"]

    whole, read = stock()
    for targets, fewer in ((HOUSES[:1], 1), (HOUSES[:2], 2), (HOUSES[1:], 2), ([], 0)):
        assert stock(*targets) == (whole - fewer, read)


def test_proposals_on_one_land_have_one_read_set(unchanging: Database) -> None:
    """Targets that meet the land are read anyway; it is not looked for anew with every proposal."""
    for target in HOUSES:
        proposal = {"interventions": [{"target": target, "action": "demolish"}]}
        with statements(unchanging) as sent:
            run(unchanging, "check-constraints", {"scope": DISTRICT, "proposal": proposal})
        assert sum("read_land" in statement for statement in sent) == (target == HOUSES[0])


def test_a_target_beyond_the_land_is_in_the_read_set(city: Database, put: Callable[..., int], building: Any) -> None:
    put(city, {"building": [building(90, "POLYGON((500900 4320900,500910 4320900,500910 4320910,500900 4320900))")]})
    read = run(city, "district-inventory", {"scope": DISTRICT})["assessment"]["read_set"]
    proposal = {"interventions": [{"target": f"{P1}F00900000", "action": "repair"}]}
    with_it = run(city, "district-inventory", {"scope": DISTRICT, "proposal": proposal})["assessment"]["read_set"]
    assert with_it["objects"] == read["objects"] + 1


def test_a_document_may_be_changed_by_who_has_it(unchanging: Database) -> None:
    first = run(unchanging, "district-inventory", INPUTS["district-inventory"])
    told = canonical(first)
    first["assessment"]["read_set"]["leaves"][0][0] = -1
    first["assessment"]["read_set"]["leaves"].clear()
    first["coverage"]["scope"]["codes"].clear()
    assert canonical(run(unchanging, "district-inventory", INPUTS["district-inventory"])) == told


def test_another_login_is_not_served(unchanging: Database) -> None:
    run(unchanging, "district-inventory", INPUTS["district-inventory"])
    other = unchanging.limited(1, 5, 60)
    try:
        with statements(other) as sent:
            run(other, "district-inventory", INPUTS["district-inventory"])
    finally:
        other.dispose()
    assert any("read_land" in statement for statement in sent)


def test_nothing_is_kept_of_what_no_snapshot_holds(unchanging: Database) -> None:
    """A writer may come between two statements of such a connection."""
    asked = DistrictInventory.from_inputs({"scope": DISTRICT})
    for _ in range(2):
        with statements(unchanging) as sent, unchanging.engine.connect() as connection:
            asked.compute(state_of(connection, unchanging, asked))
        assert any("building stock" in statement for statement in sent)


def test_what_was_not_asked_for_longest_gives_way_and_what_is_too_large_is_not_kept() -> None:
    kept, asked = Answers(10, 6), []

    def get(name: str, size: int) -> None:
        def ask() -> str:
            asked.append(name)
            return name * size

        assert kept.get((DATABASE, name.encode()), ask, len) == name * size

    for name, size in (("a", 4), ("b", 4), ("a", 4), ("c", 2), ("d", 4), ("a", 4), ("b", 4), ("e", 7), ("e", 7)):
        get(name, size)
    # d made b give way, not a, which had been asked for since; then b made c give way, and d with it.
    assert asked == ["a", "b", "c", "d", "b", "e", "e"]
    kept.clear()
    get("b", 4)
    assert asked[-1] == "b"


def test_threads_may_share_it() -> None:
    kept = Answers(50, 50)

    def get(number: int) -> bool:
        name = number % 13
        return kept.get((DATABASE, bytes([name])), lambda: [name] * name, len) == [name] * name

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(get, range(4000)))


DATABASE: Any = object()
