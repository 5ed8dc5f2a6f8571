"""Have models read in processes of their own, within limits of time and memory, and fetch what was found.

Loading the geometry stack takes most of a second, which is longer than most models take. So it is loaded once, by a
host process that forks for each model: `worker`. The host is started by the first model and ends with us.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cim import errors
from ingest.ifc.worker import RESULT, SHELLS, STDERR


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one model may take: wall time in seconds, memory (address space) in bytes."""

    seconds: float = 900.0
    memory_bytes: int = 6 * 1024**3


@dataclass
class _Hosts:
    """Hosts without work; as many are started as models are read at once."""

    idle: list[subprocess.Popen[bytes]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    owner: int = field(default_factory=os.getpid)

    def take(self) -> subprocess.Popen[bytes]:
        with self.lock:
            # A fork of this process must not speak to hosts of its parent.
            if self.owner != os.getpid():
                self.idle, self.owner = [], os.getpid()
            while self.idle:
                host = self.idle.pop()
                if host.poll() is None:
                    return host
                end(host)
        # -P: a module lying in the folder that the command is run from must not be taken for one of ours.
        command = [sys.executable, "-P", "-m", "ingest.ifc.worker"]
        # One thread a process: files are read side by side, and a fork must not have threads.
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603 - our own module, no shell

    def give(self, host: subprocess.Popen[bytes]) -> None:
        with self.lock:
            self.idle.append(host)

    def end(self) -> None:
        """End all idle hosts of this process."""
        with self.lock:
            hosts, self.idle = self.idle, []
        for host in hosts if self.owner == os.getpid() else []:
            end(host)


_HOSTS = _Hosts()
atexit.register(_HOSTS.end)


def end(host: subprocess.Popen[bytes]) -> None:
    """End a host; a model it is reading is given up."""
    for pipe in (host.stdin, host.stdout):
        if pipe is not None:
            pipe.close()
    try:
        host.wait(5)
    except subprocess.TimeoutExpired:
        host.kill()
        host.wait()


def run(
    path: Path, limits: Limits, encoding: str | None = None, code_property: str | None = None, cores: int = 1
) -> dict[str, Any]:
    """Read the model at `path` in a process of its own and return its content (see `worker.read_model`).

    `cores` is how many processes may mesh its products side by side.

    Each building also has its `shell`: float64 (n, 3, 3), metres in model coordinates, or None.

    Raises
    ------
    InvalidData, UnknownFormat : the process refused the model, crashed, or ran into a limit.
    """
    options = {
        "encoding": encoding,
        "code_property": code_property,
        "cores": cores,
        "memory_bytes": limits.memory_bytes,
    }
    with tempfile.TemporaryDirectory(prefix="cim-ifc-") as scratch:
        request = {"path": str(path.resolve()), "scratch": scratch, "seconds": limits.seconds, "options": options}
        code = _ask(request)
        if code is None:
            raise errors.InvalidData(
                f"{path.name}: reading took longer than {limits.seconds:g} s and was ended; simplify it"
            )
        result = Path(scratch) / RESULT
        if code != 0 or not result.exists():
            raise errors.InvalidData(
                f"{path.name}: {_ending(code, Path(scratch) / STDERR)}; simplify the model or export it again"
            )
        answer: dict[str, Any] = json.loads(result.read_bytes())
        if "error" not in answer:
            with np.load(Path(scratch) / SHELLS, allow_pickle=False) as shells:
                for index, record in enumerate(answer["buildings"]):
                    record["shell"] = shells.get(str(index))
    if "error" in answer:
        raise _error_class(answer["error"])(answer["message"])
    return answer


def _ask(request: dict[str, Any]) -> int | None:
    """Have a host read a model; return how its process ended, None if it was out of time."""
    host = _HOSTS.take()
    assert host.stdin is not None
    assert host.stdout is not None
    try:
        host.stdin.write(json.dumps(request).encode() + b"\n")
        host.stdin.flush()
        line = host.stdout.readline()
        if not line:
            return host.wait()
        code: int | None = json.loads(line)
    except BrokenPipeError:
        return host.wait()
    except BaseException:
        end(host)
        raise
    _HOSTS.give(host)
    return code


def _ending(code: int, stderr: Path) -> str:
    said = stderr.read_text(encoding="utf-8", errors="replace") if stderr.exists() else ""
    last = (said.strip().splitlines() or [""])[-1][:300]
    if code < 0:
        name = signal.Signals(-code).name
        return f"its reader was ended ({name}{': ' + last if last else ''})"
    return f"reading ended with code {code} ({last})"


def _error_class(name: str) -> type[errors.CimError]:
    found = getattr(errors, name, errors.InvalidData)
    return found if isinstance(found, type) and issubclass(found, errors.CimError) else errors.InvalidData
