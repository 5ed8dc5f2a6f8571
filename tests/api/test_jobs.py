"""Long work as jobs: queued, done in a process of its own, ended, outliving the server; files taken in by upload."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from lxml import html

from cim.city import City
from cim.db import access, jobs
from cim.errors import Busy
from cim.settings import Settings

EXECUTE = "/processes/district-inventory/execution"
SQUARE = "SRID=4548;MULTIPOLYGON(((500000 4318000,500100 4318000,500100 4318100,500000 4318100,500000 4318000)))"
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def served(
    clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, serving: Any
) -> Iterator[tuple[City, httpx.Client]]:
    """A city with a parcel and a house on it."""
    settings = Settings(home=tmp_path_factory.mktemp("jobs"), database_url=clone())
    with City(settings) as city:
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("parcel")).values(code="p1", geom=SQUARE))
            connection.execute(
                sa.insert(city.database.table("building")).values(code="b1", parcel_code="p1", geom=SQUARE)
            )
        city.sequence()
        with serving(settings, city) as address, httpx.Client(base_url=address, timeout=300) as http:
            yield city, http


def key(city: City, *scopes: str) -> dict[str, str]:
    with city.database.engine.begin() as connection:
        return {"X-API-Key": access.add_key(connection, "Loader", scopes)}


def ended(http: httpx.Client, job: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    deadline = time.monotonic() + 300
    while True:
        status: dict[str, Any] = http.get(f"/jobs/{job['jobID']}", headers=headers or {}).json()
        if status["status"] not in ("accepted", "running"):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.1)


def test_a_job_answers_as_the_process_would_have(served: tuple[City, httpx.Client]) -> None:
    _, http = served
    body = {"inputs": {"scope": ["p1"]}}
    queued = http.post(EXECUTE, json=body, headers=ASYNC)
    assert queued.status_code == 201
    assert queued.headers["preference-applied"] == "respond-async"
    job = queued.json()
    assert queued.headers["location"].endswith(f"/jobs/{job['jobID']}")
    assert (job["processID"], job["type"], job["status"]) == ("district-inventory", "process", "accepted")
    early = http.get(f"/jobs/{job['jobID']}/results")
    if early.status_code == 404:  # unless it has ended by now
        assert early.json()["type"].endswith("/result-not-ready")
    status = ended(http, job)
    assert status["status"] == "successful", status
    assert status["created"] <= status["started"] <= status["finished"]
    results = next(link["href"] for link in status["links"] if link["rel"].endswith("/results"))
    there, then = http.get(results), http.post(EXECUTE, json=body)
    assert there.content == then.content
    assert {name: there.headers[name] for name in ("content-type", "cim-tree-size", "cim-tree-root")} == {
        name: then.headers[name] for name in ("content-type", "cim-tree-size", "cim-tree-root")
    }
    forgotten = http.delete(f"/jobs/{job['jobID']}")
    assert (forgotten.status_code, forgotten.json()["status"]) == (200, "dismissed")
    assert http.get(f"/jobs/{job['jobID']}/results").status_code == 404


def test_what_fails_says_why(served: tuple[City, httpx.Client]) -> None:
    _, http = served
    job = http.post(EXECUTE, json={"inputs": {"scope": ["nosuch"]}}, headers=ASYNC).json()
    status = ended(http, job)
    assert status["status"] == "failed"
    there, then = http.get(f"/jobs/{job['jobID']}/results"), http.post(EXECUTE, json={"inputs": {"scope": ["nosuch"]}})
    assert there.headers["content-type"] == "application/problem+json"
    assert (there.status_code, there.json()["detail"]) == (then.status_code, then.json()["detail"])


def test_jobs_are_their_owners(served: tuple[City, httpx.Client]) -> None:
    city, http = served
    ours, theirs = key(city, "*:read"), key(city, "*:read")
    job = http.post(EXECUTE, json={"inputs": {"scope": ["p1"]}}, headers={**ASYNC, **ours}).json()
    path = f"/jobs/{job['jobID']}"
    for answer in (
        http.get(path), http.get(path, headers=theirs), http.get(f"{path}/results"), http.delete(path, headers=theirs)
    ):  # fmt: skip
        assert answer.status_code == 404
    assert [one["jobID"] for one in http.get("/jobs", headers=ours).json()["jobs"]] == [job["jobID"]]
    assert http.get("/jobs", headers=theirs).json()["jobs"] == []
    assert http.get("/jobs").json()["jobs"] == []
    assert ended(http, job, ours)["status"] == "successful"
    later = http.post(EXECUTE, json={"inputs": {"scope": ["p1"]}}, headers={**ASYNC, **ours}).json()
    listed = [http.get("/jobs", params={"limit": most}, headers=ours).json()["jobs"] for most in (1, 2, 10**9)]
    assert [[one["jobID"] for one in jobs] for jobs in listed] == [
        [later["jobID"]],
        *[[later["jobID"], job["jobID"]]] * 2,
    ]
    ended(http, later, ours)


def test_jobs_have_pages(served: tuple[City, httpx.Client]) -> None:
    city, http = served
    ours = key(city, "*:read")
    good, bad = (
        http.post(EXECUTE, json={"inputs": {"scope": [scope]}}, headers={**ASYNC, **ours}).json()["jobID"]
        for scope in ("p1", "nosuch")
    )
    message = [ended(http, {"jobID": one}, ours) for one in (good, bad)][1]["message"]
    browser = {"Accept": "text/html", "Accept-Language": "zh"}
    for path, rows in (("/jobs", [("失败", message), ("成功", "")]), (f"/jobs/{good}", [("成功", "")])):
        page = http.get(path, headers={**browser, **ours})
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "private, no-store"
        shown = html.fromstring(page.text)
        cells = [[cell.text_content() for cell in row.xpath("td")] for row in shown.xpath("//tbody/tr")]
        assert [(cell[2], cell[3]) for cell in cells] == rows
        results = [address for address in shown.xpath("//td/a/@href") if address.endswith("/results")]
        assert results == [f"{str(http.base_url).rstrip('/')}/jobs/{good}/results"]
        assert http.get(f"{path}?f=json", headers=browser | ours).headers["content-type"] == "application/json"
    assert http.get(f"/jobs/{good}", headers=browser).status_code == 404
    assert good not in http.get("/jobs", headers=browser).text


def test_an_owner_has_so_many_open_jobs(served: tuple[City, httpx.Client]) -> None:
    city, _ = served
    with city.database.engine.connect() as connection:  # rolled back: nobody begins them
        for _ in range(10):
            jobs.submit(connection, "process", "district-inventory", {}, "key:busy")
        with pytest.raises(Busy):
            jobs.submit(connection, "process", "district-inventory", {}, "key:busy")
        jobs.submit(connection, "process", "district-inventory", {}, "key:other")


# ---------------------------------------------------------------------- ended, and begun again


def slow(city: City, owner: str | None = None) -> jobs.Job:
    """Queue a job whose process waits for a lock that the test holds."""
    asked = {"inputs": {"scope": ["p1"]}, "form": "", "raw": True}
    with city.database.engine.begin() as connection:
        return jobs.submit(connection, "process", "district-inventory", asked, owner)


def state(city: City, job: jobs.Job) -> jobs.Job:
    with city.database.engine.connect() as connection:
        return jobs.find(connection, job.id)


def children(job: jobs.Job) -> list[int]:
    """Process ids of those that compute a job."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended while we looked
            if str(job.id).encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def test_a_running_job_is_dismissed(served: tuple[City, httpx.Client], until: Any) -> None:
    city, http = served
    with city.database.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE cim.tree_state IN ACCESS EXCLUSIVE MODE"))
        job = slow(city)
        until(lambda: children(job), "no process computes it")
        assert state(city, job).status == "running"
        assert http.delete(f"/jobs/{job.id}").json()["status"] == "dismissed"
        until(lambda: not children(job), "its process goes on")
    assert state(city, job).status == "dismissed"


@pytest.fixture
def city(settings: Settings) -> Iterator[City]:
    """A city with a parcel that nobody serves."""
    with City(settings) as city:
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("parcel")).values(code="p1", geom=SQUARE))
        city.sequence()
        yield city


def test_a_job_outlives_its_server(city: City, until: Any) -> None:
    job = slow(city)
    with city.database.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE city.parcel, cim.revision IN ACCESS EXCLUSIVE MODE"))
        with working(city) as first:
            until(lambda: children(job), "no process computes it")
            first.kill()
            first.wait(300)
        assert state(city, job).status == "running"
        for pid in children(job):  # the child of a server that was killed is left alone
            os.kill(pid, signal.SIGKILL)
    with working(city):
        until(lambda: state(city, job).status == "successful", "it is never done")
    assert state(city, job).begun == 2


def test_jobs_are_listed_by_what_they_are(city: City, serving: Any) -> None:
    ours = key(city, "*:read")
    made = {
        "quick": ("displacement", "successful", "2026-01-01T10:00:00Z", "2026-01-01T10:01:00Z", 5),
        "slow": ("displacement", "failed", "2026-01-02T10:00:00Z", "2026-01-02T10:00:00Z", 90),
        "never": ("district-inventory", "dismissed", "2026-01-03T10:00:00Z", None, None),
    }
    change = sa.text(
        "UPDATE cim.job SET status = :status, created = :created, started = :started, "
        "finished = coalesce(CAST(:started AS timestamptz), now()) + :seconds * interval '1 s' WHERE id = :id"
    )
    named, owner = {}, "key:" + ours["X-API-Key"].split("_")[1]
    with serving(city.settings, city) as address, httpx.Client(base_url=address, timeout=300) as http:
        with city.database.engine.begin() as connection:
            for name, (process, status, created, started, seconds) in made.items():
                job = jobs.submit(connection, "process", process, {}, owner)
                connection.execute(
                    change, {"id": job.id, "status": status, "created": created, "started": started, "seconds": seconds}
                )
                named[str(job.id)] = name
        for asked, found in (
            ({}, "never slow quick"),
            ({"processID": "displacement"}, "slow quick"),
            ({"processID": "nosuch,district-inventory"}, "never"),
            ({"type": "process"}, "never slow quick"),
            ({"status": "failed,dismissed"}, "never slow"),
            ({"datetime": "2026-01-02T10:00:00Z"}, "slow"),
            ({"datetime": "2026-01-02"}, "slow"),
            ({"datetime": "2026-01-02/.."}, "never slow"),
            ({"datetime": "../2026-01-02T09:59:59Z"}, "quick"),
            ({"minDuration": 5}, "slow quick"),
            ({"minDuration": 6}, "slow"),
            ({"maxDuration": 89}, "quick"),
            ({"minDuration": 5, "maxDuration": 90, "limit": 1}, "slow"),
        ):
            listed = http.get("/jobs", params=asked, headers=ours).json()["jobs"]
            assert " ".join(named[one["jobID"]] for one in listed) == found, asked
        for wrong in ({"status": "x"}, {"type": "x"}, {"datetime": "x"}, {"minDuration": "-1"}, {"maxDuration": "1.5"}):
            assert http.get("/jobs", params=wrong, headers=ours).status_code == 400, wrong


@pytest.mark.slow
def test_two_workers_share_the_queue(city: City, until: Any) -> None:
    queued = [slow(city, f"key:{number % 3}") for number in range(4)]
    with city.database.engine.connect() as connection:
        # Nothing is done while this is held: the second worker gets its part however late it starts.
        connection.execute(sa.text("LOCK TABLE city.parcel, cim.revision IN ACCESS EXCLUSIVE MODE"))
        with working(city), working(city):
            until(lambda: [state(city, job).status for job in queued].count("running") == 2, "they do not share")
            connection.rollback()
            until(lambda: all(state(city, job).status == "successful" for job in queued), "not all are done")
    ended = [state(city, job) for job in queued]
    assert [job.begun for job in ended] == [1] * 4
    spans = sorted((job.started, job.finished) for job in ended if job.started and job.finished)
    assert len(spans) == 4
    # Never three at a time.
    assert all(
        third[0] >= min(first[1], second[1]) for first, second, third in zip(spans, spans[1:], spans[2:], strict=False)
    )


@pytest.mark.slow
def test_what_ends_its_server_each_time_is_given_up_and_the_queue_goes_on(city: City, until: Any) -> None:
    poison = slow(city)
    with city.database.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE city.parcel, cim.revision IN ACCESS EXCLUSIVE MODE"))
        for begun in range(1, jobs.BEGUN_AT_MOST + 1):
            with working(city) as server:
                until(lambda: children(poison), "no process computes it")
                server.kill()
                server.wait(300)
            assert (state(city, poison).status, state(city, poison).begun) == ("running", begun)
            for pid in children(poison):
                os.kill(pid, signal.SIGKILL)
            until(lambda: not children(poison), "its process goes on")
    behind = slow(city)
    with working(city):
        until(lambda: state(city, behind).status == "successful", "the queue does not go on")
    given_up = state(city, poison)
    assert (given_up.status, given_up.failure) == ("failed", 500)
    assert given_up.message == "begun 3 times, and never ended"


def test_a_process_that_is_killed_fails_alone(served: tuple[City, httpx.Client], until: Any) -> None:
    city, http = served
    with city.database.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE cim.tree_state IN ACCESS EXCLUSIVE MODE"))
        job = slow(city)
        until(lambda: children(job), "no process computes it")
        for pid in children(job):
            os.kill(pid, signal.SIGKILL)
        until(lambda: state(city, job).status == "failed", "it never fails")
    assert http.get(f"/jobs/{job.id}/results").status_code == 500
    assert "defect" in http.get(f"/jobs/{job.id}").json()["message"]
    again = http.post(EXECUTE, json={"inputs": {"scope": ["p1"]}}, headers=ASYNC)
    assert ended(http, again.json())["status"] == "successful"


@contextmanager
def working(city: City) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does jobs and nothing else."""
    program = (
        "import signal, sys, threading\n"
        "from api.work import Worker\n"
        "from cim.db.engine import Database\n"
        "from cim.settings import Settings\n"
        "worker = Worker(Database(Settings.from_environment()))\n"
        "worker.start()\n"
        "signal.signal(signal.SIGTERM, lambda *_: (worker.stop(), sys.exit()))\n"
        "threading.Event().wait()\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIM_")}
    running = subprocess.Popen([sys.executable, "-c", program], env=environment | city.settings.variables())
    try:
        yield running
    finally:
        running.terminate()
        running.wait(300)


# ---------------------------------------------------------------------- uploads


@pytest.fixture(scope="module")
def facilities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kindergartens and one without a kind, as GeoJSON in CRS84."""

    def place(number: int, kind: str | None) -> dict[str, Any]:
        return {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [117.0 + number / 1000, 39.0]},
            "properties": {"source_id": str(number), "name": f"K{number}", "kind": kind},
        }

    features = [place(1, "kindergarten"), place(2, "kindergarten"), place(3, "nonsense")]
    path = tmp_path_factory.mktemp("upload") / "facility.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def test_an_uploaded_file_is_taken_in(served: tuple[City, httpx.Client], facilities: Path) -> None:
    city, http = served
    loader = key(city, "*:write")
    queued = http.post(
        "/ingest",
        params={"name": "facility.geojson", "type": "facility", "assume-crs": "EPSG:4490"},
        content=facilities.read_bytes(),
        headers=loader,
    )
    assert queued.status_code == 201, queued.text
    status = ended(http, queued.json(), loader)
    assert status["status"] == "successful", status
    report = http.get(f"/jobs/{status['jobID']}/results", headers=loader).json()
    (layer,) = report["files"][0]["layers"]
    assert (layer["read"], layer["inserted"], layer["rejected"]) == (3, 2, 1)
    found = http.get("/collections/facility/items").json()["features"]
    assert {feature["properties"]["name"] for feature in found} == {"K1", "K2"}
    history = http.get(f"/collections/facility/items/{found[0]['id']}/history").json()["revisions"]
    assert history[0]["by"] == "Loader"
    assert list((city.settings.home / "uploads").iterdir()) == []


def test_uploads_that_are_refused(served: tuple[City, httpx.Client], monkeypatch: pytest.MonkeyPatch) -> None:
    from api.routes import jobs as routes

    city, http = served
    loader = key(city, "*:write")

    def send(headers: dict[str, str], content: bytes = b"x", **query: str) -> httpx.Response:
        return http.post("/ingest", params=query, content=content, headers=headers)

    assert send({}, name="a.gpkg").status_code == 401
    assert send(key(city, "building:write"), name="a.gpkg").status_code == 403
    for name in ("", "../a.gpkg", "a/b.gpkg", ".a.gpkg", "-a.gpkg", "a\n.gpkg", "a\\b.gpkg", "x" * 200 + ".gpkg"):
        assert send(loader, name=name).status_code == 400, name
    unknown = send(loader, name="program.exe")
    assert unknown.status_code == 400
    assert "readable are" in unknown.json()["detail"]
    assert "uploads" not in unknown.text
    assert send(loader, b"", name="a.gpkg").status_code == 400
    assert send(loader, name="a.gpkg", crs="EPSG:0").status_code == 400
    assert send(loader, name="a.gpkg", mapping="../x").status_code == 400
    assert send(loader, name="a.gpkg", nosuch="1").status_code == 400
    monkeypatch.setattr(routes, "MAX_UPLOAD_BYTES", 1000)
    assert send(loader, b"x" * 1001, name="a.gpkg").status_code == 413
    assert list((city.settings.home / "uploads").iterdir()) == []


def test_a_file_that_is_not_what_it_says(served: tuple[City, httpx.Client]) -> None:
    city, http = served
    loader = key(city, "*:write")
    queued = http.post("/ingest", params={"name": "a.gpkg"}, content=b"no geopackage", headers=loader)
    status = ended(http, queued.json(), loader)
    assert status["status"] == "failed"
    result = http.get(f"/jobs/{status['jobID']}/results", headers=loader)
    told = result.text
    assert result.status_code == 400
    assert "a.gpkg" in told
    assert str(city.settings.home) not in told
    assert "Traceback" not in told
