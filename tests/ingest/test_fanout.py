from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import shapely
import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.merge import lock_types
from cim.errors import InvalidData
from ingest import Options, Report, ingest
from ingest.report import FileReport
from ingest.sources import Fingerprint, find, repeated

Write = Callable[..., Path]
Shape = Callable[..., shapely.Polygon]
Waiting = Callable[[Database], int]
Until = Callable[[Callable[[], object], str], None]

PARCEL = "130638003001GB00001"
ONE, TWO, THREE, FOUR = (f"{PARCEL}F000{n}0000" for n in (1, 2, 3, 4))


def test_several_workers_do_what_one_does(
    database: Database, second: Database, folder: Path, outcome: Callable[[Report, Database], object]
) -> None:
    alone = ingest(database, [folder], Options(type="building"))
    seen: list[str] = []
    several = ingest(second, [folder], Options(type="building"), lambda _, __, name: seen.append(name), workers=3)
    assert outcome(several, second) == outcome(alone, database)
    # By hand: the parcel goes first; ONE has three revisions, as the copy of b brings its height back once more.
    assert [file.status for file in several.files].count("refused") == 1
    assert seen[0] == "parcel.gpkg"
    with second.engine.connect() as connection:
        heights = connection.exec_driver_sql("SELECT code, height, rev FROM city.building ORDER BY code").all()
    assert [tuple(row) for row in heights] == [(ONE, 2.0, 4), (TWO, 4.0, 2), (THREE, 3.0, 1), (FOUR, 4.0, 1)]


def test_files_of_one_name_or_content_are_known(folder: Path) -> None:
    sources, _ = find([folder])
    names = [str(sources[place].path.relative_to(folder)) for place in sorted(repeated(sources))]
    assert names == ["c/building.geojson", "d/building.geojson"]


def test_the_file_of_a_killed_worker_is_tried_once_more_and_then_reported(
    database: Database, tmp_path: Path, write: Write, square: Shape, waiting: Waiting, until: Until
) -> None:
    write(tmp_path / "in" / "parcel.gpkg", [{"code": PARCEL}], [square(side=100)])
    write(tmp_path / "in" / "building.gpkg", [{"code": ONE}], [square()])
    reports: list[Report] = []
    run = threading.Thread(target=lambda: reports.append(ingest(database, [tmp_path / "in"], workers=2)))
    with database.engine.connect() as holder:
        lock_types(holder, ["building", "parcel"])
        run.start()
        # Workers 1 and 2 have a file each, 3 is hired for the parcel of 1. When that is given up it is the turn of 2.
        # The session of a worker that was killed goes on waiting, and the next one of the file waits for it.
        for number, victim in enumerate(("ingest 1", "ingest 3", "ingest 2"), 1):
            until(lambda expected=number: waiting(database) == expected, f"{victim} did not come to the lock")
            (process,) = (p for p in multiprocessing.active_children() if p.name == victim)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        until(lambda: waiting(database) == 4, "the buildings did not come to the lock again")
        holder.rollback()
        run.join()
    (report,) = reports
    assert [(Path(file.path).name, file.status) for file in report.files] == [
        ("parcel.gpkg", "refused"),
        ("building.gpkg", "loaded"),
    ]
    assert "its worker was ended by SIGKILL, 2 times; nothing of the file is in" in (report.files[0].error or "")
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT type, rev FROM cim.revision WHERE type <> 'schema'").all()
    assert [tuple(row) for row in found] == [("building", 1)]


def look(connection: sa.Connection, mark: Fingerprint, report: FileReport) -> tuple[str, int]:
    """What is seen in the transaction of a file: its name and how many revisions it has made."""
    made = connection.exec_driver_sql("SELECT count(*) FROM cim.revision WHERE xid = pg_current_xact_id()")
    assert report.sha256 == mark.sha256
    return Path(report.path).name, made.scalar_one()


def test_what_is_looked_at_under_way_comes_back_from_the_workers(
    database: Database, tmp_path: Path, write: Write, square: Shape
) -> None:
    write(tmp_path / "parcel.gpkg", [{"code": PARCEL}], [square(side=100)])
    write(tmp_path / "building.gpkg", [{"code": ONE}, {"code": TWO}], [square(), square(20)])
    report = ingest(database, [tmp_path], Options(observe=look, dry_run=True), workers=2)
    assert [file.observed for file in report.files] == [("parcel.gpkg", 1), ("building.gpkg", 2)]
    assert "observed" not in report.to_json()["files"][0]
    with pytest.raises(InvalidData, match="0 workers: expected one or more"):
        ingest(database, [tmp_path], workers=0)
