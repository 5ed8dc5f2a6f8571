"""A full disk, a real one: under the log, under the keys, under the database. An error that says so, nothing lost."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.db.cluster import stop
from cim.db.embedded.place import existing
from cim.db.engine import told
from cim.errors import CimError, DatabaseError
from cim.settings import Settings

Until = Callable[[Callable[[], object], str], None]

MB = 1 << 20


class Disk:
    """A file system of its own, that can be filled to the last block and emptied again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as file:
            for size in (MB, 4096):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def make_room(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the server's account can enter, unlike pytest's own; asked for before what is mounted in it."""
    folder = Path(tempfile.mkdtemp(prefix="cim-disk-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def mount() -> Iterator[Callable[[Path, int], Disk]]:
    """Mount a file system of so many bytes on a folder, made when missing."""
    mounted: list[Path] = []

    def at(folder: Path, size: int) -> Disk:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = f"no file system can be mounted here: {done.stderr.strip()}"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        mounted.append(folder)
        return Disk(folder)

    yield at
    for folder in reversed(mounted):
        subprocess.run(["umount", str(folder)], check=True)


def insert(city: City, name: str, count: int, filling: int = 0) -> None:
    statement = (
        "INSERT INTO city.building (code, attributes) SELECT :name || i, "
        "jsonb_build_object('t', (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, :filling) j)) "
        "FROM generate_series(1, :count) i"
    )
    with city.database.engine.begin() as connection:
        connection.execute(sa.text(statement), {"name": name, "count": count, "filling": filling})


@pytest.mark.parametrize("place", ["log", "keys"])
def test_a_full_disk_under_the_log_or_the_keys(
    settings: Settings, mount: Callable[[Path, int], Disk], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    disk = mount(settings.home / place, MB)
    monkeypatch.setenv("CIM_HOME", str(settings.home))
    monkeypatch.setenv("CIM_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("CIM_ORIGIN", settings.origin)
    with City(settings) as city:
        insert(city, "a", 300)
        size, before = city.sequence().size, city.checkpoint()
        insert(city, "b", 300)
        disk.fill()
        with pytest.raises(CimError, match="No space left on device") as told:
            city.sequence()
        assert f"{disk.folder} cannot be written" in str(told.value)
        assert isinstance(CliRunner().invoke(build(), ["log", "checkpoint"]).exception, CimError)
        assert city.checkpoint() == before
        assert len(city.features("building")) == 600
        disk.make_room()
        head = city.sequence()
        assert (head.size, city.publisher.published().size) == (size + 300, size + 300)
        assert city.publisher.published().root == head.root
        assert city.audit().ok


@pytest.fixture
def small_database(
    administrator: sa.Engine, server_url: sa.URL, template: str, open_folder: Path, mount: Callable[[Path, int], Disk]
) -> Iterator[tuple[str, Disk]]:
    """A migrated database whose tables lie on a file system of its own, with 30 MB to spare."""
    with administrator.connect() as connection:
        data = Path(str(connection.exec_driver_sql("SHOW data_directory").scalar_one()))
        needed = int(connection.exec_driver_sql(f"SELECT pg_database_size('{template}')").scalar_one())
    if not data.is_dir():
        pytest.skip("the server's disk is another machine's")
    disk = mount(open_folder / "disk", needed + 30 * MB)
    (disk.folder / "tables").mkdir(0o700)
    os.chown(disk.folder / "tables", data.stat().st_uid, data.stat().st_gid)
    name = f"cim_small_{uuid.uuid4().hex[:8]}"
    with administrator.connect() as connection:
        connection.exec_driver_sql(f"CREATE TABLESPACE {name} LOCATION '{disk.folder}/tables'")
        connection.exec_driver_sql(f'CREATE DATABASE {name} TEMPLATE "{template}" TABLESPACE {name}')
    yield server_url.set(database=name).render_as_string(hide_password=False), disk
    with administrator.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        connection.exec_driver_sql(f"DROP TABLESPACE {name}")


def test_a_full_disk_under_the_database(settings: Settings, small_database: tuple[str, Disk]) -> None:
    url, disk = small_database
    with City(replace(settings, database_url=url)) as city:
        insert(city, "a", 300)
        size, before = city.sequence().size, city.checkpoint()
        insert(city, "b", 300, filling=100)  # 3 kB each, to be written again as entries
        disk.fill()
        with pytest.raises(DatabaseError, match="No space left on device") as told:
            city.sequence()
        assert "free some" in str(told.value)
        with pytest.raises(sa.exc.OperationalError, match="No space left on device"):
            insert(city, "c", 3000, filling=100)
        assert (city.checkpoint(), city.tree_head().size, city.lag().revisions) == (before, size, 300)
        assert len(city.features("building", properties=["name"])) == 600
        disk.make_room()
        assert city.sequence().size == size + 300
        insert(city, "c", 300, filling=100)
        assert city.sequence().size == size + 600
        assert city.audit().ok
        assert city.lag().revisions == 0


@pytest.fixture
def little_wal(open_folder: Path, mount: Callable[[Path, int], Disk]) -> Iterator[tuple[Settings, Disk]]:
    """An embedded server whose write-ahead log lies on a file system of its own, with room for three segments."""
    settings = Settings(home=open_folder / "home", origin="example.org/test")
    City(settings).close()
    place = existing(settings.home)
    assert place is not None
    wal, aside = place.data / "pg_wal", place.data / "pg_wal.aside"
    owner = wal.stat()
    stop(settings)
    wal.rename(aside)
    disk = mount(wal, 50 * MB)
    os.chown(wal, owner.st_uid, owner.st_gid)
    wal.chmod(0o700)
    subprocess.run(["cp", "-a", f"{aside}/.", str(wal)], check=True)
    yield settings, disk
    stop(settings)


def overfill(city: City) -> None:
    with told():
        for number in range(20):
            insert(city, f"c{number}-", 1000, filling=100)


def recovered(settings: Settings, until: Until) -> City:
    """The city as soon as its server has recovered."""
    opened: list[City] = []

    def is_there() -> bool:
        with suppress(DatabaseError):
            opened.append(City(settings))
        return bool(opened)

    until(is_there, "the server did not recover")
    return opened.pop()


@pytest.mark.slow
def test_a_full_disk_under_the_write_ahead_log(little_wal: tuple[Settings, Disk], until: Until) -> None:
    """PostgreSQL ends all sessions and recovers when there is room; what was committed is there."""
    settings, disk = little_wal
    with City(settings) as city:
        insert(city, "a", 300)
        size, before = city.sequence().size, city.checkpoint()
        insert(city, "b", 300, filling=100)
        disk.fill()
        with pytest.raises(DatabaseError, match="run again"):
            overfill(city)
    disk.make_room()
    with recovered(settings, until) as city:
        assert city.checkpoint() == before
        with city.database.engine.connect() as connection:
            count = "SELECT count(*), count(*) FILTER (WHERE code ^@ 'b') FROM city.building"
            stored, second = connection.execute(sa.text(count)).one()
        assert second == 300
        assert city.lag().revisions == stored - 300
        assert city.sequence().size == size + stored - 300
        assert city.audit().ok
