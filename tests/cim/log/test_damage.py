"""Rows of the threat table that need more than one hand: a rewritten log, back-dating, old copies, a wrong order."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.errors import Conflict, InvalidProof
from cim.log.audit_record import LAST_CLEAN
from cim.log.checkpoint import Checkpoint, open_checkpoint
from cim.log.folder import LogFolder
from cim.log.signer import LAST_SIGNED, LogSigner
from cim.log.tree import CompactRange
from cim.log.verify import verify_proof
from cim.settings import Settings
from tests.cim.log.conftest import key, run


@pytest.fixture
def city(settings: Settings) -> Iterator[City]:
    """300 buildings, of which b7 was changed once; the dictionary's entry is leaf 0."""
    with City(settings) as city:
        run(city, "INSERT INTO city.building (code, name) SELECT 'b' || i, '甲' FROM generate_series(1, 300) i")
        city.sequence()
        run(city, "UPDATE city.building SET height = 3 WHERE code = 'b7'")
        assert city.sequence().size == 302
        yield city


def off(table: str) -> str:
    return f"ALTER TABLE {table} DISABLE TRIGGER ALL"


def findings(city: City, *, full: bool = True) -> list[str]:
    return [str(finding) for finding in city.audit(full=full).findings]


def rewrite_everything(city: City) -> None:
    """As one who has the database, the folder and the signing key: make b7 another's from the start, and sign that."""
    with city.database.engine.begin() as connection:
        entries = [bytes(e) for e in connection.execute(sa.text("SELECT entry FROM cim.leaf ORDER BY idx")).scalars()]
    for index in (7, 301):
        entries[index] = entries[index].replace("甲".encode(), "乙".encode())
    hashes = [sha256(b"\0" + entry).digest() for entry in entries]
    run(city, off("city.building"), off("cim.revision"), off("cim.leaf"))
    run(city, "UPDATE city.building SET name = '乙' WHERE code = 'b7'")
    run(city, "UPDATE cim.revision SET body = jsonb_set(body, '{name}', '\"乙\"') WHERE code = 'b7'")
    for index in (7, 301):
        run(
            city, "UPDATE cim.leaf SET entry = :e, hash = :h WHERE idx = :i", e=entries[index], h=hashes[index], i=index
        )
    for size in (301, 302):
        tree = CompactRange()
        tree.append(hashes[:size])
        run(city, "UPDATE cim.tree_head SET root = :root WHERE size = :size", root=tree.root(), size=size)
    run(city, "UPDATE cim.tree_state SET root = :root, edge = :edge", root=tree.root(), edge=tree.to_bytes())
    shutil.rmtree(city.settings.log_dir)
    record = Checkpoint(city.settings.origin, 302, tree.root())
    (city.settings.keys_dir / LAST_SIGNED).write_text(record.to_text(), encoding="utf-8")
    del city.publisher
    city.rebuild_log()


def test_all_rewritten_and_signed_again_an_old_proof_refuses(city: City, tmp_path: Path, monkeypatch: Any) -> None:
    proof, checkpoint = city.proof("b7"), city.checkpoint()
    other = city.proof("b9", as_of=301)
    rewrite_everything(city)
    assert findings(city) == []  # nothing inside the deployment tells
    assert verify_proof(proof, key(city)).entry["body"]["name"] == "甲"  # the citizen's word against it
    with pytest.raises(InvalidProof, match="its root differs"):
        city.get("b7", as_of=checkpoint)
    monkeypatch.setenv("CIM_HOME", str(city.settings.home))
    for name, text in {"b7": proof, "b9": other}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert CliRunner().invoke(build(), ["log", "verify", str(tmp_path / name)]).exit_code == 0
        against = ["log", "verify", str(tmp_path / name), "--log", str(city.settings.log_dir)]
        refused = CliRunner().invoke(build(), against).exception
        assert isinstance(refused, InvalidProof)
        assert "together they show that the log was rewritten" in str(refused)


def test_an_old_proof_holds_against_the_log_grown(city: City, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "b7").write_text(city.proof("b7"), encoding="utf-8")
    run(city, "UPDATE city.building SET height = 4")
    city.sequence()
    monkeypatch.setenv("CIM_HOME", str(city.settings.home))
    against = ["log", "verify", str(tmp_path / "b7"), "--log", str(city.settings.log_dir), "--json"]
    assert json.loads(CliRunner().invoke(build(), against).output)["index"] == 301


def test_the_signer_does_not_sign_the_rewritten_log(city: City) -> None:
    record = city.settings.keys_dir / LAST_SIGNED
    before = record.read_bytes()
    rewrite_everything(city)
    record.write_bytes(before)
    assert any("last-signed record of size 302 has another root" in finding for finding in findings(city))
    run(city, "UPDATE city.building SET height = 4 WHERE code = 'b8'")
    run(city, "ALTER TABLE cim.leaf ENABLE ALWAYS TRIGGER append_only")
    run(city, "INSERT INTO city.facility (code, geom) VALUES ('f1', ST_GeomFromText('POINT(500001 4300001)', 4548))")
    with pytest.raises(Conflict, match="refusing to sign"):
        city.sequence()


@pytest.fixture
def second(settings: Settings, clone: Callable[[], str], tmp_path: Path) -> Iterator[City]:
    """Another deployment by the same name, with a city of its own; its keys folder is for the test to make."""
    with City(replace(settings, home=tmp_path / "second", database_url=clone())) as second:
        run(second, "INSERT INTO city.building (code, name) SELECT 'b' || i, '乙' FROM generate_series(1, 400) i")
        yield second


@pytest.mark.parametrize("copied", [False, True])
def test_a_second_deployment_gets_nothing_signed_by_a_key_in_use(city: City, second: City, copied: bool) -> None:
    keys = city.settings.keys_dir
    second.settings.home.mkdir(exist_ok=True)
    if copied:
        shutil.copytree(keys, second.settings.keys_dir)
    else:
        second.settings.keys_dir.symlink_to(keys)
    for _ in range(2):
        with pytest.raises(Conflict, match="second deployment uses the same key"):
            second.sequence()
    assert second.publisher.published().size == 0
    found = findings(second)
    assert "the signer's last-signed record of size 302 has another root than the stored leaves" in found
    run(city, "UPDATE city.building SET height = 4 WHERE code = 'b7'")
    assert city.sequence().size == 303
    assert findings(city) == []


def test_two_histories_signed_by_a_key_copied_before_its_first_use(settings: Settings, second: City) -> None:
    """No signer can know of the other; who holds a checkpoint of one is not taken in by the other."""
    LogSigner(second.settings.keys_dir, settings.origin)
    shutil.copytree(second.settings.keys_dir, settings.keys_dir)
    with City(settings) as first:
        run(first, "INSERT INTO city.building (code, name) SELECT 'b' || i, '甲' FROM generate_series(1, 300) i")
        assert (first.sequence().size, second.sequence().size) == (301, 401)
        assert (findings(first), findings(second)) == ([], [])
        verifier = first.publisher.signer.verifier
        held = open_checkpoint(first.checkpoint(), [verifier])
        with pytest.raises(InvalidProof, match="together they show that the log was rewritten"):
            LogFolder(second.settings.log_dir, verifier).check_extends(held)


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        ("2001-01-01Z", "building old, revision 1, leaf 302: back-dated to 2001-01-01"),
        ("2101-01-01Z", "building old, revision 1, leaf 302: post-dated to 2101-01-01"),
    ],
)
def test_an_entry_dated_otherwise_is_bounded_by_the_heads_around_it(city: City, at: str, problem: str) -> None:
    run(
        city,
        off("city.building"),
        "INSERT INTO city.building (code, rev) VALUES ('old', 1)",
        "INSERT INTO cim.revision (xid, type, code, rev, op, at, actor, body) "
        f"VALUES (pg_current_xact_id(), 'building', 'old', 1, 'insert', '{at}', 'clerk', '{{}}')",
    )
    city.sequence()
    found = findings(city)
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_an_old_copy_of_the_folder_is_noticed_and_brought_up_to_date(city: City, tmp_path: Path) -> None:
    folder = city.settings.log_dir
    shutil.copytree(folder, tmp_path / "old")
    run(city, "UPDATE city.building SET height = 4 WHERE code = 'b8'")
    city.sequence()
    now = (folder / "checkpoint").read_bytes()
    shutil.rmtree(folder)
    (tmp_path / "old").rename(folder)
    assert [f for f in findings(city) if "the checkpoint has size 302, but size 303 was signed" in f]
    city.sequence()
    assert (folder / "checkpoint").read_bytes() == now
    assert findings(city) == []


def test_a_revision_passed_over_is_counted(city: City) -> None:
    run(city, "INSERT INTO city.building (code) VALUES ('late')")
    run(city, "UPDATE cim.tree_state SET xid_floor = pg_snapshot_xmax(pg_current_snapshot())")
    city.sequence()
    assert findings(city) == ["building late, revision 1: the sequencer passed it over"]


def test_a_dump_restored_where_fewer_transactions_were_counted_is_told(city: City) -> None:
    """By its own count the log would hold all of them, and so pass over every new revision."""
    floor = "UPDATE cim.tree_state SET xid_floor = ({})::text::xid8"
    run(city, floor.format("pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000000"))
    run(city, "INSERT INTO city.building (code) VALUES ('new')")
    with pytest.raises(Conflict, match="restored from a dump into a server that has counted fewer transactions"):
        city.sequence()
    assert "building new, revision 1: the sequencer passed it over" in findings(city)
    run(city, floor.format("0"))
    assert city.sequence().size == 303
    assert findings(city) == []


def test_what_reads_of_a_state_rely_on_is_held_against_the_leaves(city: City) -> None:
    run(city, off("cim.replaced"), "DELETE FROM cim.replaced")
    replaced = "revision 1: reads of a state are told otherwise than by its leaves what followed it"
    assert findings(city) == [f"building b7, {replaced}"]
    run(city, "INSERT INTO cim.replaced SELECT revision_id, CASE idx WHEN 7 THEN 301 END FROM cim.leaf WHERE idx = 7")
    assert findings(city) == []
    run(city, "INSERT INTO cim.replaced SELECT revision_id, 300 FROM cim.leaf WHERE idx = 9")
    assert findings(city) == [f"building b9, {replaced}"]


def test_a_tree_head_that_counts_too_much_to_its_tree(city: City) -> None:
    run(city, off("cim.tree_head"), "UPDATE cim.tree_head SET xid_floor = (SELECT xid_floor FROM cim.tree_state)")
    assert findings(city) == [
        "schema v1, revision 1, leaf 0: reads of a state take it to be among 0 leaves",
        "building b7, revision 2, leaf 301: reads of a state take it to be among 301 leaves",
    ]


def test_an_object_out_of_order(city: City) -> None:
    """The leaves of b7's two revisions exchanged, entries and hashes with them."""
    run(
        city,
        off("cim.leaf"),
        "CREATE TABLE public.pair AS SELECT idx, revision_id FROM cim.leaf WHERE idx IN (7, 301)",
        "DELETE FROM cim.leaf WHERE idx IN (7, 301)",
        "INSERT INTO cim.leaf SELECT p.idx, q.revision_id, NULL, '\\x7b7d', sha256('\\x007b7d') "
        "FROM public.pair p JOIN public.pair q ON p.idx <> q.idx",
    )
    found = "\n".join(findings(city))
    assert "building b7, revision 2, leaf 7: expected revision 1 with predecessor leaf None, got 2 with None" in found
    assert "building b7, revision 1, leaf 301: expected revision 3 with predecessor leaf 7, got 1 with None" in found


def test_a_revisions_geometry_edited_with_its_row(city: City) -> None:
    shape = "ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))', 4548)"
    run(city, off("city.building"), off("cim.revision"))
    run(city, f"UPDATE city.building SET geom = {shape} WHERE code = 'b7'")
    run(city, f"UPDATE cim.revision SET geom = {shape} WHERE code = 'b7' AND rev = 2")
    assert findings(city) == ["building b7, revision 2, leaf 301: the revision is not what the entry says"]


# ---------------------------------------------------------------- from the last clean audit on


def test_an_audit_goes_on_from_the_last_clean_one(city: City) -> None:
    seen: list[tuple[int, int]] = []
    assert city.audit(full=False).first == 0
    run(
        city,
        "UPDATE city.building SET height = 5 WHERE code IN ('b7', 'b8')",
        "DELETE FROM city.building WHERE code = 'b8'",
    )
    city.sequence()
    report = city.audit(full=False, progress=lambda done, total: seen.append((done, total)))
    assert (report.ok, report.first, report.size) == (True, 302, 305)
    assert seen == [(305, 305)]
    assert city.audit(full=False).first == 305


def test_what_it_does_not_look_at_again_the_full_audit_does(city: City) -> None:
    city.audit()
    run(city, off("cim.revision"), "UPDATE cim.revision SET actor = 'x' WHERE code = 'b9'")
    assert findings(city, full=False) == []
    assert findings(city) == ["building b9, revision 1, leaf 9: the revision is not what the entry says"]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE cim.revision SET actor = 'x' WHERE code = 'b7' AND rev = 3", "leaf 302: the revision is not"),
        ("UPDATE cim.leaf SET prev = 8 WHERE idx = 302", "expected revision 3 with predecessor leaf 301, got 3 with 8"),
        ("DELETE FROM cim.leaf WHERE idx = 302", "leaf 302: the leaf, or the revision it stands for, is missing"),
        ("UPDATE city.building SET name = 'x' WHERE code = 'b9'", "building b9, revision 1: the row's attributes"),
        ("DELETE FROM cim.leaf WHERE idx >= 300", "302: the leaf, or"),
    ],
)
def test_damage_since_is_found_and_not_remembered_as_clean(city: City, statement: str, problem: str) -> None:
    city.audit()
    run(city, "UPDATE city.building SET height = 5 WHERE code = 'b7'")
    city.sequence()
    run(city, off("cim.revision"), off("cim.leaf"), off("city.building"), statement)
    for _ in range(2):
        assert problem in "\n".join(findings(city, full=False))


def test_a_log_cut_below_the_last_clean_audit(city: City) -> None:
    city.audit()
    tree = CompactRange()
    with city.database.engine.connect() as connection:
        tree.append(
            bytes(h)
            for h in connection.execute(sa.text("SELECT hash FROM cim.leaf WHERE idx < 300 ORDER BY idx")).scalars()
        )
    run(city, off("cim.leaf"), "DELETE FROM cim.leaf WHERE idx >= 300")
    run(city, "UPDATE cim.tree_state SET size = 300, root = :r, edge = :e", r=tree.root(), e=tree.to_bytes())
    assert "the last clean audit saw 302 leaves, but the log has only 300: its tail was cut" in findings(
        city, full=False
    )


@pytest.mark.parametrize(
    "text", ["", "{}", '{"origin": "example.org/test", "size": 302, "root": "00", "tree": "00"}', "[]"]
)
def test_a_record_that_cannot_be_trusted_means_a_full_audit(city: City, text: str) -> None:
    city.audit()
    (city.settings.home / "audit" / LAST_CLEAN).write_text(text)
    assert city.audit(full=False).first == 0


def test_a_record_of_another_history_is_a_finding(city: City) -> None:
    """The log was rewritten after the audit: it does not extend what the audit saw."""
    city.audit()
    rewrite_everything(city)
    assert findings(city, full=False) != []
