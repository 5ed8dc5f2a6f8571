"""The server ends a session in the middle of a long command: an error of ours, and the command can be run again."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from cim.city import City
from cim.errors import DatabaseError
from cim.settings import Settings

Until = Callable[[Callable[[], object], str], None]
Queue = Callable[[sa.Connection], list[int]]
EndedAt = Callable[[City, str], AbstractContextManager[None]]


@pytest.fixture
def city(settings: Settings) -> Iterator[City]:
    with City(settings) as city:
        with city.database.engine.begin() as connection:
            connection.execute(
                sa.text("INSERT INTO city.building (code) SELECT 'b' || i FROM generate_series(1, 300) i")
            )
        city.sequence()
        yield city


@pytest.fixture
def ended_at(until: Until, queue: Queue) -> EndedAt:
    """Lock a table, and end the session that comes to wait for it."""

    @contextmanager
    def lock(city: City, table: str) -> Iterator[None]:
        engine = sa.create_engine(city.database.url, poolclass=sa.NullPool)
        with engine.connect() as holder:
            holder.execute(sa.text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            over = threading.Event()

            def end() -> None:
                until(lambda: over.is_set() or queue(holder), f"nobody came to {table}")
                for waiting in queue(holder):
                    holder.execute(sa.select(sa.func.pg_terminate_backend(waiting)))

            ending = threading.Thread(target=end)
            ending.start()
            try:
                yield
            finally:
                over.set()
                ending.join()
                holder.rollback()

    return lock


@pytest.mark.parametrize("table", ["cim.leaf", "city.building"])
def test_an_audit_that_loses_its_connection(city: City, ended_at: EndedAt, table: str) -> None:
    with ended_at(city, table), pytest.raises(DatabaseError, match=r"gave up: .*and run again"):
        city.audit()
    assert city.audit().ok


@pytest.mark.parametrize("table", ["cim.revision", "cim.tree_state"])
def test_a_sequencer_that_loses_its_connection(city: City, ended_at: EndedAt, table: str) -> None:
    with city.database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE city.building SET height = 3"))
    with ended_at(city, table), pytest.raises(DatabaseError, match=r"gave up: .*and run again"):
        city.sequence()
    assert city.sequence().size == 601
    assert city.audit().ok


def test_a_rebuild_that_loses_its_connection(city: City, ended_at: EndedAt) -> None:
    folder = city.settings.log_dir
    made = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    with ended_at(city, "cim.leaf"), pytest.raises(DatabaseError, match=r"gave up: .*and run again"):
        city.rebuild_log()
    shutil.rmtree(folder, ignore_errors=True)
    city.rebuild_log()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == made


@pytest.mark.parametrize("table", ["cim.revision", "city.building"])
def test_a_replay_that_loses_its_connection(
    city: City, ended_at: EndedAt, settings: Settings, clone: Callable[[], str], tmp_path: Path, table: str
) -> None:
    with City(replace(settings, home=tmp_path / "again", database_url=clone())) as again:
        shutil.copytree(settings.keys_dir, again.settings.keys_dir)
        with ended_at(again, table), pytest.raises(DatabaseError, match=r"gave up: .*and run again"):
            again.replay_log(settings.log_dir)
        assert again.replay_log(settings.log_dir).size == 301
        assert again.audit().ok
