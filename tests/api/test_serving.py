"""The server as a process, the log it keeps, and the pages people see."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from cim.city import City
from cim.cli import build
from cim.db.logstore import LogStore
from cim.settings import Settings
from tests.api.test_hostile import EXECUTION, SMUGGLED

ITEMS = "/collections/building/items"
ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "deploy.md"
ENDING = b"GET /nosuch HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_log_follows_the_city(own: tuple[City, httpx.Client], until: Any) -> None:
    city, http = own
    before = int(http.get("/health").json()["tree_size"])
    with city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("building")), [{"code": "written by psql"}])
    until(lambda: http.get(ITEMS).headers["cim-state"] != "ahead", "the log does not follow")
    health = http.get("/health").json()
    assert health == {**health, "status": "ok", "ahead": False, "tree_size": before + 1}
    published = str(before + 1)
    until(lambda: http.get("/log/checkpoint").text.splitlines()[1] == published, "no checkpoint follows")


def test_failing_sequencer_is_told_and_reads_go_on(own: tuple[City, httpx.Client], until: Any) -> None:
    city, http = own
    record = city.settings.keys_dir
    moved = record.rename(record.with_name("keys.away"))
    try:
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("building")), [{"code": "x"}])
        until(lambda: http.get("/health").json()["status"] != "ok", "nothing is told")
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
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "建筑" in http.get("/", headers={**browser, "Accept-Language": "zh"}).text
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


def address_of(running: subprocess.Popen[str]) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", line := first_line(running.stdout))
    assert found is not None, line
    return found[0]


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
        with httpx.Client(base_url=address, timeout=300) as client:
            assert client.get("/health").json()["status"] == "ok"
            assert client.get(ITEMS).json()["numberReturned"] == 0
        running.send_signal(ending)
        assert running.wait(300) in (0, -ending)
        assert running.stderr is not None
        assert running.stderr.read() == ""


def test_serve_stops_while_another_process_sequences(settings: Settings) -> None:
    with City(settings) as city, city.database.engine.connect() as other, LogStore(other).exclusive():
        with city.database.engine.begin() as connection:
            connection.execute(sa.insert(city.database.table("building")), [{"code": "waits"}])
        with process(settings, "--port", "0") as running:
            found = re.search(r"http://127\.0\.0\.1:\d+", first_line(running.stdout))
            assert found is not None
            health = httpx.get(f"{found[0]}/health", timeout=300).json()
            assert (health["status"], health["ahead"]) == ("ok", True)
            running.send_signal(signal.SIGTERM)
            assert running.wait(300) in (0, -signal.SIGTERM)


def values(text: str) -> dict[str, float]:
    """The samples of an exposition without labels, by name, read by hand."""
    lines = [line.split(" ") for line in text.splitlines() if not line.startswith("#") and "{" not in line]
    return {name: float(value) for name, value in lines}


def test_metrics_tell_the_lag(own: tuple[City, httpx.Client]) -> None:
    city, http = own
    answer = http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert all(family.documentation for family in families.values())
    assert {family.type for name, family in families.items() if name.startswith("cim_log_")} == {"gauge"}
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


def test_metrics_tell_the_requests(own: tuple[City, httpx.Client]) -> None:
    _, http = own
    for path in (ITEMS, ITEMS, f"{ITEMS}?limit=x", "/nosuch"):
        http.get(path)
    http.request("BREW", "/")
    families = {family.name: family for family in text_string_to_metric_families(http.get("/metrics").text)}
    answers = {
        (sample.labels["method"], sample.labels["status"]): sample.value
        for sample in families["cim_http_requests"].samples
        if sample.name.endswith("_total")
    }
    assert answers == {("GET", "200"): 2, ("GET", "400"): 1, ("GET", "404"): 1}  # BREW is no method: no request at all
    samples = families["cim_http_request_seconds"].samples
    assert next(sample.value for sample in samples if sample.name.endswith("_count")) == 4
    bounds = [sample.value for sample in samples if sample.name.endswith("_bucket")]
    assert bounds == sorted(bounds)
    assert bounds[-1] == 4
    assert 0 < next(sample.value for sample in samples if sample.name.endswith("_sum")) < 60


def test_serve_on_a_taken_port(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with process(settings, "--port", str(port)) as running:
            assert running.wait(300) == 6
            assert running.stderr is not None
            message = running.stderr.read()
    assert f"cannot listen on 127.0.0.1:{port}" in message
    assert "Traceback" not in message
    assert len(message.strip().splitlines()) == 1


def is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=300).is_success
    except httpx.TransportError:
        return False


def takes_connections(address: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=300).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_under_way_ends_before_the_server_does(
    workers: str, settings: Settings, until: Any, queue: Any
) -> None:
    with City(settings) as city, process(settings, "--port", "0", "--workers", workers) as running:
        address = address_of(running)
        until(lambda: is_up(f"{address}/health"), "the server does not answer")
        answers: list[httpx.Response] = []
        with city.database.engine.begin() as connection:
            connection.execute(sa.text("LOCK TABLE city.building IN ACCESS EXCLUSIVE MODE"))
            # An export: it may wait for a minute, a page for five seconds.
            asked = f"{address}{ITEMS}?f=geojsonseq"
            asking = threading.Thread(target=lambda: answers.append(httpx.get(asked, timeout=300)))
            asking.start()
            until(lambda: queue(connection), "the export did not begin")
            running.send_signal(signal.SIGTERM)
            until(lambda: not takes_connections(address), "the server did not begin to stop")
            assert running.poll() is None
        asking.join()
        assert answers[0].status_code == 200
        assert running.wait(300) in (0, -signal.SIGTERM)


def test_requests_are_written_as_lines_of_json(settings: Settings) -> None:
    with process(settings, "--port", "0", "--log-requests") as running:
        address = address_of(running)
        httpx.get(f"{address}{ITEMS}?limit=3", headers={"X-Request-ID": "n-1"}, timeout=300)
        httpx.get(f"{address}/nosuch%0A%22", timeout=300)
        running.send_signal(signal.SIGTERM)
        running.wait(300)
        assert running.stderr is not None
        lines = [json.loads(line) for line in running.stderr.read().splitlines()]
    first, second = lines
    assert first["time"].endswith("+00:00")
    assert {**first, "request": "n-1", "path": ITEMS, "query": "limit=3", "status": 200, "caller": None} == first
    assert first["ms"] > 0
    assert first["bytes"] > 100
    assert (second["status"], second["path"]) == (404, '/nosuch\n"')


def test_several_workers_answer_on_one_port_behind_a_path(settings: Settings, until: Any) -> None:
    with process(settings, "--port", "0", "--workers", "2", "--root-path", "/city/") as running:
        address = address_of(running)
        until(lambda: is_up(f"{address}/health"), "no worker answers")  # the port is open before the workers are
        forwarded = {"X-Forwarded-Proto": "https", "Host": "city.example.org"}
        for _ in range(10):
            page = httpx.get(f"{address}{ITEMS}?limit=1", headers=forwarded, timeout=300).json()
            links = {link["rel"]: link["href"] for link in page["links"]}
            assert links["self"] == f"https://city.example.org/city{ITEMS}?limit=1"
        running.send_signal(signal.SIGTERM)
        assert running.wait(300) == 0
        assert running.stderr is not None
        assert running.stderr.read() == ""


def test_behind_nginx_as_the_docs_have_it(settings: Settings, tmp_path: Path, until: Any) -> None:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    odd = "a/b?c#d%2F e;f=g&h"
    with City(settings) as city, city.database.engine.begin() as connection:
        connection.execute(sa.insert(city.database.table("building")), [{"code": odd}])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    block = of_the_docs("nginx")
    with process(settings, "--port", "0", "--root-path", "/city") as running:
        location = block.replace("http://127.0.0.1:8000", address_of(running))
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        folders = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in names)
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}} user root;\n"
            f"http {{ access_log off; {folders} server {{ listen 127.0.0.1:{port}; {location} }} }}\n"
        )
        proxy = subprocess.Popen(
            [nginx, "-p", tmp_path, "-c", tmp_path / "nginx.conf"], stderr=subprocess.PIPE, text=True
        )
        try:
            base = f"http://127.0.0.1:{port}/city"
            until(lambda: is_up(f"{base}/health"), "nginx does not pass requests on")
            page = httpx.get(f"{base}{ITEMS}").json()
            item = f"{base}{ITEMS}/{quote(odd, safe='')}"
            assert [feature["id"] for feature in page["features"]] == [odd]
            links = {link["rel"]: link["href"] for link in httpx.get(item).json()["links"]}
            assert links["self"] == item
            for rel in ("self", "collection", "version-history"):
                assert httpx.get(links[rel]).status_code == 200, rel
            landing = httpx.get(f"{base}/", headers={"Accept": "application/json"}).json()
            assert {link["href"].startswith(base) for link in landing["links"]} == {True}
            assert httpx.get(f"{base}/nosuch").headers["content-type"] == "application/problem+json"
            # nginx knows no /metrics: who gets it has smuggled a request past nginx.
            for name, rest in SMUGGLED.items():
                with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
                    connection.sendall(EXECUTION.replace(b"POST ", b"POST /city", 1) + rest + ENDING)
                    received = b""
                    while piece := connection.recv(65_536):
                        received += piece
                assert received.startswith(b"HTTP/1.1 "), name
                assert b"cim_log_tree_size" not in received, name
        finally:
            proxy.terminate()
            proxy.communicate()


def of_the_docs(language: str) -> str:
    """The one block of code of a language that the docs on deployment have."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def test_systemd_understands_the_unit_of_the_docs(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd is not installed")
    unit = of_the_docs("ini")
    program = re.search(r"ExecStart=(\S+) (.*)", unit)
    assert program is not None
    assert program[1] == "/opt/cim/.venv/bin/cim"
    path = tmp_path / "cim.service"
    for text, complaint in ((unit, ""), (unit.replace("ProtectHome", "ProtectHum"), "Unknown key")):
        path.write_text(text.replace(program[1], shutil.which("true") or "/bin/true"), encoding="utf-8")
        done = subprocess.run([verify, "verify", path], capture_output=True, text=True, timeout=300, check=False)
        assert (done.stderr == "") == (complaint == "")
        assert complaint in done.stderr
    assert CliRunner().invoke(build(), [*program[2].split(), "--help"]).exit_code == 0


def test_the_image_of_the_docs_starts_and_is_healthy(settings: Settings, until: Any) -> None:
    """What the Dockerfile runs and asks; that its steps install is for who builds it."""
    dockerfile = of_the_docs("dockerfile")
    command = json.loads(re.findall(r"^CMD (.*)$", dockerfile, re.MULTILINE)[0])
    healthy = shlex.split(re.findall(r"^HEALTHCHECK CMD (.*)$", dockerfile, re.MULTILINE)[0])
    assert (command[:2], healthy[:2]) == (["cim", "serve"], ["python", "-c"])
    with process(settings, *command[2:], "--port", "0") as running:
        port = re.findall(r":(\d+)", first_line(running.stdout))[0]
        asked = [sys.executable, "-c", healthy[2].replace(":8000", f":{port}")]
        until(lambda: not subprocess.run(asked, capture_output=True, check=False).returncode, "it is never healthy")
        running.send_signal(signal.SIGTERM)
        assert running.wait(300) in (0, -signal.SIGTERM)
    assert subprocess.run(asked, capture_output=True, timeout=300, check=False).returncode


def test_the_image_takes_no_more_than_the_project() -> None:
    """COPY takes whatever lies in the checkout but what .dockerignore names: no environment, history or secret."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    kept_out = {line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()} | {".git"}
    assert kept_out <= {line.removeprefix("**/").strip("/") for line in ignored}
