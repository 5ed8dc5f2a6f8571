"""A sealed result is recomputed: it holds, it holds no longer, or it never did."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.db.engine import Database
from cim.scenarios import canonical, run
from cim.settings import Settings

DISTRICT = "RD-TEST-01"
P1, P2 = "130629001001GB00001", "130629001001GB00002"
LAND = "POLYGON((500000 4320000,500100 4320000,500100 4320100,500000 4320100,500000 4320000))"
INPUTS: dict[str, Any] = {"scope": DISTRICT, "reference_date": "2026-06-30"}


def verify(database: Database, document: dict[str, Any]) -> dict[str, Any]:
    # As it comes back from a file.
    answer = run(database, "verify-assessment", {"document": json.loads(canonical(document))})
    assert answer["assessment"]["tree_size"] >= 1
    return dict(answer["result"])


def failed(result: dict[str, Any]) -> set[str]:
    return {check["check"] for check in result["checks"] if not check["passed"]}


def set_floor_area(database: Database, number: int, value: float) -> None:
    table = database.table("building")
    with database.engine.begin() as connection:
        code = f"{P1}F{number:04d}0000"
        connection.execute(sa.update(table).where(table.c.code == code).values(gross_floor_area=value))


@pytest.mark.parametrize("scenario_id", ["district-inventory", "density-indicators"])
def test_what_was_computed_is_valid(unchanging: Database, scenario_id: str) -> None:
    result = verify(unchanging, run(unchanging, scenario_id, INPUTS))
    assert (result["status"], failed(result)) == ("valid", set())
    assert (result["changes"], result["differences"]) == ([], [])


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("result", "gfa_above", "value"), 2000.0, {"result_hash"}),
        (("coverage", "building", "members"), 1, {"result_hash"}),
        (("assessment", "root"), "00" * 32, {"root"}),
        (("assessment", "tree_size"), 3, {"root", "inputs.as_of"}),
        (("assessment", "tree_size"), 10**6, {"root", "inputs.as_of"}),
        (("assessment", "origin"), "elsewhere.org", {"origin"}),
        (("assessment", "inputs", "scope"), [P1], {"inputs_hash"}),
        (("assessment", "as_of"), "2001-01-01T00:00:00.000000Z", {"assessment"}),
        (("assessment", "read_set", "leaves"), [[1, 9]], {"assessment"}),
        (("assessment", "read_set", "sha256"), "00" * 32, {"read_set", "assessment"}),
    ],
)
def test_what_was_altered_is_invalid(
    unchanging: Database, path: tuple[str, ...], value: Any, expected: set[str]
) -> None:
    document = copy.deepcopy(run(unchanging, "district-inventory", INPUTS))
    *way, last = path
    part = document
    for name in way:
        part = part[name]
    part[last] = value
    result = verify(unchanging, document)
    assert (result["status"], failed(result)) == ("invalid", expected)


@pytest.mark.parametrize(("version", "status"), [("1.2.0", "valid"), ("1.1.0", "undecided")])
def test_a_comparison_of_an_earlier_version_still_verifies(unchanging: Database, version: str, status: str) -> None:
    gone = {"name": "a", "interventions": [{"target": f"{P1}F00010000", "action": "demolish"}]}
    document = run(unchanging, "evaluate-proposal", {**INPUTS, "scope": [P2], "proposals": [gone]})
    assert document["coverage"].pop("targets_outside") == [f"{P1}F00010000"]  # which 1.2.0 did not say
    sealed = document["assessment"]
    sealed["process"]["version"] = version
    answer = canonical({name: document[name] for name in ("result", "coverage")})
    sealed["result_hash"] = hashlib.sha256(answer).hexdigest()
    assert verify(unchanging, document)["status"] == status


def test_a_result_of_other_rules_is_undecided(unchanging: Database) -> None:
    document = copy.deepcopy(run(unchanging, "district-inventory", INPUTS))
    document["assessment"]["rule_pack"]["sha256"] = "ab" * 32
    result = verify(unchanging, document)
    assert (result["status"], failed(result)) == ("undecided", {"rule_pack", "assessment"})


def test_the_pack_it_is_compared_with_is_sealed_as_well(database: Database, put: Callable[..., int]) -> None:
    """Another second pack could make another comparison: its digest is in the seal, and altering either is told."""
    put(database, {"renewal_district": [{"code": DISTRICT, "geom": LAND}]})
    document = run(database, "check-constraints", INPUTS | {"compare_with": "cn-renewal", "rules": ["R4"]})
    sealed = document["assessment"]
    assert sealed["compared_with"] == sealed["rule_pack"]
    assert verify(database, document)["status"] == "valid"
    other = copy.deepcopy(document)
    other["assessment"]["compared_with"]["sha256"] = "ab" * 32
    result = verify(database, other)
    assert (result["status"], failed(result)) == ("undecided", {"compared_with", "assessment"})
    other["assessment"]["compared_with"] = None
    result = verify(database, other)
    assert (result["status"], failed(result)) == ("invalid", {"inputs.compare_with"})


def test_it_is_stale_when_what_it_read_has_changed(
    city: Database, put: Callable[..., int], building: Any, box: Any
) -> None:
    document = run(city, "district-inventory", INPUTS)
    size = document["assessment"]["tree_size"]
    put(city, {"building": [building(42, box(300, 300, 10, 10), gross_floor_area=200.0)]})
    assert verify(city, document)["status"] == "valid"  # that one stands elsewhere
    set_floor_area(city, 1, 400.0)
    with city.engine.begin() as connection:
        table = city.table("building")
        connection.execute(sa.delete(table).where(table.c.code == f"{P1}F00070000"))
    put(city, {"building": [building(8, box(60, 60, 10, 10), gross_floor_area=100.0, status="in_use")]})
    result = verify(city, document)
    assert (result["status"], failed(result)) == ("stale", set())
    # The dictionary is leaf 0, the district 1, parcels 2 and 3, buildings 4 to 10; after them the new revisions.
    assert result["changes"] == [
        _change(1, "superseded", 4, size + 1),
        _change(7, "gone", 10, size + 2),
        _change(8, "new", None, size + 3),
    ]
    gfa = next(d for d in result["differences"] if d["at"] == "/gfa_above")
    # 360 is 400 now, and 100 more stand there; the share of buildings 2 and 3 that lies inside is as it was.
    assert gfa["now"] - gfa["sealed"] == 140.0
    assert gfa["unit"] == "m2"


def _change(number: int, change: str, leaf: int | None, superseded_by: int) -> dict[str, Any]:
    code = f"{P1}F{number:04d}0000"
    return {"type": "building", "code": code, "change": change, "leaf": leaf, "superseded_by": superseded_by}


def test_a_number_that_is_opened_may_be_gone_today(city: Database, put: Callable[..., int]) -> None:
    """The building that was explained is deleted: the numbers are others, and nothing is left of its own to open."""
    explain = [f"/objects/{P1}F00010000/n"]
    document = run(city, "district-inventory", INPUTS | {"list_objects": True, "explain": explain})
    with city.engine.begin() as connection:
        table = city.table("building")
        connection.execute(sa.delete(table).where(table.c.code == f"{P1}F00010000"))
    put(city, {})
    result = verify(city, document)
    assert (result["status"], [c["change"] for c in result["changes"]]) == ("stale", ["gone"])
    sealed = document["result"]["n"]["value"]
    assert {"at": "/n", "unit": "{building}", "sealed": sealed, "now": sealed - 1} in result["differences"]


def test_a_new_boundary_makes_it_stale(city: Database, put: Callable[..., int], box: Any) -> None:
    document = run(city, "density-indicators", INPUTS)
    districts = city.table("renewal_district")
    with city.engine.begin() as connection:
        geom = sa.func.ST_Multi(sa.func.ST_GeomFromText(box(0, 0, 100, 90), city.settings.srid))
        connection.execute(sa.update(districts).values(geom=geom))
    put(city, {})
    result = verify(city, document)
    assert result["status"] == "stale"
    assert [(c["type"], c["change"]) for c in result["changes"]] == [("renewal_district", "superseded")]
    land = next(d for d in result["differences"] if d["at"] == "/gross/land")
    assert (land["sealed"], land["now"]) == (10_000.0, 9_000.0)


def test_a_district_that_is_gone_has_no_numbers_today(city: Database, put: Callable[..., int]) -> None:
    document = run(city, "density-indicators", INPUTS)
    with city.engine.begin() as connection:
        connection.execute(sa.delete(city.table("renewal_district")))
    put(city, {})
    result = verify(city, document)
    assert (result["status"], result["differences"]) == ("stale", None)
    assert [(c["type"], c["change"]) for c in result["changes"]] == [("renewal_district", "gone")]


def test_somebody_else_verifies_it_on_a_city_made_again_from_the_published_log(
    city: Database, clone: Callable[[], str], tmp_path: Path
) -> None:
    document = run(city, "density-indicators", INPUTS)
    owner = City(city.settings)
    owner.sequence()
    owner.export_log(tmp_path / "published", geometry=True)
    key = owner.publisher.signer.verifier.to_text()
    owner.close()
    settings = Settings(home=tmp_path / "other", database_url=clone(), origin="example.org/test")
    with City(settings) as other:
        other.replay_log(tmp_path / "published", verifier=key)
        assert verify(other.database, document)["status"] == "valid"


def test_the_command_says_so_and_ends_with_its_code(
    city: Database, put: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIM_HOME", str(city.settings.home))
    monkeypatch.setenv("CIM_DATABASE_URL", str(city.settings.database_url))
    monkeypatch.setenv("CIM_ORIGIN", city.settings.origin)
    file = tmp_path / "assessment.json"
    app = build()
    ran = CliRunner().invoke(app, ["scenario", "run", "district-inventory", f"scope={DISTRICT}"])
    file.write_text(ran.stdout, encoding="utf-8")
    held = CliRunner().invoke(app, ["scenario", "verify", str(file)])
    assert (held.exit_code, held.stdout) == (0, "valid\n")
    set_floor_area(city, 1, 400.0)
    stale = CliRunner().invoke(app, ["scenario", "verify", str(file)])
    assert stale.exit_code == 6
    assert stale.stdout.startswith("stale\n")
    assert f"{P1}F00010000" in stale.stdout
    file.write_text(ran.stdout.replace('"members": 6', '"members": 5'), encoding="utf-8")
    altered = CliRunner().invoke(app, ["scenario", "verify", str(file), "--json"])
    assert altered.exit_code == 3
    assert json.loads(altered.stdout)["status"] == "invalid"
    file.write_text("{}", encoding="utf-8")
    assert CliRunner().invoke(app, ["scenario", "verify", str(file)]).exit_code != 0
