"""The city made again from its published log and geometry files alone; the log goes on where it stood."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.errors import AuditFailed, CimError, Conflict, InvalidData, InvalidProof, NotFound
from cim.log.signer import VERIFIER
from cim.settings import Settings
from tests.cim.log.conftest import key, rows, run

SQUARE = "ST_GeomFromText('MULTIPOLYGON(((500000 4300000,500010 4300000,500010 4300010,500000 4300000)))', 4548)"
POINT = "ST_GeomFromText('POINT(500001.125 4300002.5)', 4548)"
UNRECORDED = "datasets and rejected records: the log does not hold them"


@pytest.fixture
def city(settings: Settings) -> Iterator[City]:
    """Three batches of writes by two actors; deletions, an object that came back, attributes of every kind."""
    with City(settings) as city:
        run(
            city,
            "SELECT cim.set_context('clerk', '年度 \"更新\"', 'sha256:abc')",
            f"INSERT INTO city.building (code, name, height, has_lift, valid_from, geom, attributes) VALUES "
            f"('b1', '甲', 9.1, true, '1978-05-01', {SQUARE}, '{{\"a\": {{\"b\": [1, null, 2.5]}}, \"x\": 1e-7}}'), "
            f"('b2', '乙', 0.30000000000000004, NULL, NULL, {SQUARE}, NULL)",
        )
        city.sequence()
        run(
            city,
            "UPDATE city.building SET height = 12 WHERE code = 'b1'",
            "DELETE FROM city.building WHERE code = 'b2'",
        )
        run(city, f"INSERT INTO city.facility (code, name, geom) VALUES ('f1', 'school', {POINT})")
        city.sequence()
        run(city, "INSERT INTO city.unit (code, name, owner_name, owner_id) VALUES ('u1', '101', '王芳', 'X-1')")
        run(city, f"INSERT INTO city.building (code, geom) VALUES ('b2', {SQUARE})")
        run(city, f"INSERT INTO city.building (code, geom) SELECT 'c' || i, {SQUARE} FROM generate_series(1, 300) i")
        city.sequence()
        yield city


@pytest.fixture
def again(settings: Settings, clone: Callable[[], str], tmp_path: Path) -> Iterator[City]:
    """A new, empty database of the same name; its home has nothing but what a test puts there."""
    with City(replace(settings, home=tmp_path / "again", database_url=clone())) as city:
        yield city


def take_keys(city: City, again: City) -> None:
    shutil.copytree(city.settings.keys_dir, again.settings.keys_dir)


RECORDED = (
    "SELECT l.idx, l.prev, l.entry, l.hash, r.type, r.code, r.rev, r.op, r.at, r.actor, r.reason, r.dataset, "
    "r.body::text, r.erased, ST_AsEWKB(r.geom) FROM cim.leaf l JOIN cim.revision r ON r.id = l.revision_id ORDER BY idx"
)
STATE = "SELECT size, root, edge FROM cim.tree_state"


def test_the_city_again_and_the_log_goes_on(city: City, again: City, tmp_path: Path) -> None:
    city.export_log(tmp_path / "out", geometry=True)
    take_keys(city, again)
    report = again.replay_log(tmp_path / "out")
    assert (report.size, report.root) == (city.tree_head().size, city.tree_head().root)
    assert {name: count for name, count in report.objects.items() if count} == {
        "building": 302,
        "facility": 1,
        "unit": 1,
    }
    assert report.losses() == [
        "1 values of unit.owner_id, which is private",
        "1 values of unit.owner_name, which is private",
        UNRECORDED,
    ]
    for same in (RECORDED, STATE, "TABLE city.building ORDER BY code", "TABLE city.facility"):
        assert rows(again, same) == rows(city, same)
    assert rows(again, "SELECT code, rev, name, owner_name FROM city.unit") == [("u1", 1, "101", None)]
    assert again.checkpoint() == city.checkpoint()
    assert [str(finding) for finding in again.audit().findings] == [
        "unit u1, revision 1, leaf 6: the value of owner_id is not there, and no erasure was recorded",
        "unit u1, revision 1, leaf 6: the value of owner_name is not there, and no erasure was recorded",
    ]
    before = again.checkpoint()
    again.erase("u1", ["owner_name", "owner_id"], reason="lost with the database")
    run(again, "UPDATE city.building SET height = 15 WHERE code = 'b1'")
    assert again.sequence().size == report.size + 2
    assert again.get("b1").rev == 3
    assert again.audit().ok
    assert again.tree_head(before).size == report.size


def test_every_change_to_the_replayed_city_is_captured(city: City, again: City, tmp_path: Path) -> None:
    city.export_log(tmp_path / "out", geometry=True)
    again.replay_log(tmp_path / "out", verifier=key(city))
    triggers = (
        "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger "
        "WHERE NOT tgisinternal AND tgrelid::regclass::text ~ '^(city|cim)' ORDER BY 1, 2"
    )
    assert rows(again, triggers) == rows(city, triggers)
    assert {row[2] for row in rows(again, triggers)} == {"A"}
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        run(again, "DELETE FROM cim.revision")


def test_what_it_cannot_restore_it_says(city: City, again: City, tmp_path: Path) -> None:
    city.export_log(tmp_path / "out", geometry=True)
    files = sorted((tmp_path / "out" / "geometry").rglob("*.wkb"))
    assert len(files) == 2  # the square, shared by all buildings, and the point
    point = next(path for path in files if len(path.read_bytes()) == 21)
    square = next(path for path in files if path != point)
    point.unlink()
    square.write_bytes(square.read_bytes()[:-1] + b"\0")
    report = again.replay_log(tmp_path / "out", verifier=key(city))
    assert ("facility", "f1", 1, point.stem) in report.geometry
    assert f"the geometry of building b1, revision 2: no file {square.stem}.wkb" in report.losses()
    assert len(report.geometry) == 1 + 2 + 1 + 1 + 300
    assert rows(again, "SELECT geom, name FROM city.building WHERE code = 'b1'") == [(None, "甲")]
    assert rows(again, "SELECT ST_AsEWKT(geom), name FROM city.facility") == [("SRID=4548;POINT EMPTY", "school")]
    take_keys(city, again)
    found = [str(finding) for finding in again.audit().findings]
    assert f"facility f1, revision 1, leaf 5: its geometry, SHA-256 {point.stem}, is not there" in found


def test_after_an_erasure_nothing_private_is_lost(city: City, again: City, tmp_path: Path) -> None:
    city.erase("u1", reason="asked")
    city.sequence()
    city.export_log(tmp_path / "out", geometry=True)
    take_keys(city, again)
    assert again.replay_log(tmp_path / "out").losses() == [UNRECORDED]
    assert again.audit().ok


def test_the_states_between_are_there_again(city: City, again: City, tmp_path: Path) -> None:
    city.export_log(tmp_path / "out", geometry=True)
    again.replay_log(tmp_path / "out", verifier=key(city))
    for size in (1, 3, 4, 5, 6, 100):
        statement = f"SELECT * FROM city.building_at({size}) ORDER BY code"
        assert rows(again, statement) == rows(city, statement)
    heads = "SELECT size, root FROM cim.tree_head ORDER BY size"
    assert rows(again, heads) == rows(city, heads)


def flip(path: Path, place: int = 40) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "error", "problem"),
    [
        (lambda out: flip(out / "tile/entries/000"), AuditFailed, "entry of leaf 0 does not hash"),
        (lambda out: flip(out / "tile/0/000"), AuditFailed, "entry of leaf 1 does not hash"),
        (lambda out: (out / "tile/1/000.p/1").write_bytes(bytes(32)), AuditFailed, "do not lead to the signed root"),
        (lambda out: shutil.rmtree(out / "tile/entries"), NotFound, "does not reach so far"),
        (lambda out: flip(out / "checkpoint", 25), InvalidProof, "signature"),
        (lambda out: (out / "checkpoint").unlink(), NotFound, "no checkpoint"),
    ],
)
def test_a_log_that_is_not_whole_is_refused(
    city: City, again: City, tmp_path: Path, damage: Callable[[Path], None], error: type[CimError], problem: str
) -> None:
    city.export_log(tmp_path / "out")
    damage(tmp_path / "out")
    with pytest.raises(error, match=problem):
        again.replay_log(tmp_path / "out", verifier=key(city))
    assert rows(again, "SELECT count(*) FROM cim.leaf") == [(0,)]
    assert not again.settings.log_dir.exists()


def test_an_old_copy_is_refused_by_the_signer(city: City, again: City, tmp_path: Path) -> None:
    city.export_log(tmp_path / "old")
    run(city, "UPDATE city.building SET height = 20 WHERE code = 'b1'")
    city.sequence()
    take_keys(city, again)
    with pytest.raises(Conflict, match=r"size 308, .* last one signed has size 309, .* old copy"):
        again.replay_log(tmp_path / "old")


def test_only_into_a_new_database_and_an_empty_log_folder(city: City, again: City, tmp_path: Path) -> None:
    city.export_log(tmp_path / "out")
    with pytest.raises(Conflict, match="holds revisions already"):
        city.replay_log(city.settings.log_dir)
    run(again, f"INSERT INTO city.building (code, geom) VALUES ('x', {SQUARE})")
    with pytest.raises(Conflict, match="holds revisions already"):
        again.replay_log(tmp_path / "out", verifier=key(city))
    (again.settings.log_dir / "checkpoint").write_text("another\n")
    with pytest.raises(Conflict, match="holds another log"):
        again.replay_log(tmp_path / "out", verifier=key(city))


def test_a_log_of_another_dictionary_is_refused(city: City, again: City, tmp_path: Path) -> None:
    run(
        city,
        "INSERT INTO cim.revision (xid, type, code, rev, op, at, actor, body) VALUES "
        "(pg_current_xact_id(), 'bench', 'x1', 1, 'insert', now(), 'clerk', '{\"seats\": 3}')",
    )
    city.sequence()
    city.export_log(tmp_path / "out")
    with pytest.raises(InvalidData, match="type bench; set CIM_DICTIONARY"):
        again.replay_log(tmp_path / "out", verifier=key(city))
    assert rows(again, "SELECT type, rev FROM cim.revision") == [("schema", 1)]


def test_the_commands(city: City, again: City, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner, app = CliRunner(), build()

    def invoke(of: City, *arguments: str) -> Any:
        monkeypatch.setenv("CIM_HOME", str(of.settings.home))
        monkeypatch.setenv("CIM_DATABASE_URL", str(of.settings.database_url))
        monkeypatch.setenv("CIM_ORIGIN", of.settings.origin)
        return runner.invoke(app, ["log", *arguments])

    out = str(tmp_path / "out")
    assert invoke(city, "export", out, "--geometry").exit_code == 0
    assert isinstance(invoke(again, "replay", out).exception, InvalidData)  # a folder's own key proves nothing
    done = invoke(again, "replay", out, "--key", str(city.settings.keys_dir / VERIFIER), "--json")
    result = json.loads(done.output)
    assert (result["tree_size"], result["objects"]["building"]) == (308, 302)
    assert result["not_restored"][-1].startswith("the signing key")
