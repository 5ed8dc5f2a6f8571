"""Files over the workers of a Dask scheduler, on this machine or others, with the same result as one after the other.

As with processes of our own (`ingest.fanout`), files are read, prepared and staged side by side, and see or change
objects of the city in turn. Dask gives the file of a worker that died to another one, until its scheduler has had
enough (`distributed.scheduler.allowed-failures`).

A worker needs the same version of this package, the database, and the files, the file store and the home folder under
the names they have here.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from cim.db.engine import Database, told
from cim.errors import CimError, DatabaseError, InvalidData
from cim.settings import Settings
from ingest.fanout import Started, Take
from ingest.report import FileReport
from ingest.sources import Source, repeated
from ingest.turns import Turns, wait_for_turn

if TYPE_CHECKING:
    from distributed import Client, Future

# Seconds to wait for a scheduler that does not answer.
_PATIENCE = 5


def take_over(
    address: str, database: Database, sources: Sequence[Source], take: Take, started: Started
) -> list[FileReport]:
    """Take files on the workers of the scheduler at `address` and return their reports, in the order of the files.

    The other parameters are those of `ingest.fanout.fan_out`. As many files are under way as the workers have threads.

    Raises
    ------
    InvalidData : `distributed` is not installed, there is no scheduler or it has no workers, or a worker cannot do it.
    DatabaseError : the database is lost; what is reported done is in.
    """
    settings = replace(database.settings, database_url=database.url)
    repeats = repeated(sources)
    with _connected(address) as client, Turns(database.engine) as turns, _mark(settings.home, turns.run) as mark:
        slots = sum(client.nthreads().values())
        if not slots:
            raise InvalidData(f"--scheduler {address}: it has no workers; start some: dask worker {address}")
        flying: deque[Future] = deque()
        reports: list[FileReport] = []
        try:
            for number, source in enumerate(sources):
                started(len(reports), source)
                turns.hold(number)
                given = (settings, take, source, turns.run, number, number in repeats, mark)
                flying.append(client.submit(_take_there, *given, key=f"{turns.run}-{number}", priority=-number))
                if len(flying) == slots:
                    turns.give(len(reports))
                    reports.append(_report(flying.popleft(), sources[len(reports)], address))
            while flying:
                turns.give(len(reports))
                reports.append(_report(flying.popleft(), sources[len(reports)], address))
        finally:
            client.cancel(list(flying))
        return reports


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError as error:
        raise InvalidData("--scheduler needs the package distributed: pip install 'cim[dask]'") from error
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InvalidData(f"--scheduler {address}: nobody answers there as a Dask scheduler: {error}") from error
    with client:
        yield client


@contextmanager
def _mark(home: Path, run: str) -> Iterator[Path]:
    """Leave a file in the home folder by which a worker knows that it has the same one."""
    path = home / f"scheduler-{run}"
    home.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield path
    finally:
        path.unlink()


def _report(future: Future, source: Source, address: str) -> FileReport:
    """Wait for the report of a file."""
    from distributed import KilledWorker

    try:
        report: FileReport = future.result()
    except KilledWorker as error:
        said = f"{source.path}: workers died of it, again and again; nothing of the file is in: try it alone"
        return FileReport(str(source.path), "refused", error=f"{said} ({error.last_worker.address})")
    except CimError:
        raise
    except Exception as error:  # whatever a worker of another version or an unpickler says
        what = f"{type(error).__name__}: {error}"
        raise InvalidData(f"--scheduler {address}: its workers cannot take {source.path}: {what}") from error
    return report


def _take_there(
    settings: Settings, take: Take, source: Source, run: str, number: int, repeats: bool, mark: Path
) -> FileReport:
    """Take a file in, on a worker."""
    host = socket.gethostname()
    if not mark.exists():
        raise InvalidData(f"worker on {host}: does not have the home folder {settings.home}; share it, or set CIM_HOME")
    try:
        database = Database(settings)
    except DatabaseError as error:
        raise DatabaseError(
            f"worker on {host}: {error}; name a server all workers reach in CIM_DATABASE_URL"
        ) from error
    try:
        turn = _Turn()
        if repeats:
            turn.give(_wait(database, run, number))
        with ThreadPoolExecutor(1) as thread:
            report = thread.submit(take, database, source, turn)
            report.add_done_callback(lambda _: turn.asked.set())
            turn.asked.wait()
            if not (report.done() or turn.come.is_set()):
                turn.give(_wait(database, run, number))
            return report.result()
    finally:
        database.dispose()


def _wait(database: Database, run: str, number: int) -> CimError | None:
    """Wait for the turn of a file; return why it will not come."""
    from distributed import secede

    # Another task may begin on this thread meanwhile: it could be of the file waited for, whose worker died.
    secede()
    try:
        with told(), database.engine.begin() as connection:
            wait_for_turn(connection, run, number)
    except CimError as error:
        return error
    return None


class _Turn:
    """The turn of one file, asked for by the thread that takes it and waited for by the one that Dask gave it."""

    def __init__(self) -> None:
        self.asked, self.come = Event(), Event()
        self._error: CimError | None = None

    def give(self, error: CimError | None) -> None:
        """Let the file go on, or fail."""
        self._error = error
        self.come.set()

    def __call__(self) -> None:
        self.asked.set()
        self.come.wait()
        if self._error is not None:
            raise self._error
