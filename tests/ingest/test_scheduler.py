"""Files over the workers of a Dask scheduler: processes of its own commands, as a department would start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shapely

from cim.db.engine import Database
from cim.db.merge import lock_types
from cim.errors import CimError, InvalidData
from ingest import Options, Report, ingest
from ingest.turns import Turns, wait_for_turn

Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]
Waiting = Callable[[Database], int]
Until = Callable[[Callable[[], object], str], None]

PARCEL = "130638003001GB00001"
ONE, TWO = (f"{PARCEL}F000{n}0000" for n in (1, 2))


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([Path(sys.executable).with_name("dask"), *arguments], **quiet)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory, until: Until) -> Iterator[str]:
    """The address of a scheduler without workers."""
    file = tmp_path_factory.mktemp("dask") / "scheduler.json"
    process = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
    try:
        # It is there before its text is.
        until(lambda: file.exists() and file.read_text().endswith("}"), "the scheduler did not start")
        yield json.loads(file.read_text())["address"]
    finally:
        process.terminate()
        process.wait(300)


@pytest.fixture
def workers(scheduler: str, tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two workers of one thread each, which nobody replaces."""
    options = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", tmp_path / "dask")
    processes = [start("worker", scheduler, *options) for _ in range(2)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait(300)


def gathered(scheduler: str, number: int) -> None:
    """Wait until so many workers have come."""
    from distributed import Client

    with Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(number, timeout=300)


@pytest.mark.usefixtures("workers")
def test_a_scheduler_gives_what_one_worker_gives(
    database: Database,
    second: Database,
    scheduler: str,
    folder: Path,
    outcome: Callable[[Report, Database], object],
) -> None:
    alone = ingest(database, [folder], Options(type="building"))
    gathered(scheduler, 2)
    assert outcome(ingest(second, [folder], Options(type="building"), scheduler=scheduler), second) == outcome(
        alone, database
    )
    assert [file.status for file in alone.files].count("refused") == 1


def test_files_are_taken_in_their_order_and_that_of_a_killed_worker_by_another(
    database: Database,
    scheduler: str,
    workers: list[subprocess.Popen[bytes]],
    tmp_path: Path,
    write: Write,
    square: Shape,
    waiting: Waiting,
    until: Until,
) -> None:
    folder = tmp_path / "in"
    write(folder / "a" / "parcel.gpkg", [{"code": PARCEL}], [square(side=100)])
    write(folder / "b" / "building.gpkg", [{"code": ONE, "height": 1.0}], [square()])
    (folder / "c").mkdir()
    (folder / "c" / "building.geojson").write_text("{", encoding="utf-8")
    write(folder / "d" / "building.gpkg", [{"code": ONE, "height": 2.0}, {"code": TWO}], [square(), square(20)])
    reports: list[Report] = []

    def run() -> None:
        gathered(scheduler, 2)
        reports.append(ingest(database, [folder], scheduler=scheduler))

    thread = threading.Thread(target=run)
    with database.engine.connect() as holder:
        lock_types(holder, ["parcel"])
        thread.start()
        # One worker has the parcel and waits for the lock, the other has the first buildings and waits for its turn.
        until(lambda: waiting(database) == 2, "the workers did not come to their locks")
        os.kill(workers[0].pid, signal.SIGKILL)
        workers[0].wait(300)
        # Whichever it was, its file begins on the other worker, beside the one that waits there.
        until(lambda: waiting(database) >= 3, "the file of the killed worker was not begun again")
        holder.rollback()
        thread.join()
    (report,) = reports
    names = [(Path(file.path).parent.name, file.status) for file in report.files]
    assert names == [("a", "loaded"), ("b", "loaded"), ("c", "refused"), ("d", "loaded")]
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT type, code, rev, (body ->> 'height')::float FROM cim.revision WHERE type <> 'schema' ORDER BY id"
        ).all()
    assert [tuple(row) for row in found] == [
        ("parcel", PARCEL, 1, None),
        ("building", ONE, 1, 1.0),
        ("building", ONE, 2, 2.0),
        ("building", TWO, 1, None),
    ]
    assert not list(database.settings.home.glob("scheduler-*"))


def test_a_scheduler_that_is_none_or_has_no_workers_is_an_error(
    database: Database, scheduler: str, tmp_path: Path, write: Write, square: Shape
) -> None:
    path = write(tmp_path / "parcel.gpkg", [{"code": PARCEL}], [square(side=100)])
    with pytest.raises(InvalidData, match=r"it has no workers; start some: dask worker tcp://"):
        ingest(database, [path], scheduler=scheduler)
    with pytest.raises(InvalidData, match="nobody answers there as a Dask scheduler"):
        ingest(database, [path], scheduler="127.0.0.1:1")


def test_who_waits_is_turned_away_when_the_run_is_over(database: Database, waiting: Waiting, until: Until) -> None:
    over: list[bool] = []
    with Turns(database.engine) as turns:
        turns.hold(0)
        turns.hold(1)
        turns.give(0)
        with database.engine.begin() as connection:
            wait_for_turn(connection, turns.run, 0)

        def wait() -> None:
            with database.engine.begin() as connection:
                try:
                    wait_for_turn(connection, turns.run, 1)
                except CimError as error:
                    over.append("the run is over" in str(error))

        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: waiting(database) == 1, "nobody waits")
    thread.join()
    assert over == [True]
