"""Do the damage for real, as a superuser or in the files, and see the audit name object, revision and leaf."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.logstore import LogStore
from cim.log.audit import audit
from cim.log.publisher import Publisher
from cim.log.sequencer import sequence

# A copy of the stored entry with one letter changed.
FORGED = "convert_to(replace(convert_from(entry, 'UTF8'), '\"甲\"', '\"乙\"'), 'UTF8')"


@pytest.fixture
def publisher(database: Database) -> Publisher:
    settings = database.settings
    publisher = Publisher(settings.log_dir, settings.keys_dir, settings.origin)
    run(
        database,
        "INSERT INTO city.building (code, name) SELECT 'b' || i, '甲' FROM generate_series(1, 300) i",
    )
    run(database, "UPDATE city.building SET height = 3 WHERE code = 'b7'")
    with database.engine.connect() as connection:
        sequence(LogStore(connection), publisher, 20)
    return publisher


def run(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def findings(database: Database, publisher: Publisher) -> Iterator[str]:
    with database.engine.connect() as connection:
        report = audit(LogStore(connection), publisher)
    assert report.ok is (report.findings == [])
    return [str(finding) for finding in report.findings]


def unlocked(table: str, statement: str) -> tuple[str, ...]:
    """A statement with the table's triggers off, as only a superuser or the owner can."""
    return (f"ALTER TABLE {table} DISABLE TRIGGER ALL", statement)


def test_an_unharmed_log_has_no_findings(database: Database, publisher: Publisher) -> None:
    assert findings(database, publisher) == []


def test_numbers_that_jsonb_prints_otherwise_than_columns_are_no_findings(
    database: Database, publisher: Publisher
) -> None:
    run(
        database,
        "INSERT INTO city.building (code, name, height, attributes, valid_from)"
        """ VALUES ('odd', E'"\\\\\n楼', 1e-7, '{"b": [1.50, 1e3], "a": null}', '2020-02-29')""",
    )
    with database.engine.connect() as connection:
        sequence(LogStore(connection), publisher, 20)
        body = connection.execute(sa.text("SELECT body FROM city.building_live() WHERE code = 'odd'")).scalar_one()
    assert '"height": 1e-07' in body  # jsonb prints 0.0000001
    assert findings(database, publisher) == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (
            "UPDATE city.building SET name = '乙' WHERE code = 'b7'",
            "building b7, revision 2: the row's attributes differ",
        ),
        (
            "UPDATE city.building SET geom = ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))', 4548) "
            "WHERE code = 'b7'",
            "building b7, revision 2: the row's geometry differs",
        ),
        ("DELETE FROM city.building WHERE code = 'b7'", "building b7, revision 2: the row is gone"),
        (
            "INSERT INTO city.building (code, rev) VALUES ('ghost', 1)",
            "building ghost, revision 1: the row was never",
        ),
        (
            "UPDATE city.building SET rev = 9 WHERE code = 'b7'",
            "building b7, revision 2: the row carries another",
        ),
        ("TRUNCATE city.building", "building b7, revision 2: the row is gone"),
    ],
)
def test_a_row_changed_behind_the_triggers(
    database: Database, publisher: Publisher, statement: str, problem: str
) -> None:
    run(database, *unlocked("city.building", statement))
    assert any(finding.startswith(problem) for finding in findings(database, publisher))


def test_an_edited_revision(database: Database, publisher: Publisher) -> None:
    run(
        database,
        *unlocked("cim.revision", "UPDATE cim.revision SET actor = 'someone else' WHERE code = 'b7' AND rev = 1"),
    )
    assert findings(database, publisher) == ["building b7, revision 1, leaf 7: the revision is not what the entry says"]


@pytest.mark.parametrize(
    ("table", "key", "twin"),
    [
        (
            "cim.leaf",
            "leaf_pkey",
            "INSERT INTO cim.leaf (idx, revision_id, entry, hash) "
            "SELECT idx, revision_id, entry, hash FROM cim.leaf WHERE idx = 8",
        ),
        (
            "cim.revision",
            "revision_pkey",
            "INSERT INTO cim.revision OVERRIDING SYSTEM VALUE "
            "SELECT (jsonb_populate_record(r, '{\"code\": \"b400\"}')).* FROM cim.revision r WHERE code = 'b8'",
        ),
    ],
)
def test_a_leaf_or_revision_that_is_there_twice(
    database: Database, publisher: Publisher, table: str, key: str, twin: str
) -> None:
    """As only the owner of the tables can have it."""
    run(
        database,
        "ALTER TABLE cim.leaf DROP CONSTRAINT leaf_revision",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
        f"ALTER TABLE {table} DROP CONSTRAINT {key} CASCADE",
        twin,
    )
    told = "revision 1, leaf 8: the leaf, or the revision it stands for, is there twice"
    assert any(finding.endswith(told) for finding in findings(database, publisher))


def test_an_edited_entry(database: Database, publisher: Publisher) -> None:
    run(database, *unlocked("cim.leaf", f"UPDATE cim.leaf SET entry = {FORGED} WHERE idx = 7"))
    found = findings(database, publisher)
    assert any("leaf 7: the stored entry does not hash" in finding for finding in found)


def test_entry_and_leaf_hash_rewritten_together(database: Database, publisher: Publisher) -> None:
    run(
        database,
        *unlocked(
            "cim.leaf",
            f"UPDATE cim.leaf SET entry = {FORGED}, hash = sha256('\\x00'::bytea || {FORGED}) WHERE idx = 7",
        ),
    )
    found = "\n".join(findings(database, publisher))
    assert "leaf 7: the revision is not what the entry says" in found
    assert "leaf 7: the published tile has another leaf hash" in found
    assert "the root of the stored leaves is not the root stored" in found


def test_what_is_spelt_in_any_way_is_no_finding(database: Database, publisher: Publisher) -> None:
    """Statements of all kinds in one batch, and leaves whose revisions lie far apart and not in their order."""
    odd = {
        "actor": '"\\\n\x01\x7f楼\U0001f600',
        "reason": "a\tb",
        "attributes": '{"\U0001f600": 1, "\ue000": [1e300, null]}',
    }
    with database.engine.connect() as early, database.engine.connect() as late:
        early.execute(sa.text("SELECT pg_current_xact_id()"))
        late.execute(sa.text("INSERT INTO city.building (code) VALUES ('late')"))
        early.execute(sa.text("SELECT setval(pg_get_serial_sequence('cim.revision', 'id'), 100000)"))
        early.execute(sa.text("SELECT cim.set_context(:actor, :reason, 'sha256 of none')"), odd)
        early.execute(
            sa.text("INSERT INTO city.building (code, name, attributes) VALUES ('early', :actor, :attributes)"), odd
        )
        early.commit()
        sequence(LogStore(early), publisher)
        late.commit()
    run(database, "DELETE FROM city.building WHERE code = 'b9'")
    run(database, "UPDATE city.building SET geom = ST_GeomFromText('MULTIPOLYGON EMPTY', 4548) WHERE code = 'b8'")
    with database.engine.connect() as connection:
        assert sequence(LogStore(connection), publisher, 20).size == 306
        ids = connection.execute(sa.text("SELECT revision_id FROM cim.leaf ORDER BY idx")).scalars().all()
    assert ids != sorted(ids)
    assert max(ids) > 100_000
    assert findings(database, publisher) == []


@pytest.mark.parametrize(
    "change",
    [
        "at = at + interval '1 microsecond'",
        "op = 'insert'",
        "actor = actor || ' '",
        "reason = ''",
        "dataset = 'sha256:00'",
        "body = body || '{\"height\": 3.00000000000000001}'",
        'body = body || \'{"height": "3"}\'',
        "body = body || '{\"more\": 1}'",
        "body = body - 'name'",
        "body = '{}'",
        "body = NULL",
        "geom = ST_GeomFromText('MULTIPOLYGON EMPTY', 4548)",
        "op = 'erase', erased = '{name}'",
    ],
)
def test_a_revision_edited_ever_so_slightly(database: Database, publisher: Publisher, change: str) -> None:
    run(
        database,
        "ALTER TABLE cim.revision DISABLE TRIGGER ALL",
        f"UPDATE cim.revision SET {change} WHERE code = 'b7' AND rev = 2",
    )
    told = [finding for finding in findings(database, publisher) if "leaf 301" in finding]
    assert len(told) == 1
    assert "the revision is not what the entry says" in told[0] or "cannot be written as an entry" in told[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"body":{', '"body": {'),
        ('{"height":3,"name":"甲"}', '{"name":"甲","height":3}'),
        ('"height":3', '"height":3.0'),
        ('"height":3', '"height":3e0'),
        ('"height":3', '"height":2,"height":3'),
        ('"name":"甲"', '"name":"\\u7532"'),
        ('"name":"甲"', '"name":"甲","usage":null'),
        ('"code":"b7"', '"code":"b8","code":"b7"'),
        ('"prev":7', '"prev":07'),
        (',"v":1}', ',"v":1,"x":1}'),
        (',"v":1}', ',"v":1}\n'),
    ],
)
def test_an_entry_of_the_same_meaning_in_another_spelling(
    database: Database, publisher: Publisher, old: str, new: str
) -> None:
    with database.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE cim.leaf DISABLE TRIGGER ALL"))
        entry = bytes(connection.execute(sa.text("SELECT entry FROM cim.leaf WHERE idx = 301")).scalar_one()).decode()
        assert old in entry
        connection.execute(
            sa.text("UPDATE cim.leaf SET entry = :entry, hash = sha256('\\x00'::bytea || :entry) WHERE idx = 301"),
            {"entry": entry.replace(old, new).encode()},
        )
    told = "building b7, revision 2, leaf 301: the revision is not what the entry says"
    assert told in findings(database, publisher)


@pytest.mark.parametrize("at", ["infinity", "-infinity", "20000-01-01Z", "0044-03-15Z BC"])
def test_a_time_beyond_the_calendar(database: Database, publisher: Publisher, at: str) -> None:
    change = f"UPDATE cim.revision SET at = '{at}' WHERE code = 'b7' AND rev = 1"
    run(database, *unlocked("cim.revision", change))
    found = findings(database, publisher)
    assert "building b7, revision 1, leaf 7: the revision cannot be read" in found
    assert "building b7, revision 1, leaf 7: dated beyond the calendar" in found
    assert len(found) == 2


def test_only_what_differs_is_in_doubt(database: Database, publisher: Publisher) -> None:
    """Else every audit would go over all revisions one by one, with the same findings."""
    run(database, "INSERT INTO city.unit (code, owner_name) VALUES ('u1', '王芳')")
    run(database, "INSERT INTO city.building (code, height, attributes) VALUES ('odd', 1e-7, '{\"b\": [1.50, 1e30]}')")
    with database.engine.connect() as connection:
        store = LogStore(connection)
        size = sequence(store, publisher, 20).size

        def doubtful() -> list[int]:
            return [batch.idx[place] for batch in store.recorded(0, size, 256) for place in batch.doubtful]

        assert doubtful() == []
        run(
            database,
            *unlocked("cim.revision", "UPDATE cim.revision SET actor = '' WHERE code IN ('b7', 'u1') AND rev = 1"),
        )
        assert doubtful() == [7, 302]


def test_a_leaf_cut_off(database: Database, publisher: Publisher) -> None:
    run(database, *unlocked("cim.leaf", "DELETE FROM cim.leaf WHERE idx = 301"))
    found = "\n".join(findings(database, publisher))
    assert "leaf 301: the leaf, or the revision it stands for, is missing" in found
    assert "the sequencer passed it over" in found


def test_a_tail_cut_off_with_its_state(database: Database, publisher: Publisher) -> None:
    """Tree state and leaves agree with each other, but not with what was signed."""
    with database.engine.connect() as connection:
        old = connection.execute(sa.text("SELECT size, root, edge FROM cim.tree_state")).one()
    run(database, "UPDATE city.building SET name = 'late' WHERE code = 'b9'")
    with database.engine.connect() as connection:
        sequence(LogStore(connection), publisher, 20)
    with database.engine.begin() as connection:
        for statement in unlocked("cim.leaf", "DELETE FROM cim.leaf WHERE idx >= 302"):
            connection.execute(sa.text(statement))
        connection.execute(sa.text("UPDATE cim.tree_state SET size = :size, root = :root, edge = :edge"), old._asdict())
    found = "\n".join(findings(database, publisher))
    assert "the signer's last-signed record has size 303, but the log only 302" in found
    assert "the checkpoint has size 303, but the log only 302" in found


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("tile/0/000", "leaf 1: the published tile has another leaf hash"),
        ("tile/entries/000", "published bundle"),
        ("tile/1/000.p/1", "the tiles do not lead to the checkpoint's root"),
        ("checkpoint", "signature"),
    ],
)
def test_a_published_file_damaged(database: Database, publisher: Publisher, name: str, problem: str) -> None:
    path = database.settings.log_dir / name
    if name == "tile/1/000.p/1":
        path.write_bytes(bytes(32))
    else:
        damage(path)
    assert any(problem in finding for finding in findings(database, publisher))


def test_a_private_value_rewritten(database: Database, publisher: Publisher) -> None:
    run(database, "INSERT INTO city.unit (code, owner_name) VALUES ('u1', '王芳')")
    with database.engine.connect() as connection:
        sequence(LogStore(connection), publisher, 20)
    assert findings(database, publisher) == []
    run(database, "UPDATE cim.private_value SET value = '\"李伟\"'")
    found = findings(database, publisher)
    assert "unit u1, revision 1, leaf 302: the revision is not what the entry says" in found
