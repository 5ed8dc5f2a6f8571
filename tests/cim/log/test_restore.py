"""A dump by pg_dump, restored by pg_restore as an operator would: beside the log folder it is of, or a newer one."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from cim.city import City
from cim.cli import main
from cim.db.embedded.binaries import find_binaries
from cim.db.server import libpq_uri
from cim.errors import Conflict, DatabaseError
from cim.settings import Settings

Restore = Callable[[], City]


@pytest.fixture(scope="module")
def tool(absent: Callable[[str], None]) -> Callable[..., None]:
    """Run a program of PostgreSQL's client package."""
    try:
        binaries = find_binaries()
    except DatabaseError as error:
        absent(str(error))

    def run(name: str, *arguments: str) -> None:
        done = subprocess.run([binaries.program(name), *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    return run


def write(city: City, *statements: str) -> int:
    """Write, give it its leaves, and return the tree size."""
    with city.database.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    return city.sequence().size


@pytest.fixture
def city(settings: Settings) -> Iterator[City]:
    """300 buildings, one of them with a shape, and a unit with an owner; the dictionary's entry is leaf 0."""
    with City(settings) as city:
        size = write(
            city,
            "INSERT INTO city.building (code, name) SELECT 'b' || i, '甲' FROM generate_series(1, 300) i",
            "INSERT INTO city.unit (code, owner_name) VALUES ('u1', '王芳')",
            "UPDATE city.building SET geom = ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))', 4548) "
            "WHERE code = 'b7'",
        )
        assert size == 303
        yield city


@pytest.fixture
def dumped(
    city: City, tool: Callable[..., None], administrator: sa.Engine, server_url: sa.URL, tmp_path: Path
) -> Iterator[Restore]:
    """Dump the city now; answer what restores it into a new database, opened with the folders that are there then."""
    dump = str(tmp_path / "city.dump")
    url = libpq_uri(city.database.engine.url.difference_update_query(["connect_timeout"]))
    tool("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={url}")
    name, opened = f"cim_restored_{uuid.uuid4().hex[:8]}", list[City]()

    def restore() -> City:
        with administrator.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE template0')
        restored = server_url.set(database=name)
        tool("pg_restore", "--exit-on-error", f"--dbname={libpq_uri(restored)}", dump)
        opened.append(City(replace(city.settings, database_url=restored.render_as_string(hide_password=False))))
        return opened[0]

    yield restore
    for restored in opened:
        restored.close()
    with administrator.connect() as connection:
        connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def test_a_dump_of_now_goes_on_as_if_nothing_had_been(city: City, dumped: Restore) -> None:
    proof = city.proof("b7")
    restored = dumped()
    assert [str(finding) for finding in restored.audit(full=True).findings] == []
    assert restored.proof("b7") == proof
    assert write(restored, "UPDATE city.building SET height = 3 WHERE code = 'b7'") == 304
    assert restored.audit(full=True).ok


def test_an_older_dump_is_told_with_each_object_revision_and_leaf_that_it_lacks(
    city: City, dumped: Restore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for code in ("b7", "b9"):
        write(city, f"UPDATE city.building SET height = 3 WHERE code = '{code}'")
    assert write(city, "DELETE FROM city.building WHERE code = 'b9'") == 306
    held = city.checkpoint()
    restored = dumped()
    assert restored.settings.database_url is not None
    for name, value in {
        "HOME": restored.settings.home,
        "DATABASE_URL": restored.settings.database_url,
        "ORIGIN": restored.settings.origin,
    }.items():
        monkeypatch.setenv(f"CIM_{name}", str(value))
    cut = "has size 306, but the log only 303: its tail was cut, or a backup restored"
    for arguments in ([], ["--full"]):
        monkeypatch.setattr(sys, "argv", ["cim", "log", "audit", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr().out.splitlines()
        assert ended.value.code == 7
        assert printed[:5] == [
            f"the signer's last-signed record {cut}",
            f"the checkpoint {cut}",
            "building b7, revision 3, leaf 303: published, but the database has no such leaf",
            "building b9, revision 2, leaf 304: published, but the database has no such leaf",
            "building b9, revision 3, leaf 305: published, but the database has no such leaf",
        ]
        assert printed[5].split() == ["ok", "False"]
    # Another history may not grow over what was published, even where it would become longer: it gets no leaf.
    for change in ("4 WHERE code = 'b8'", "5 WHERE code IN ('b1', 'b2', 'b3', 'b4')"):
        with pytest.raises(Conflict, match="restored from an older backup"):
            write(restored, f"UPDATE city.building SET height = {change}")
        assert restored.tree_head().size == 303
    assert restored.checkpoint() == held
    assert not restored.audit().ok
