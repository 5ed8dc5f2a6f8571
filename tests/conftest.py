"""Fixtures for every test: a real PostGIS, migrated once per run, and the optional folder of shared real files."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cim.city import City
from cim.db.cluster import ensure_running, stop
from cim.db.engine import Database
from cim.db.logstore import LogStore
from cim.errors import DatabaseError
from cim.log.publisher import Publisher
from cim.log.sequencer import sequence
from cim.settings import Settings
from ingest import Options, ingest, mapping
from sample_data import DATA, MAPPINGS

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real files and published vectors that lies beside a checkout; not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared folder beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def server_url() -> Iterator[sa.URL]:
    """A running PostGIS server: CIM_DATABASE_URL, else an embedded cluster made for this run."""
    home = Path(tempfile.mkdtemp(prefix="cim-test-"))
    home.chmod(0o755)  # run by root, the server's user must be able to enter it, unlike pytest's own folders
    settings = Settings(home=home, database_url=os.environ.get("CIM_DATABASE_URL"))
    try:
        url = ensure_running(settings)
    except DatabaseError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostGIS: {error}")
    if settings.database_url is None:
        _hurry(url)
    yield sa.make_url(url)
    if settings.database_url is None:
        stop(settings)
    shutil.rmtree(home)


def _hurry(url: str) -> None:
    """Let the server leave writing out to the system: no test pulls the plug, and killed processes lose nothing."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
        connection.exec_driver_sql("ALTER SYSTEM SET max_wal_size = '8GB'")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    engine.dispose()


@pytest.fixture(scope="session")
def administrator(server_url: sa.URL) -> Iterator[sa.Engine]:
    """Engine on the server's own database, to create and drop others."""
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def template(administrator: sa.Engine, server_url: sa.URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a migrated, empty database that the others are cloned from."""
    name = f"cim_template_{uuid.uuid4().hex[:8]}"
    with administrator.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    url = server_url.set(database=name).render_as_string(hide_password=False)
    Database(Settings(home=tmp_path_factory.mktemp("template"), database_url=url)).dispose()
    yield name
    with administrator.connect() as connection:
        connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def clone(administrator: sa.Engine, server_url: sa.URL, template: str) -> Iterator[Callable[[], str]]:
    """Make databases of one's own, migrated and empty, and answer their URLs; dropped at the end of the run."""
    names: list[str] = []

    def make() -> str:
        names.append(f"cim_test_{uuid.uuid4().hex[:8]}")
        with administrator.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{names[-1]}" TEMPLATE "{template}"')
        return server_url.set(database=names[-1]).render_as_string(hide_password=False)

    yield make
    if "CIM_DATABASE_URL" not in os.environ:
        return  # the server goes as a whole, sooner than the checkpoints that dropping each of them takes
    with administrator.connect() as connection:
        for name in names:
            connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def settings(clone: Callable[[], str], tmp_path: Path) -> Settings:
    """Settings of a deployment of one's own: an empty database, log, keys and files."""
    return Settings(home=tmp_path / "home", database_url=clone(), origin="example.org/test")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """An empty, migrated database that the test may commit to."""
    database = Database(replace(settings))
    yield database
    database.dispose()


Records = Mapping[str, Sequence[Mapping[str, Any]]]


def insert(database: Database, objects: Records) -> None:
    """Commit records by feature type, `geom` as WKT in the storage CRS; the log does not have them yet."""
    with database.engine.begin() as connection:
        for type_name, records in objects.items():
            table = database.table(type_name)
            for record in records:
                values = dict(record)
                if "geom" in values:
                    geom = sa.func.ST_GeomFromText(values["geom"], database.settings.srid)
                    multi = table.c.geom.type.geometry_type.startswith("MULTI")
                    values["geom"] = sa.func.ST_Multi(geom) if multi else geom
                connection.execute(sa.insert(table).values(**values))


def sequence_all(database: Database) -> int:
    """Give every committed revision its leaf, publish, and return the tree size."""
    settings = database.settings
    with database.engine.connect() as connection:
        publisher = Publisher(settings.log_dir, settings.keys_dir, settings.origin)
        return sequence(LogStore(connection), publisher, 60.0).size


@pytest.fixture(scope="session")
def put() -> Callable[[Database, Records], int]:
    """Commit records by feature type (`geom` as WKT) to a database and log them; answers the tree size."""

    def commit(database: Database, objects: Records) -> int:
        insert(database, objects)
        return sequence_all(database)

    return commit


@pytest.fixture(scope="session")
def log() -> Callable[[Database], int]:
    """Give every committed revision its leaf, publish, and answer the tree size."""
    return sequence_all


@pytest.fixture
def sample_city(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Load the sample district, make it the city that `cim.connect()` opens, and answer with its CIM_ variables."""
    with City(settings) as city:
        mappings = mapping.load([MAPPINGS], city.database.dictionary)
        report = ingest(city.database, [DATA], Options(mappings=mappings))
        assert [(file.path, file.error) for file in report.files if file.error] == []
        city.sequence(60.0)
    assert settings.database_url is not None
    variables = {
        "CIM_DATABASE_URL": settings.database_url,
        "CIM_HOME": str(settings.home),
        "CIM_ORIGIN": settings.origin,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # A proxy that nothing listens at: whatever reached for the network would fail.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return variables
