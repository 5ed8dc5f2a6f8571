"""Start the child process that reads a model, within limits of time and memory, and fetch what it found."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cim import errors
from ingest.ifc.worker import RESULT


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one model may take: wall time in seconds, memory (address space) in bytes."""

    seconds: float = 900.0
    memory_bytes: int = 6 * 1024**3


def run(path: Path, limits: Limits, encoding: str | None = None, code_property: str | None = None) -> dict[str, Any]:
    """Read the model at `path` in a child process and return its content (see `worker.read_model`).

    Raises
    ------
    InvalidData, UnknownFormat : the child refused the model, crashed, or ran into a limit.
    """
    options = {"encoding": encoding, "code_property": code_property, "memory_bytes": limits.memory_bytes}
    with tempfile.TemporaryDirectory(prefix="cim-ifc-") as scratch:
        # -P: a module lying in the folder that the command is run from must not be taken for one of ours.
        command = [sys.executable, "-P", "-m", "ingest.ifc.worker", str(path.resolve()), scratch]
        try:
            finished = subprocess.run(  # noqa: S603 - our own module, arguments never pass a shell
                command,
                input=json.dumps(options).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=limits.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise errors.InvalidData(
                f"{path.name}: reading took longer than {limits.seconds:g} s and was ended; simplify it"
            ) from error
        result = Path(scratch) / RESULT
        if finished.returncode != 0 or not result.exists():
            raise errors.InvalidData(f"{path.name}: {_ending(finished)}; simplify the model or export it again")
        answer: dict[str, Any] = json.loads(result.read_bytes())
    if "error" in answer:
        raise _error_class(answer["error"])(answer["message"])
    return answer


def _ending(finished: subprocess.CompletedProcess[bytes]) -> str:
    last = (finished.stderr.decode(errors="replace").strip().splitlines() or [""])[-1][:300]
    if finished.returncode < 0:
        name = signal.Signals(-finished.returncode).name
        return f"the geometry kernel crashed ({name}{': ' + last if last else ''})"
    return f"reading ended with code {finished.returncode} ({last})"


def _error_class(name: str) -> type[errors.CimError]:
    found = getattr(errors, name, errors.InvalidData)
    return found if isinstance(found, type) and issubclass(found, errors.CimError) else errors.InvalidData
