"""Several files at a time, each in one of several processes, with the same result as one after the other.

Workers read, prepare and stage their files side by side. What sees or changes objects of the city they do in turn, in
the order of the files: a file gets its turn when all before it are in, or refused. So it does not matter which is the
faster.

Each worker has a pipe of its own and is replaced when it dies. Its file is tried once more, as the machine may have
been short of memory, and reported when that fails, too.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from threading import Lock

from cim.db.engine import Database
from cim.errors import CimError, DatabaseError
from cim.frames import leave_pandas_out
from cim.settings import Settings
from ingest.report import FileReport
from ingest.sources import Source, repeated

# A file whose worker died is tried so often in all.
_ATTEMPTS = 2
# What a worker says: it wants its turn, its file is done, the database is lost.
_TURN, _DONE, _LOST = "turn", "done", "lost"

Started = Callable[[int, Source], None]
# Waits until a file may see and change what the files before it did.
Turn = Callable[[], None]
Take = Callable[[Database, Source, Turn], FileReport]


def fan_out(
    database: Database, sources: Sequence[Source], take: Take, workers: int, started: Started
) -> list[FileReport]:
    """Take files in `workers` processes and return their reports, in the order of the files.

    Parameters
    ----------
    sources : in the order in which they are to be in.
    take : takes a file in; picklable.
    started : called with the number of files done and the file a worker begins with.

    Raises
    ------
    DatabaseError : the database is lost; what is reported done is in.
    """
    settings = replace(database.settings, database_url=database.url)
    crew = _Crew(settings, sources, take, started)
    try:
        return crew.run(min(workers, len(sources)))
    finally:
        crew.dismiss()


class _Crew:
    """The workers, what each is at, and which file is next in turn."""

    def __init__(self, settings: Settings, sources: Sequence[Source], take: Take, started: Started) -> None:
        self._settings = settings
        self._sources = sources
        self._take = take
        self._started = started
        # Whether a file was taken in before, another of its name or content decides, too.
        self._repeats = repeated(sources)
        self._left = deque(range(len(sources)))
        self._attempts: Counter[int] = Counter()
        self._reports: dict[int, FileReport] = {}
        self._workers: dict[Connection, BaseProcess] = {}
        self._at: dict[Connection, int] = {}
        self._waiting: dict[int, Connection] = {}
        self._hired = 0
        # Forks of ours would share its connections to the database; those of a server that only imports share nothing.
        self._context: ForkServerContext | SpawnContext = (
            multiprocessing.get_context("forkserver")
            if "forkserver" in multiprocessing.get_all_start_methods()
            else multiprocessing.get_context("spawn")
        )
        self._context.set_forkserver_preload(["ingest.pipeline"])

    def run(self, workers: int) -> list[FileReport]:
        while len(self._reports) < len(self._sources):
            while len(self._workers) < workers and len(self._workers) < len(self._at) + len(self._left):
                self._hire()
            for connection in [c for c in self._workers if c not in self._at]:
                if self._left:
                    self._assign(connection)
            self._give_turn()
            for ready in wait(list(self._at)):
                assert isinstance(ready, Connection)
                self._hear(ready)
        return [self._reports[number] for number in range(len(self._sources))]

    def dismiss(self) -> None:
        """End the workers: those still at work leave nothing of their files."""
        for connection, process in self._workers.items():
            connection.close()
            process.terminate()
        for process in self._workers.values():
            process.join()

    def _hire(self) -> None:
        ours, theirs = self._context.Pipe()
        self._hired += 1
        process = self._context.Process(
            target=_work, args=(theirs, self._settings, self._take), name=f"ingest {self._hired}", daemon=True
        )
        process.start()
        theirs.close()  # so that ours tells when the worker is gone
        self._workers[ours] = process

    def _assign(self, connection: Connection) -> None:
        number = self._left.popleft()
        self._attempts[number] += 1
        self._at[connection] = number
        source = self._sources[number]
        self._started(len(self._reports), source)
        try:
            connection.send((source, number in self._repeats))
        except OSError:
            self._bury(connection)

    def _give_turn(self) -> None:
        following = next((n for n in range(len(self._sources)) if n not in self._reports), None)
        if following in self._waiting:
            connection = self._waiting.pop(following)
            try:
                connection.send(_TURN)
            except OSError:
                self._bury(connection)

    def _hear(self, connection: Connection) -> None:
        try:
            word, content = connection.recv()
        except (EOFError, OSError):
            self._bury(connection)
            return
        if word == _LOST:
            raise DatabaseError(content)
        if word == _TURN:
            self._waiting[self._at[connection]] = connection
        else:
            self._reports[self._at.pop(connection)] = content

    def _bury(self, connection: Connection) -> None:
        """Take leave of a worker that died, and see to its file."""
        process = self._workers.pop(connection)
        connection.close()
        process.join()
        number = self._at.pop(connection)
        self._waiting.pop(number, None)
        if self._attempts[number] < _ATTEMPTS:
            self._left.appendleft(number)
            return
        path = self._sources[number].path
        error = f"{path}: its worker {_how(process)}, {_ATTEMPTS} times; nothing of the file is in: try it alone"
        self._reports[number] = FileReport(str(path), "refused", error=error)


def _how(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _work(connection: Connection, settings: Settings, take: Take) -> None:
    """Take the files that come down the pipe, until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells all at once; who started us ends us
    leave_pandas_out()
    try:
        database = Database(settings)
    except CimError as error:
        connection.recv()
        connection.send((_LOST, str(error)))
        return
    while True:
        try:
            source, repeats = connection.recv()
        except EOFError:
            break
        turn = _Turn(connection)
        try:
            if repeats:
                turn()
            report = take(database, source, turn)
        except DatabaseError as error:
            connection.send((_LOST, str(error)))
            break
        connection.send((_DONE, report))
    database.dispose()


class _Turn:
    """The turn of one file; whoever calls first, of its threads, waits for it, and the others with him."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = Lock()
        self._come = False

    def __call__(self) -> None:
        with self._lock:
            if not self._come:
                self._connection.send((_TURN, None))
                try:
                    self._connection.recv()
                except EOFError:
                    os._exit(1)  # nobody is there to report to: leave nothing
                self._come = True
