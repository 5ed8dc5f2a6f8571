from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cim.errors import InvalidData
from ingest.ifc.process import Limits, run


@pytest.fixture
def small(builder: Callable[..., object], tmp_path: Path) -> Path:
    model = builder()
    storey = model.storey(model.building(model.site()), "Ground", 0.0)  # type: ignore[attr-defined]
    model.shell(storey, 0, 0, 0, 5, 4, 3)  # type: ignore[attr-defined]
    return model.write(tmp_path / "small.ifc")  # type: ignore[attr-defined]


def crash_child(with_signal: signal.Signals) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in psutil.Process().children(recursive=True):
            if "ingest.ifc.worker" in " ".join(child.cmdline()):
                child.send_signal(with_signal)
                return
        time.sleep(0.005)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_crash_of_the_kernel_refuses_the_file_only(small: Path, name: str) -> None:
    killer = threading.Thread(target=crash_child, args=(signal.Signals[name],))
    killer.start()
    with pytest.raises(InvalidData, match=f"small.ifc.*{name}"):
        run(small, Limits())
    killer.join()
    assert len(run(small, Limits())["buildings"]) == 1


def test_time_limit(small: Path) -> None:
    with pytest.raises(InvalidData, match=r"longer than 0\.05 s"):
        run(small, Limits(seconds=0.05))
    assert not [c for c in psutil.Process().children(recursive=True) if "ingest.ifc.worker" in " ".join(c.cmdline())]


@pytest.mark.parametrize("megabytes", [100, 300])
def test_memory_limit(small: Path, megabytes: int) -> None:
    with pytest.raises(InvalidData, match=r"small\.ifc"):
        run(small, Limits(memory_bytes=megabytes * 1024**2))


def test_scratch_is_removed(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    run(small, Limits())
    assert list(folder.iterdir()) == []
