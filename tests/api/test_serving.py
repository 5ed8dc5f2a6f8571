"""The server as a process, the log it keeps, and the pages people see."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from cim.city import City
from cim.db.logstore import LogStore
from cim.settings import Settings

ITEMS = "/collections/building/items"


def test_log_follows_the_city(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    before = int(http.get("/health").json()["tree_size"])
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("building")), [{"code": "written by psql"}])
    deadline = time.monotonic() + 10
    while http.get(ITEMS).headers["cim-state"] == "ahead" and time.monotonic() < deadline:
        time.sleep(0.1)
    health = http.get("/health").json()
    assert health == {**health, "status": "ok", "ahead": False, "tree_size": before + 1}
    while http.get("/log/checkpoint").text.splitlines()[1] != str(before + 1):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_failing_sequencer_is_told_and_reads_go_on(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    record = city.settings.keys_dir
    moved = record.rename(record.with_name("keys.away"))
    try:
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("building")), [{"code": "x"}])
        deadline = time.monotonic() + 10
        while http.get("/health").json()["status"] == "ok":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        told = values(http.get("/metrics").text)
        assert told["cim_log_sequencer_failing"] == 1
        assert (told["cim_log_tree_size"], told["cim_log_checkpoint_size"]) == (27, 26)  # sequenced, but not signed
        assert http.get(f"{ITEMS}/x").status_code == 200
    finally:
        if record.exists():
            record.rename(record.with_name("keys.new"))
        moved.rename(record)


def test_landing_page_for_people(http: httpx.Client) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    page = http.get("/", headers=browser)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "建筑" in page.text
    for address in re.findall(r'href="([^"]+)"', page.text):
        assert http.get(address.replace("&amp;", "&")).status_code == 200
    assert http.get("/", headers={"Accept": "application/json"}).headers["content-type"] == "application/json"
    assert http.get("/").headers["content-type"] == "application/json"
    assert http.get("/", params={"f": "json"}, headers=browser).headers["content-type"] == "application/json"


def test_head(http: httpx.Client) -> None:
    for path in ("/", ITEMS, f"{ITEMS}/building-00001", "/log/checkpoint", "/log/tile/0/000"):
        head, get = http.head(path), http.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]


@contextmanager
def process(settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIM_")}
    environment |= {"CIM_HOME": str(settings.home), "CIM_DATABASE_URL": str(settings.database_url)}
    command = [sys.executable, "-c", "from cim.cli import main; main()", "serve", *arguments]
    running = subprocess.Popen(
        command,
        env=environment | {"CIM_ORIGIN": settings.origin},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


def first_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serve(settings: Settings, ending: signal.Signals) -> None:
    with process(settings, "--port", "0") as running:
        line = first_line(running.stdout)
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found is not None, line
        address = found[0]
        with httpx.Client(base_url=address, timeout=20) as client:
            assert client.get("/health").json()["status"] == "ok"
            assert client.get(ITEMS).json()["numberReturned"] == 0
        running.send_signal(ending)
        assert running.wait(15) in (0, -ending)
        assert running.stderr is not None
        assert running.stderr.read() == ""


def test_serve_stops_while_another_process_sequences(settings: Settings) -> None:
    with City(settings) as city, city.database.engine.connect() as other, LogStore(other).exclusive():
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("building")), [{"code": "waits"}])
        with process(settings, "--port", "0") as running:
            found = re.search(r"http://127\.0\.0\.1:\d+", first_line(running.stdout))
            assert found is not None
            health = httpx.get(f"{found[0]}/health", timeout=20).json()
            assert (health["status"], health["ahead"]) == ("ok", True)
            running.send_signal(signal.SIGTERM)
            assert running.wait(15) in (0, -signal.SIGTERM)


def values(text: str) -> dict[str, float]:
    """The samples of an exposition without labels, by name, read by hand."""
    lines = [line.split(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_metrics_tell_the_lag(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    answer = http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert {(family.type, bool(family.documentation)) for family in families.values()} == {("gauge", True)}
    before = values(answer.text)
    assert (before["cim_log_tree_size"], before["cim_log_checkpoint_size"]) == (26, 26)
    assert (before["cim_log_unsequenced_revisions"], before["cim_log_lag_seconds"]) == (0, 0)
    assert 0 <= before["cim_log_checkpoint_age_seconds"] < 600
    with city.database.engine.connect() as open_one:
        open_one.execute(sa.insert(city.database.table("building")), [{"code": "open"}])
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("building")), [{"code": "w1"}, {"code": "w2"}])
        time.sleep(0.2)
        during = values(http.get("/metrics").text)
        assert (during["cim_log_unsequenced_revisions"], during["cim_log_held_back"]) == (2, 1)
        assert 0.2 <= during["cim_log_lag_seconds"] < 600
        open_one.commit()
    city.sequence()
    after = values(http.get("/metrics").text)
    assert (after["cim_log_tree_size"], after["cim_log_unsequenced_revisions"], after["cim_log_held_back"]) == (
        29,
        0,
        0,
    )


def test_serve_on_a_taken_port(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with process(settings, "--port", str(port)) as running:
            assert running.wait(30) == 6
            assert running.stderr is not None
            message = running.stderr.read()
    assert f"cannot listen on 127.0.0.1:{port}" in message
    assert "Traceback" not in message
    assert len(message.strip().splitlines()) == 1
