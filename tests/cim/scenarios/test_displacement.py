"""Households that move, by hand: unknown numbers leave intervals, and few households are not told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cim.db.engine import Database
from cim.scenarios import run
from cim.scenarios._why import Sum, Term
from cim.scenarios.displacement import withheld
from cim.settings import Settings

P1 = "130629001001GB00001"
X, Y = 500_000, 4_320_000
MANY, FEW, UNKNOWN = (f"{P1}F{number:04d}0000" for number in (1, 2, 3))


def square(x: int, side: int) -> str:
    corners = ((0, 0), (side, 0), (side, side), (0, side), (0, 0))
    return f"POLYGON(({','.join(f'{X + x + a} {Y + b}' for a, b in corners)}))"


@pytest.fixture(scope="module")
def city(clone: Callable[[], str], put: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(Settings(home=tmp_path_factory.mktemp("displacement"), database_url=clone()))
    common = {"parcel_code": P1, "status": "in_use", "gross_floor_area": 600.0}
    buildings = [
        {"code": MANY, "households": 50, "dwellings": 50, "geom": square(0, 10), **common},
        {"code": FEW, "households": 4, "dwellings": 4, "geom": square(20, 10), **common},
        {"code": UNKNOWN, "dwellings": 8, "geom": square(40, 10), **common},
    ]
    tenures = [("private_owned", 30), ("public_rented", 15)]
    units = [
        {"code": f"{MANY[:-4]}{i:04d}", "building_code": MANY, "tenure": tenure, "households": households}
        for i, (tenure, households) in enumerate(tenures, 1)
    ]
    put(database, {"parcel": [{"code": P1, "geom": square(0, 100)}], "building": buildings, "unit": units})
    yield database
    database.dispose()


def ask(city: Database, *interventions: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    given = {"scope": [P1], "reference_date": "2026-06-30", "proposal": {"interventions": list(interventions)}}
    return dict(run(city, "displacement", given | inputs)["result"])


def figures(cell: dict[str, Any]) -> tuple[Any, ...]:
    return cell["value"], cell["low"], cell["high"]


def test_what_nobody_counted_leaves_an_interval(city: Database) -> None:
    """8 dwellings hold at most 16 households; the works of a repair move anything from nobody to all 50."""
    result = ask(city, {"target": UNKNOWN, "action": "demolish"}, {"target": MANY, "action": "repair"}, k=0)
    assert figures(result["households"]["permanent"]) == (None, 0, 16)
    assert figures(result["households"]["open"]) == (None, 0, 50)
    assert figures(result["households"]["displaced"]) == (None, 0, 66)
    assert result["rehousing"]["status"] == "not_assessed"
    said = {"target": MANY, "action": "repair", "params": {"displaced_households": 12}}
    assert figures(ask(city, said)["households"]["open"]) == (12, 12, 12)


def test_by_tenure(city: Database) -> None:
    """30 own, 15 rent; of 5 nobody knows. With k = 10 those 5 go untold, and so must the next smallest."""
    demolish = {"target": MANY, "action": "demolish"}
    told = ask(city, demolish, k=0)["by_tenure"]
    assert [(cell["class"], cell["households"]["value"]) for cell in told] == [
        ("owner", 30),
        ("tenant", 15),
        ("unknown", 5),
    ]
    withheld_cells = ask(city, demolish)["by_tenure"]
    assert [cell["households"].get("suppressed", False) for cell in withheld_cells] == [False, True, True]


def test_few_households_are_not_told(city: Database) -> None:
    result = ask(city, {"target": FEW, "action": "demolish", "params": {"rehoused_households": 1}})
    cell = result["households"]["displaced"]
    assert (cell["value"], cell["low"], cell["high"], cell["suppressed"]) == (None, None, None, True)
    assert (result["rehousing"]["value"], result["rehousing"]["status"]) == (None, "fail")
    assert result["suppressed_below"] == 10


def test_a_total_does_not_give_a_withheld_cell_away() -> None:
    def part(households: int) -> Sum:
        return Sum("part", "{household}", (Term("building", "B", 1, households),))

    cells = withheld({"a": part(3), "b": part(20), "c": part(40)}, 10)
    assert [name for name, cell in cells.items() if "suppressed" in cell] == ["a", "b"]
    assert not any("suppressed" in cell for cell in withheld({"a": part(0), "b": part(20)}, 10).values())
