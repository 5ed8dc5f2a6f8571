"""Every committed revision gets one leaf, in its object's order, whoever commits when; `crash` ends it anywhere."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cim.db import logstore
from cim.db.engine import Database
from cim.db.logstore import LogStore
from cim.errors import Conflict
from cim.log.audit import audit
from cim.log.columns import SCHEMA
from cim.log.publisher import Publisher
from cim.log.sequencer import BATCH, sequence
from cim.log.tree import CompactRange

Until = Callable[[Callable[[], object], str], None]


@pytest.fixture
def publisher(database: Database) -> Publisher:
    settings = database.settings
    return Publisher(settings.log_dir, settings.keys_dir, settings.origin)


def run(database: Database, statement: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(sa.text(statement))


def run_sequencer(database: Database, publisher: Publisher, wait: float = 300) -> CompactRange:
    with database.engine.connect() as connection:
        return sequence(LogStore(connection), publisher, wait)


def findings(database: Database, publisher: Publisher) -> list[str]:
    with database.engine.connect() as connection:
        return [str(finding) for finding in audit(LogStore(connection), publisher).findings]


def leaves(database: Database) -> list[tuple[Any, ...]]:
    """(idx, code, rev, prev) of every leaf, in order."""
    with database.engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT l.idx, r.code, r.rev, l.prev FROM cim.leaf l "
                "JOIN cim.revision r ON r.id = l.revision_id ORDER BY l.idx"
            )
        )
        return [tuple(row) for row in rows]


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << ((len(hashes) - 1).bit_length() - 1)
    return sha256(b"\1" + naive_root(hashes[:half]) + naive_root(hashes[half:])).digest()


def test_the_root_is_that_of_the_stored_entries(database: Database, publisher: Publisher) -> None:
    run(database, "INSERT INTO city.building (code) SELECT 'b' || i FROM generate_series(1, 700) i")
    tree = run_sequencer(database, publisher)
    with database.engine.connect() as connection:
        entries = connection.execute(sa.text("SELECT entry FROM cim.leaf ORDER BY idx")).scalars().all()
    assert tree.size == len(entries) == 701  # the dictionary's own entry comes first
    assert tree.root() == naive_root([sha256(b"\0" + bytes(entry)).digest() for entry in entries])
    assert findings(database, publisher) == []


def test_running_twice_gives_the_same_tree(database: Database, publisher: Publisher) -> None:
    run(database, "INSERT INTO city.building (code) VALUES ('b1')")
    first = run_sequencer(database, publisher)
    second = run_sequencer(database, publisher)
    assert (first.size, first.root()) == (second.size, second.root())


def test_predecessors_are_found_within_and_across_batches(database: Database, publisher: Publisher) -> None:
    run(database, "INSERT INTO city.building (code) VALUES ('b1')")
    run(database, "UPDATE city.building SET name = 'x'")
    run_sequencer(database, publisher)
    run(database, "UPDATE city.building SET name = 'y'")
    run_sequencer(database, publisher)
    assert leaves(database)[1:] == [(1, "b1", 1, None), (2, "b1", 2, 1), (3, "b1", 3, 2)]


@pytest.mark.parametrize("few", [0, 256])
def test_predecessors_are_found_in_batches_that_are_not_stored_yet(
    database: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Batches of two, of which the next ones are read while the last ones are stored; read either way."""
    monkeypatch.setattr("cim.log.sequencer.BATCH", 2)
    monkeypatch.setattr(logstore, "_FEW", few)
    run(database, "INSERT INTO city.building (code) VALUES ('b1'), ('b2'), ('b3')")
    for name in range(4):
        run(database, f"UPDATE city.building SET name = '{name}'")
    assert run_sequencer(database, publisher).size == 1 + 15
    chains = {code: [(rev, prev, idx) for idx, c, rev, prev in leaves(database) if c == code] for code in ("b1", "b3")}
    for chain in chains.values():
        assert [rev for rev, _, _ in chain] == [1, 2, 3, 4, 5]
        assert [prev for _, prev, _ in chain] == [None, *(idx for _, _, idx in chain[:-1])]
    assert findings(database, publisher) == []


def test_few_and_many_are_read_alike(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run(database, "INSERT INTO city.unit (code, owner_name) VALUES ('u1', '王'), ('u2', NULL)")
    run(
        database,
        "INSERT INTO city.building (code, name, geom) VALUES "
        "('b1', '楼', ST_Multi(ST_MakeEnvelope(500000, 4300000, 500010, 4300010, 4548))), ('b2', NULL, NULL)",
    )
    run(database, "SET LOCAL cim.reason = 'mended'; UPDATE city.building SET height = 3.5 WHERE code = 'b1'")
    run(database, "DELETE FROM city.building WHERE code = 'b2'")
    run(
        database,
        "INSERT INTO cim.revision (xid, type, code, rev, op, at, actor, erased, superseded) VALUES "
        "(pg_current_xact_id(), 'unit', 'u1', 2, 'erase', now(), 'x', '{owner_name}', NULL), "
        """(pg_current_xact_id(), 'unit', 'u2', 2, 'supersede', now(), 'x', NULL, '{"new": ["u3"]}')""",
    )
    read = []
    for few in (0, 256):
        monkeypatch.setattr(logstore, "_FEW", few)
        with database.engine.connect() as connection:
            (columns,) = LogStore(connection).pending(BATCH)
        assert {name: column.type for name, column in columns.items()} == SCHEMA
        read.append({name: column.to_pylist() for name, column in columns.items()})
    assert read[0] == read[1]
    absent = {name for name, values in read[0].items() if set(map(str, values)) == {"None"}}
    assert absent <= {"dataset", "prev"}
    assert len(read[0]["id"]) == 9


def test_a_late_commit_is_not_lost_and_does_not_hold_the_rest(database: Database, publisher: Publisher) -> None:
    with database.engine.connect() as slow:
        slow.execute(sa.text("INSERT INTO city.building (code) VALUES ('slow')"))
        run(database, "INSERT INTO city.building (code) VALUES ('quick')")
        run_sequencer(database, publisher, wait=0)
        assert "slow" not in {leaf[1] for leaf in leaves(database)}
        slow.commit()
    run_sequencer(database, publisher)
    assert {leaf[1] for leaf in leaves(database)} >= {"slow", "quick"}
    assert findings(database, publisher) == []


def test_an_object_keeps_its_order_when_an_old_transaction_changes_it_last(
    database: Database, publisher: Publisher
) -> None:
    """The old transaction begins first; the young one changes the object and commits; then the old one does.

    Meanwhile a third transaction holds the horizon between the two.
    """
    run(database, "INSERT INTO city.building (code) VALUES ('b1')")
    run_sequencer(database, publisher)
    with database.engine.connect() as old, database.engine.connect() as third:
        old.execute(sa.text("INSERT INTO city.building (code) VALUES ('other')"))
        third.execute(sa.text("INSERT INTO city.building (code) VALUES ('third')"))
        run(database, "UPDATE city.building SET name = 'young' WHERE code = 'b1'")
        old.execute(sa.text("UPDATE city.building SET name = 'old' WHERE code = 'b1'"))
        old.commit()
        run_sequencer(database, publisher, wait=0)
        assert [leaf[2] for leaf in leaves(database) if leaf[1] == "b1"] == [1]
        third.commit()
    run_sequencer(database, publisher)
    chain = [leaf for leaf in leaves(database) if leaf[1] == "b1"]
    assert [leaf[2] for leaf in chain] == [1, 2, 3]
    assert [leaf[3] for leaf in chain[1:]] == [leaf[0] for leaf in chain[:-1]]
    assert findings(database, publisher) == []


def _write_at_random(database: Database, seed: int) -> None:
    """Insert, update, roll back to savepoints, roll back, briefly or at length: on objects shared by all writers."""
    chance = random.Random(seed)
    for _ in range(6):
        with database.engine.connect() as connection:
            for _ in range(chance.randint(1, 4)):
                with connection.begin_nested() as savepoint:
                    connection.execute(
                        sa.text(
                            "INSERT INTO city.building (code, name) VALUES (:code, :name) "
                            "ON CONFLICT (code) DO UPDATE SET name = excluded.name"
                        ),
                        {"code": f"b{chance.randint(1, 9)}", "name": f"{seed}-{chance.random()}"},
                    )
                    if chance.random() < 0.2:
                        savepoint.rollback()
            if seed % 8 < 2:
                connection.execute(sa.text("SELECT pg_sleep(:s)"), {"s": chance.uniform(0.02, 0.2)})
            if chance.random() < 0.15:
                connection.rollback()
            else:
                connection.commit()


# What a run left, though all older transactions had ended before and no earlier revision of the object waits.
HORIZON = sa.text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
LEFT_WITHOUT_CAUSE = sa.text(
    "SELECT r.type, r.code, r.rev FROM cim.revision r WHERE r.xid < CAST(:horizon AS xid8) "
    "AND NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id) "
    "AND NOT EXISTS (SELECT FROM cim.revision e WHERE (e.type, e.code) = (r.type, r.code) AND e.rev < r.rev "
    "AND e.xid >= CAST(:horizon AS xid8))"
)


def test_eight_writers_and_a_sequencer_all_the_time(database: Database, publisher: Publisher, until: Until) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> Callable[[], None]:
        def body() -> None:
            try:
                work()
            except sa.exc.OperationalError as error:
                if "deadlock" not in str(error):  # PostgreSQL ends one of two writers that wait for each other
                    failures.append(error)
            except BaseException as error:
                failures.append(error)

        return body

    def keep_sequencing() -> None:
        while not stop.is_set():
            with database.engine.connect() as connection:
                horizon = connection.execute(HORIZON).scalar_one()
            run_sequencer(database, publisher, wait=0)
            with database.engine.connect() as connection:
                assert connection.execute(LEFT_WITHOUT_CAUSE, {"horizon": horizon}).all() == []

    seen: dict[str, list[int]] = defaultdict(list)

    rounds = [0]

    def keep_reading() -> None:
        while not stop.is_set():
            rounds[0] += 1
            with database.engine.connect() as connection:
                for code, rev in connection.execute(sa.text("SELECT code, rev FROM city.building")):
                    if seen[code][-1:] != [rev]:
                        seen[code].append(rev)

    others = [threading.Thread(target=guarded(work)) for work in (keep_sequencing, keep_reading)]
    for thread in others:
        thread.start()
    for seeds in (range(8), range(8, 16)):
        writers = [threading.Thread(target=guarded(lambda s=s: _write_at_random(database, s))) for s in seeds]
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        written = rounds[0]
        until(lambda w=written: rounds[0] > w + 1 or failures, "the reader has stopped")
    stop.set()
    for thread in others:
        thread.join()
    run_sequencer(database, publisher)
    assert failures == []
    with database.engine.connect() as connection:
        places = sa.text(
            "SELECT (SELECT count(*) FROM cim.leaf l WHERE l.revision_id = r.id) AS leaves, count(*) "
            "FROM cim.revision r GROUP BY 1"
        )
        assert [row.leaves for row in connection.execute(places)] == [1]
    logged: dict[str, list[int]] = defaultdict(list)
    for _, code, rev, _ in leaves(database):
        logged[code].append(rev)
    for code, revs in seen.items():
        assert revs == sorted(set(revs)), "readers saw an object go back"
        assert logged[code] == list(range(1, len(logged[code]) + 1))
        assert set(revs) <= set(logged[code])
    assert sum(map(len, seen.values())) > 9
    assert findings(database, publisher) == []


def test_the_planner_knows_at_once_of_many_leaves_and_that_all_may_see_them(
    database: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logstore, "_MANY", 20)
    known = (  # each leaf has its revision
        "SELECT bool_and(reltuples = (SELECT count(*) FROM cim.leaf) AND pg_stat_get_vacuum_count(oid) = 1) "
        "FROM pg_class WHERE oid IN ('cim.leaf'::regclass, 'cim.revision'::regclass)"
    )

    def add(first: int, last: int) -> bool:
        run(database, f"INSERT INTO city.building (code) SELECT 'b' || i FROM generate_series({first}, {last}) i")
        run_sequencer(database, publisher)
        with database.engine.connect() as connection:
            return bool(connection.execute(sa.text(known)).scalar_one())

    assert not add(1, 9)
    assert add(10, 40)


def test_two_sequencers_wait_for_each_other(database: Database, publisher: Publisher) -> None:
    run(database, "INSERT INTO city.building (code) SELECT 'b' || i FROM generate_series(1, 3000) i")
    trees: list[CompactRange] = []
    threads = [threading.Thread(target=lambda: trees.append(run_sequencer(database, publisher))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(tree.size, tree.root()) for tree in trees} == {(3001, trees[0].root())}
    assert len(leaves(database)) == 3001


def test_a_database_from_an_old_backup_is_not_signed(
    database: Database, publisher: Publisher, administrator: sa.Engine
) -> None:
    run_sequencer(database, publisher)
    database.engine.dispose()
    name = sa.make_url(database.url).database
    backup = f"{name}_backup"
    with administrator.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{backup}" TEMPLATE "{name}"')
    try:
        run(database, "INSERT INTO city.building (code) VALUES ('b1')")
        run_sequencer(database, publisher)
        database.engine.dispose()
        with administrator.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')
            connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE "{backup}"')
        with pytest.raises(Conflict, match="older backup"):
            run_sequencer(database, publisher)
        run(database, "INSERT INTO city.building (code) VALUES ('another history')")
        with pytest.raises(Conflict):
            run_sequencer(database, publisher)
    finally:
        with administrator.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE "{backup}" WITH (FORCE)')


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }


def test_the_published_log_is_rebuilt_byte_for_byte(database: Database, publisher: Publisher) -> None:
    for batch in range(3):
        run(database, f"INSERT INTO city.building (code) SELECT '{batch}_' || i FROM generate_series(1, 200) i")
        run_sequencer(database, publisher)
    before = files(publisher.folder)
    assert {"checkpoint", "tile/0/000", "tile/0/000.p/201", "tile/0/002.p/89"} <= before.keys()
    with database.engine.connect() as connection:
        store = LogStore(connection)
        with pytest.raises(Conflict, match="move it away first"):
            publisher.rebuild(store.heads(), store.hashes, store.entries)
        publisher.folder.rename(publisher.folder.with_name("away"))
        publisher.rebuild(store.heads(), store.hashes, store.entries)
    assert files(publisher.folder) == before
