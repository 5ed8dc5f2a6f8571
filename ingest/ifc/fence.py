"""Run the geometry kernels where their faults do no harm: in a fork of the process that has the model open.

Kernels written in C++ end the process they run in when they meet what they did not expect, or never come back. So
they run in a fork, which shares the open model and sends each mesh as soon as it is there. When it dies, or is
silent for too long, the meshes it sent are kept. A second fork then takes the rest one by one and says before each
which it is, so that the one element at fault is known.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.ifc.opening import DamagedText

Triangles = NDArray[np.float64]
# A job yields (id, None) when it begins an element that it takes alone, (id, triangles) when it has meshed it.
Job = Callable[[], Iterator[tuple[int, Triangles | None]]]

# A kernel that has said nothing for so long is taken for hung, seconds.
SILENCE = 60.0
_HEAD = struct.Struct("<qq")
_BEGUN = -1
_TRIANGLE = 72  # bytes: nine doubles
# How a fork ends that found the text of the model damaged.
_DAMAGED = 3


@dataclass(slots=True)
class Outcome:
    """What a fork sent: triangles by id; the id it was at, and how it ended, where it did not end well."""

    triangles: dict[int, Triangles] = field(default_factory=dict)
    at: int | None = None
    fault: str | None = None


def run(job: Job, silence: float = SILENCE) -> Outcome:
    """Run a job in a fork of this process and collect what it yields; kill it when it is silent for too long.

    Parameters
    ----------
    job : generator function; must be at peace with being forked (no threads of its own)
    silence : seconds without a word after which the fork is ended

    Raises
    ------
    DamagedText : the job did.
    """
    outcome = Outcome()
    if not hasattr(os, "fork"):  # no fence on Windows: a crash ends the process of this one model
        outcome.triangles = {key: found for key, found in job() if found is not None}
        return outcome
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(job, writing)
    os.close(writing)
    stream = _Stream(reading, silence)
    try:
        _collect(stream, outcome)
    finally:
        os.close(reading)
        if stream.silent:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _DAMAGED:
        raise DamagedText
    outcome.fault = f"no answer for {silence:g} s" if stream.silent else _ending(status)
    return outcome


def _work(job: Job, writing: int) -> None:
    """Be the fork: send what the job yields, then end without what an interpreter does on its way out."""
    code = 1
    faulthandler.disable()  # the crash is expected, and reported
    gc.disable()  # it would write to every object, and so copy what is shared
    try:
        with os.fdopen(writing, "wb") as pipe:
            for key, triangles in job():
                if triangles is None:
                    pipe.write(_HEAD.pack(key, _BEGUN))
                    pipe.flush()
                else:
                    pipe.write(_HEAD.pack(key, len(triangles)))
                    pipe.write(np.ascontiguousarray(triangles, np.float64).tobytes())
        code = 0
    except MemoryError:
        code = 2
    except DamagedText:
        code = _DAMAGED
    except BaseException as error:  # the fork must end here, whatever happened
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        with suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def _collect(stream: _Stream, outcome: Outcome) -> None:
    """Read frames until the fork closes its end or falls silent; half a frame is none."""
    while (head := stream.read(_HEAD.size)) is not None:
        key, count = _HEAD.unpack(head)
        if count == _BEGUN:
            outcome.at = key
            continue
        body = stream.read(count * _TRIANGLE)
        if body is None:
            return
        outcome.triangles[key] = np.frombuffer(body, np.float64).reshape(-1, 3, 3)
        outcome.at = None


@dataclass(slots=True)
class _Stream:
    """Bytes from a pipe, with a limit on how long it may be silent."""

    descriptor: int
    silence: float
    silent: bool = False
    buffer: bytearray = field(default_factory=bytearray)

    def read(self, size: int) -> bytes | None:
        """Return exactly `size` bytes; None when fewer come before the end, or nothing for too long."""
        while len(self.buffer) < size:
            if not select.select([self.descriptor], [], [], self.silence)[0]:
                self.silent = True
                return None
            part = os.read(self.descriptor, 1024 * 1024)
            if not part:
                return None
            self.buffer += part
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken


def _ending(status: int) -> str | None:
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return None
    return {1: "an error", 2: "out of memory"}.get(code) or _signal(code)


def _signal(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
