"""Real clusters in folders of their own, other system users, and a PostgreSQL that lacks PostGIS."""

from __future__ import annotations

import contextlib
import os
import pickle
import pwd
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
import sqlalchemy as sa

from cim.db import cluster
from cim.db.embedded.binaries import find_binaries
from cim.db.embedded.place import existing
from cim.errors import DatabaseError
from cim.settings import Settings
from tests.conftest import spacious

Result = TypeVar("Result")


@pytest.fixture(scope="session")
def installed() -> Path:
    """The programs' folder of a PostgreSQL with PostGIS; without one a skip, in CI a failure."""
    try:
        return find_binaries().folder
    except DatabaseError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own; its clusters are stopped and removed."""
    path = Path(tempfile.mkdtemp(prefix="t-", dir=spacious()))
    path.chmod(0o755)
    try:
        yield path
    finally:
        for lock in path.glob("**/cluster.lock"):
            discard(lock.parent)
        end_servers_below(path)
        shutil.rmtree(path)


def end_servers_below(path: Path) -> None:
    """Kill what a failed test may have left: a server nobody can stop any more, or a child of it."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_server = (process / "exe").readlink().name == "postgres"
            if is_server and (process / "cwd").readlink().is_relative_to(path):
                os.kill(int(process.name), signal.SIGKILL)


def discard(home: Path) -> None:
    """Stop the cluster of a home and remove what it keeps outside."""
    with contextlib.suppress(DatabaseError):  # a test may have left a home that is refused
        cluster.stop(Settings(home=home))
        place = existing(home)
        if place is not None and not place.base.is_relative_to(home):
            shutil.rmtree(place.base)


@pytest.fixture
def roomy(installed: Path) -> Iterator[Path]:
    """A folder for homes."""
    with folder() as path:
        yield path


@pytest.fixture
def embedded(roomy: Path) -> Settings:
    """Settings of an embedded cluster that does not exist yet."""
    return Settings(home=roomy / "home")


@pytest.fixture(scope="module")
def running(installed: Path) -> Iterator[Settings]:
    """A running cluster for the tests that only look; they leave it running."""
    with folder() as path:
        settings = Settings(home=path / "home")
        cluster.ensure_running(settings)
        yield settings


@pytest.fixture
def closed(installed: Path) -> Iterator[Settings]:
    """Settings of a home like root's own: no other user can enter the folder above it."""
    with folder() as path:
        path.chmod(0o700)
        yield Settings(home=path / "home")


@pytest.fixture(scope="session")
def connect() -> Callable[[str], psycopg.Connection[tuple[object, ...]]]:
    """Open a connection to a SQLAlchemy URL."""
    return _connect


@pytest.fixture(scope="session")
def ask() -> Callable[[str, str], object]:
    """Run SQL at a SQLAlchemy URL and answer the first value of its last statement."""
    return _ask


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    parsed = sa.make_url(url)
    _, arguments = parsed.get_dialect()().create_connect_args(parsed)
    return psycopg.connect(**arguments, autocommit=True)


def _ask(url: str, sql: str) -> object:
    with _connect(url) as connection:
        cursor = connection.execute(sql.encode())
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def as_user() -> Callable[[str, Callable[[], Result]], Result]:
    """Call a function in a child process that runs as another user; its error is raised here."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return _as_user


def _as_user(name: str, function: Callable[[], Result]) -> Result:
    user = pwd.getpwnam(name)
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about threads, of which none holds a lock here
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            answer: tuple[bool, object] = (True, function())
        except BaseException as error:
            answer = (False, error)
        with os.fdopen(writable, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        done, result = pickle.load(pipe)
    os.waitpid(child, 0)
    if not done:
        raise result
    return result  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def without_postgis(installed: Path) -> Iterator[Path]:
    """The programs of a PostgreSQL that is complete but for PostGIS.

    PostgreSQL finds its files relative to its programs, so copies of those beside a thinned tree do.
    """
    version = installed.parent.name
    share = Path("/usr/share/postgresql") / version
    if installed != Path(f"/usr/lib/postgresql/{version}/bin") or not share.is_dir():
        pytest.skip("needs the folders of Debian's packages to copy them")
    with folder() as root:
        programs = root / "lib" / "postgresql" / version / "bin"
        programs.mkdir(parents=True)
        for name in ("postgres", "initdb", "pg_ctl", "pg_config"):
            shutil.copy2(installed / name, programs / name)
        (programs.parent / "lib").symlink_to(installed.parent / "lib")
        thinned = root / "share" / "postgresql" / version
        (thinned / "extension").mkdir(parents=True)
        for entry in share.iterdir():
            if entry.name != "extension":
                (thinned / entry.name).symlink_to(entry)
        for entry in (share / "extension").iterdir():
            if not entry.name.startswith("postgis"):
                (thinned / "extension" / entry.name).symlink_to(entry)
        yield programs
