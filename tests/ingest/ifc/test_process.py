from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cim.errors import InvalidData
from ingest.ifc import process
from ingest.ifc.process import Limits, run


@pytest.fixture
def small(builder: Callable[..., object], tmp_path: Path) -> Path:
    model = builder()
    storey = model.storey(model.building(model.site()), "Ground", 0.0)  # type: ignore[attr-defined]
    model.shell(storey, 0, 0, 0, 5, 4, 3)  # type: ignore[attr-defined]
    return model.write(tmp_path / "small.ifc")  # type: ignore[attr-defined]


def hosts() -> list[psutil.Process]:
    return [c for c in psutil.Process().children() if "ingest.ifc.worker" in " ".join(c.cmdline())]


def readers() -> list[psutil.Process]:
    """The processes that read models; their parents, the hosts, are children of this one."""
    return [reader for host in hosts() for reader in host.children()]


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A pipe that nobody writes to: its reader waits until it is ended."""
    os.mkfifo(tmp_path / "endless.ifc")
    return tmp_path / "endless.ifc"


def crash_reader(host: int, with_signal: signal.Signals) -> None:
    """End the next reader of a host."""
    children = Path(f"/proc/{host}/task/{host}/children")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for reader in children.read_text().split():
            os.kill(int(reader), with_signal)
            return
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_crash_of_a_reader_refuses_the_file_only(small: Path, endless: Path, name: str) -> None:
    process._HOSTS.end()
    run(small, Limits())
    (host,) = hosts()
    killer = threading.Thread(target=crash_reader, args=(host.pid, signal.Signals[name]))
    killer.start()
    with pytest.raises(InvalidData, match=f"endless.ifc.*{name}"):
        run(endless, Limits())
    killer.join()
    assert len(run(small, Limits())["buildings"]) == 1


def test_a_host_that_is_killed_is_replaced(small: Path) -> None:
    run(small, Limits())
    for host in hosts():
        host.kill()
        host.wait()
    assert len(run(small, Limits())["buildings"]) == 1


def test_time_limit(endless: Path) -> None:
    with pytest.raises(InvalidData, match=r"endless\.ifc.*longer than 0\.05 s"):
        run(endless, Limits(seconds=0.05))
    assert readers() == []


@pytest.mark.parametrize("megabytes", [1, 100])
def test_memory_limit(small: Path, megabytes: int) -> None:
    with pytest.raises(InvalidData, match=r"small\.ifc"):
        run(small, Limits(memory_bytes=megabytes * 1024**2))


def test_scratch_is_removed(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    run(small, Limits())
    assert list(folder.iterdir()) == []
