"""The embedded database: PostgreSQL with PostGIS, private to one CIM_HOME.

It is started on demand, left running, and reached through a socket only. Two system accounts may connect: the
one that runs the server, and root. Started by many at once it ends in one server; killed, it recovers on the
next call.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cim.db.embedded import postmaster
from cim.db.embedded.binaries import Binaries, find_binaries
from cim.db.embedded.initialise import DATABASE, ROLE, environment, initialise
from cim.db.embedded.place import Place, abandoned, existing, locked, settle
from cim.db.server import connectable
from cim.errors import DatabaseError
from cim.settings import Settings

# Recovery after a crash replays at most max_wal_size; ten minutes are far beyond that.
START_TIMEOUT = 600
_LOG_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What is known of the embedded server without touching it.

    Attributes
    ----------
    running : it is ready and answers.
    pid : process id of the postmaster; None if it does not run.
    version : major version of PostgreSQL that made the data directory; None before that.
    data_dir : its data directory; None while none is settled.
    socket_dir : folder of its socket, the `host` of libpq; None if it does not run.
    """

    running: bool
    pid: int | None
    version: int | None
    data_dir: Path | None
    socket_dir: Path | None


def ensure_running(settings: Settings, *, search: Iterable[Path] | None = None) -> str:
    """Return the URL of a database with PostGIS; start the embedded server if none is named and it is down.

    Parameters
    ----------
    settings : `database_url` names a server; without it, `home` is that of the embedded one.
    search : folders that may hold PostgreSQL's programs; None for the usual places.

    Returns
    -------
    SQLAlchemy URL `postgresql+psycopg://…`; on the embedded server that of the superuser and database `cim`.

    Raises
    ------
    DatabaseError : the server named is unreachable or unfit, a package is missing, or the embedded server
        cannot be made or started; the message says what to do.
    """
    if settings.database_url is not None:
        return connectable(settings.database_url)
    place = existing(settings.home)
    folder = postmaster.listening(place.data) if place else None
    if folder is None:
        with locked(settings.home) as lock:
            folder = _bring_up(settings.home, lock, search)
    return f"postgresql+psycopg://{ROLE}@/{DATABASE}?host={quote(str(folder), safe='/')}&port={postmaster.PORT}"


def stop(settings: Settings) -> bool:
    """Stop the embedded server; its data stay.

    Returns
    -------
    False if it was not running.

    Raises
    ------
    DatabaseError : it belongs to another account, or does not end.
    """
    place = existing(settings.home)
    if place is None:
        return False
    with locked(settings.home):
        found = postmaster.read(place.data)
        stopped = postmaster.stop(place.data)
        if stopped and found and found.socket_dir and found.socket_dir.parent != place.base:
            postmaster.remove_socket_dir(found.socket_dir)
        return stopped


def status(settings: Settings) -> ClusterStatus:
    """Look at the embedded server; nothing is made or started.

    Raises
    ------
    DatabaseError : it belongs to another account.
    """
    place = existing(settings.home)
    if place is None:
        return ClusterStatus(running=False, pid=None, version=None, data_dir=None, socket_dir=None)
    folder = postmaster.listening(place.data)
    found = postmaster.read(place.data) if folder else None
    return ClusterStatus(
        running=found is not None,
        pid=found.pid if found else None,
        version=_version(place.data),
        data_dir=place.data,
        socket_dir=folder,
    )


def _bring_up(home: Path, lock: int, search: Iterable[Path] | None) -> Path:
    """Make and start what is missing; gives the socket folder. The lock is held."""
    try:
        place = settle(home)
        folder = _once_ready(place)
        if folder is not None:
            return folder
        version = _version(place.data)
        binaries = find_binaries(search, version)
        if version is None:
            for old in abandoned(home, place):
                postmaster.stop(old.data)
            initialise(place, binaries, lock)
        return _start(place, binaries)
    except OSError as error:
        raise DatabaseError(f"cannot start the embedded database of {home}: {error}") from error


def _once_ready(place: Place) -> Path | None:
    """Wait for a server that is on its way up or down; None when none runs.

    One that says it is ready and does not answer has lost its socket, as when a temporary folder was cleared:
    it is stopped, since nobody can reach it any more.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while (found := postmaster.alive(place.data)) is not None:
        if found.ready:
            folder = postmaster.listening(place.data)
            if folder is not None:
                return folder
            postmaster.stop(place.data)
        elif time.monotonic() > deadline:
            raise DatabaseError(f"the server in {place.data} is not ready after {START_TIMEOUT} s; see {place.log}")
        else:
            time.sleep(0.02)
    return None


def _start(place: Place, binaries: Binaries) -> Path:
    postmaster.clear_remains(place)
    folder = postmaster.socket_dir(place)
    if place.log.exists() and place.log.stat().st_size > _LOG_BYTES:
        place.log.rename(place.log.with_suffix(".log.1"))
    log_start = place.log.stat().st_size if place.log.exists() else 0
    # pg_ctl lets the server go: own session, no descriptor of ours, output to the log. Paths are relative to
    # the base folder because pg_ctl hands them to a shell.
    done = subprocess.run(  # noqa: S603 - our own arguments; the one path among them is quoted
        [
            *(binaries.program("pg_ctl"), "start", "-D", place.data.name, "-l", place.log.name),
            *("-w", "-t", str(START_TIMEOUT), "-s", "-o", _options(folder)),
        ],
        cwd=place.base,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        umask=0o077,
        start_new_session=True,
        **place.account.arguments(),
    )
    if done.returncode:
        said = _tail(place.log, log_start) or done.stderr.strip()
        raise DatabaseError(f"the embedded database in {place.data} does not start; {place.log} says:\n{said}")
    return folder


def _options(folder: Path) -> str:
    """Return the settings nobody may change, as one string for a shell: a private socket, no TCP."""
    elements = str(folder).replace('"', '""')  # the setting is a list; quotes keep a comma in the path
    options = {
        "listen_addresses": "",
        "port": str(postmaster.PORT),
        "unix_socket_directories": f'"{elements}"',
        "unix_socket_permissions": "0700",
    }
    return " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())


def _version(data: Path) -> int | None:
    """Return the major version that made the data directory; None if there is none.

    Raises
    ------
    DatabaseError : there is a folder, but no PostgreSQL data directory.
    """
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii"))
    except FileNotFoundError:
        if not data.exists():
            return None
    except ValueError:
        pass
    raise DatabaseError(f"{data} is not a PostgreSQL data directory; restore it from a backup or move it away")


def _tail(log: Path, start: int) -> str:
    """Return the last lines that the server wrote since `start`."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-12:])
    except FileNotFoundError:
        return ""
