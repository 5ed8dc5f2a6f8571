"""Fixtures for every test: a real PostGIS, migrated once per run, a real browser, the folder of shared real files."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa

from cim.city import City
from cim.db.cluster import ensure_running, status, stop
from cim.db.engine import Database
from cim.db.logstore import LogStore
from cim.db.parcels import add_up_parcels
from cim.errors import DatabaseError
from cim.log.publisher import Publisher
from cim.log.sequencer import sequence
from cim.scenarios._indicator import numbers
from cim.settings import Settings
from ingest import Options, ingest, mapping
from sample_data import DATA, MAPPINGS

SHARED = Path(__file__).resolve().parents[2] / "shared"
PATIENCE = 300
"""Seconds after which what a test waits for will not come: no test depends on how fast the machine is."""

# The same examples each time, however long they take; `--hypothesis-profile=default` looks for others.
hypothesis.settings.load_profile("ci")


def spacious() -> Path:
    """Memory where there is enough, as a disk takes milliseconds to sync a file, a busy one seconds; else a disk."""
    memory = Path("/dev/shm")
    fits = memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30 and os.access(memory, os.W_OK)
    return memory if fits else Path("/tmp")


def pytest_configure() -> None:
    """Have the folders of tests there; pyproject.toml lets those of tests that passed go at once."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(spacious()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that none of them is what one worker is left with at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/notebooks/", "tests/sample_data/")))


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object], str], None]:
    """Wait until something is so: `until(condition, what it would mean if it never came)`."""

    def wait(happened: Callable[[], object], otherwise: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def queue() -> Callable[[sa.Connection], list[int]]:
    """Give the process numbers of the sessions that wait for a lock that this connection's session holds."""
    asked = sa.text(
        "SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )

    def waiting(holder: sa.Connection) -> list[int]:
        return list(holder.execute(asked).scalars())

    return waiting


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
        stop(settings)
        ensure_running(settings)
    yield sa.make_url(url).update_query_dict({"connect_timeout": str(PATIENCE)})
    if (process := status(settings).pid) is not None:
        os.kill(process, signal.SIGQUIT)  # at once: nobody reads again what a shutdown would write out
        stop(settings)
    shutil.rmtree(home)


def _hurry(url: str) -> None:
    """Let the server, from its next start, leave writing out to the system, and take little memory.

    No test pulls the plug, and killed processes lose nothing. There is a server for each worker: with an eighth of the
    memory each, many processors would bring the system to kill one.
    """
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
        connection.exec_driver_sql("ALTER SYSTEM SET max_wal_size = '8GB'")
        # A transaction that no test knows of would hold back the log and change plans, now and then.
        connection.exec_driver_sql("ALTER SYSTEM SET autovacuum = off")
        connection.exec_driver_sql("ALTER SYSTEM SET shared_buffers = '256MB'")
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
        size = sequence(LogStore(connection), publisher, 60.0).size
        add_up_parcels(connection)
        return size


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


@pytest.fixture(scope="session")
def absent() -> Callable[[str], None]:
    """Skip because a tool is not there; in CI that is a failure."""

    def tell(tool: str) -> None:
        reason = f"{tool} is not installed: run `tools/setup.sh test`"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    return tell


# ---------------------------------------------------------------- the browser


class Browser:
    """Chromium without a window, spoken to over its DevTools pipe: JSON messages that end in NUL.

    Source
    ------
    https://chromedevtools.github.io/devtools-protocol/
    """

    def __init__(self, program: str, profile: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        arguments = [
            program, "--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}",
            "--use-angle=swiftshader", "--enable-unsafe-swiftshader",  # draws WebGL where no graphics card is
            "--disable-dev-shm-usage", "--no-first-run", "--window-size=900,1400",
        ]  # fmt: skip
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # Chromium's sandbox refuses to start as root
        # Chromium reads commands on descriptor 3 and writes answers on 4.
        self._pid = os.posix_spawnp(
            "sh",
            ["sh", "-c", 'exec "$@" 2>/dev/null', "sh", *arguments],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, commands, 13),
                (os.POSIX_SPAWN_DUP2, answers, 14),
                (os.POSIX_SPAWN_DUP2, 13, 3),
                (os.POSIX_SPAWN_DUP2, 14, 4),
            ],
        )
        os.close(commands)
        os.close(answers)
        self._buffer, self._last, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer; what the page reports meanwhile goes to `events`."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") != self._last:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            else:
                return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._answers], [], [], PATIENCE)[0]:
                raise RuntimeError(f"the browser said nothing for {PATIENCE} seconds")
            data = os.read(self._answers, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def open(self, url: str) -> None:
        """Load a page and wait for it."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self._loaded()

    def leave(self, script: str) -> None:
        """Run JavaScript that has a page loaded, and wait for it."""
        self.events.clear()
        self.run(script)
        self._loaded()

    def _loaded(self) -> None:
        # The answer may come while the page before is still there, so that its readiness would say nothing.
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def run(self, script: str) -> Any:
        """Run JavaScript in the page, wait for what it promises, and return its value."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def close(self) -> None:
        self._session = ""
        self.call("Browser.close")
        os.waitpid(self._pid, 0)
        os.close(self._commands)
        os.close(self._answers)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory, absent: Callable[[str], None]) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        absent("Chromium")
    browser = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def adds_up() -> Callable[[Mapping[str, Any]], None]:
    """Hold every number of a result explained whole to the contributions that it is opened into, exactly."""

    def check(result: Mapping[str, Any]) -> None:
        opened = {line["at"]: line for line in result["why"]}
        places = dict(numbers({name: part for name, part in result.items() if name != "why"}))
        assert opened.keys() == places.keys()
        for at, line in opened.items():
            assert line["formula"]
            _assert_adds_up(at, places[at], line)

    return check


def _assert_adds_up(at: str, number: Mapping[str, Any], line: Mapping[str, Any]) -> None:
    """Compare a number with the contributions it is opened into."""
    sums = [side for side in (line["num"], line["den"]) if side is not None]
    for term in (term for side in sums for term in side["terms"]):
        assert term["type"], at
        assert term["code"], at
        assert term["leaf"] is None or term["leaf"] >= 0, at
    num, *dens = (sum((Fraction(str(t["contribution"] or 0)) for t in side["terms"]), Fraction(0)) for side in sums)
    if number["value"] is None:
        open_ones = [t for side in sums for t in side["terms"] if t["contribution"] is None]
        assert open_ones or dens == [0] or number.get("suppressed"), at
    elif not dens:
        assert line["factor"] * num == Fraction(str(number["value"])), at
    else:
        value = line["factor"] * num / dens[0]
        assert round(value, 6) == Fraction(str(number["value"])), at  # Python rounds fractions half to even
        if "num" in number:
            assert value == Fraction(number["num"], number["den"]), at
