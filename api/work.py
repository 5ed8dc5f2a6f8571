"""Do the jobs of the queue, each in a process of its own: it can be ended, and takes nothing from who answers requests.

`python -m api.work ID` computes the process of one job and records its result.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import orjson
import sqlalchemy as sa

from api.errors import status_of
from api.execution import Asked, compute
from cim.city import City
from cim.db import jobs
from cim.db.engine import Database
from cim.db.jobs import Job, Result
from cim.errors import CimError
from cim.settings import Settings

log = logging.getLogger("cim.api.jobs")

_LOOK = 1.0  # seconds from look to look, at the queue and at whether a running job was dismissed
_STEP = 0.1
_CLEAR = 3600.0  # from forgetting to forgetting
_PAUSE_AFTER_FAILURE = 10.0
SECONDS = {"process": 900.0, "ingest": 3600.0}
_MAX_SAID = 16 << 20
_CLI = "from cim.cli import main; main()"


def uploads(settings: Settings) -> Path:
    """Return the folder of files that wait to be taken in, each in one named by its job."""
    return settings.home / "uploads"


class Worker:
    """A thread that does one job after the other.

    Told to stop it ends what it is at, which stays in the queue: the next server goes on with it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue now."""
        self._wanted.set()

    def stop(self) -> None:
        """End what is under way, and return when it has ended."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._database.engine.connect() as plain:
                    connection = plain.execution_options(isolation_level="AUTOCOMMIT")
                    cleared = -math.inf
                    while not self._stopping.is_set():
                        if time.monotonic() - cleared > _CLEAR:
                            self._clear(connection)
                            cleared = time.monotonic()
                        self._wanted.clear()
                        if not self._one(connection):
                            self._wanted.wait(_LOOK)
            except (CimError, sa.exc.SQLAlchemyError, OSError) as error:
                log.error("jobs wait: %s", error)  # foreseen
                self._stopping.wait(_PAUSE_AFTER_FAILURE)
            except Exception:  # a defect must not end the queue
                log.exception("jobs wait")
                self._stopping.wait(_PAUSE_AFTER_FAILURE)

    def _clear(self, connection: sa.Connection) -> None:
        for number in jobs.forget(connection):
            shutil.rmtree(uploads(self._database.settings) / str(number), ignore_errors=True)

    def _one(self, connection: sa.Connection) -> bool:
        with jobs.taken(connection) as job:
            if job is None:
                return False
            if job.begun > jobs.BEGUN_AT_MOST:
                jobs.fail(connection, job.id, f"begun {jobs.BEGUN_AT_MOST} times, and never ended", 500)
            else:
                self._do(connection, job)
            if jobs.find(connection, job.id).status not in ("accepted", "running"):
                shutil.rmtree(self._folder(job), ignore_errors=True)
            return True

    def _do(self, connection: sa.Connection, job: Job) -> None:
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
            child = subprocess.Popen(  # noqa: S603 - our own program; what was asked travels as arguments or by the job
                [sys.executable, *self._command(job)],
                cwd=self._folder(job) if job.kind == "ingest" else None,
                env=_environment(self._database.settings),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                start_new_session=True,
            )
            try:
                why = self._wait(connection, job, child)
            finally:
                _end(child)
            said.seek(0)
            complained.seek(0)
            if why is not None:
                jobs.fail(connection, job.id, why, 500)
            elif job.kind == "ingest" and not self._stopping.is_set():
                # What it says of the file says nothing of where it lies.
                where = f"{self._folder(job).resolve()}/".encode()
                told = (part.replace(where, b"") for part in (said.read(_MAX_SAID), complained.read(4000)))
                _taken_in(connection, job, child.returncode, *told)
            elif child.returncode and not self._stopping.is_set():
                log.error(
                    "job %s ended with %s: %s",
                    job.id,
                    child.returncode,
                    complained.read(4000).decode("utf-8", "replace"),
                )
                jobs.fail(connection, job.id, "the process met a defect, which has been logged", 500)

    def _wait(self, connection: sa.Connection, job: Job, child: subprocess.Popen[bytes]) -> str | None:
        """Wait for the child, unless the job is dismissed or the server stops; return why it failed, if it did."""
        began = looked = time.monotonic()
        while child.poll() is None and not self._stopping.wait(_STEP):
            now = time.monotonic()
            if now - began > SECONDS[job.kind]:
                return f"it took longer than {SECONDS[job.kind]:g} s"
            if now - looked > _LOOK:
                looked = now
                if jobs.find(connection, job.id).status != "running":
                    return None
        return None

    def _command(self, job: Job) -> list[str]:
        if job.kind == "process":
            return ["-m", "api.work", str(job.id)]
        options = [part for name, value in job.request["options"].items() for part in (f"--{name}", value)]
        return ["-c", _CLI, "ingest", "--json", *options, "--", job.request["name"]]

    def _folder(self, job: Job) -> Path:
        return uploads(self._database.settings) / str(job.id)


def _taken_in(connection: sa.Connection, job: Job, code: int, said: bytes, complained: bytes) -> None:
    """Record what `cim ingest` said: its report, which also tells why a file was refused."""
    refused = orjson.loads(said)["files"][0]["error"] if said.strip() else None
    if refused is not None:
        jobs.fail(connection, job.id, refused, 400)
        return
    if said.strip():
        jobs.finish(connection, job.id, Result(said, "application/json", {"Cache-Control": "no-store"}))
        return
    lines = complained.decode("utf-8", "replace").strip().splitlines()
    known = bool(lines) and lines[-1].startswith("cim: ") and code in (3, 4, 6)
    if not known:
        _log(job, code, complained)
    message = lines[-1].removeprefix("cim: ") if known else "the ingest met a defect, which has been logged"
    jobs.fail(connection, job.id, message, 400 if known else 500)


def _log(job: Job, code: int, complained: bytes) -> None:
    log.error("job %s ended with %s: %s", job.id, code, complained.decode("utf-8", "replace"))


def _environment(settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CIM_")}
    return kept | settings.variables()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child with all it started."""
    for ending, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
            return


def main(number: str) -> None:
    """Compute the process of a job and record what came of it."""
    with City(Settings.from_environment()) as city:
        with city.database.engine.connect() as connection:
            job = jobs.find(connection, uuid.UUID(number))
        try:
            result = compute(city.database, job.process, Asked(**job.request))
        except CimError as error:
            with city.database.engine.begin() as connection:
                jobs.fail(connection, job.id, str(error), status_of(error))
            return
        with city.database.engine.begin() as connection:
            jobs.finish(connection, job.id, result)


if __name__ == "__main__":
    main(sys.argv[1])
