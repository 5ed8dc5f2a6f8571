"""Run the geometry kernels where their faults do no harm: in a fork of the process that has the model open.

Kernels written in C++ end the process they run in when they meet what they did not expect, or never come back. So
they run in a fork, which shares the open model and sends each mesh as soon as it is there. When it dies, or is
silent for too long, the meshes it sent are kept. A second fork then takes the rest one by one and says before each
which it is, so that the one element at fault is known.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import os
import select
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.ifc.opening import DamagedText

Triangles = NDArray[np.float64]
# A job yields (id, None) when it begins an element that it takes alone, (id, triangles) when it has meshed it.
Job = Callable[[], Iterator[tuple[int, Triangles | None]]]

# A kernel that has said nothing for so long is taken for hung, seconds on a core, as a machine with much to do must not
# decide what a model holds; one that waits for ever, after so many times as long.
SILENCE = 60.0
_WAITING = 10
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
    """Run one job as `run_all` does several."""
    (outcome,) = run_all([job], silence)
    return outcome


def run_all(jobs: Sequence[Job], silence: float = SILENCE) -> list[Outcome]:
    """Run jobs side by side, each in a fork of this process, and collect what they yield, in the order of the jobs.

    Parameters
    ----------
    jobs : generator functions; must be at peace with being forked (no threads of their own)
    silence : seconds on a core without a word after which a fork is ended

    Raises
    ------
    DamagedText : a job did.
    """
    if not hasattr(os, "fork"):  # no fence on Windows: a crash ends the process of this one model
        return [Outcome({key: found for key, found in job() if found is not None}) for job in jobs]
    forks: list[_Fork] = []
    try:
        for job in jobs:
            forks.append(_Fork.of(job))  # noqa: PERF401 - those begun before one that cannot be are ended
        _listen(forks, silence)
    finally:
        codes = [fork.end() for fork in forks]
    if _DAMAGED in codes:
        raise DamagedText
    for fork, code in zip(forks, codes, strict=True):
        fork.outcome.fault = f"no answer for {silence:g} s" if fork.silent else _ending(code)
    return [fork.outcome for fork in forks]


def _work(job: Job, writing: int) -> None:
    """Be the fork: send what the job yields, then end without what an interpreter does on its way out."""
    code = 1
    faulthandler.disable()  # the crash is expected, and reported
    gc.disable()  # it would write to every object, and so copy what is shared
    try:
        _read_alone()
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


def _read_alone() -> None:
    """Open anew every file that is open to be read: forks share the place in it that they read from.

    The parser seeks, then reads what is asked for; between the two, another fork would move it elsewhere.
    """
    for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else ():  # noqa: PTH208 - numbers are wanted
        with suppress(OSError):  # that of the folder itself is closed by now
            shared = int(name)
            if (
                stat.S_ISREG(os.fstat(shared).st_mode)
                and fcntl.fcntl(shared, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
            ):
                own = os.open(f"/proc/self/fd/{shared}", os.O_RDONLY | os.O_CLOEXEC)
                os.lseek(own, os.lseek(shared, 0, os.SEEK_CUR), os.SEEK_SET)
                os.dup2(own, shared, inheritable=False)
                os.close(own)


@dataclass(slots=True)
class _Fork:
    """A job at work: its process, the end of the pipe that we read, and what came through it.

    When the last of it came is kept in seconds of the clock, and of the process on a core.
    """

    process: int
    descriptor: int
    heard: float
    spent: float = 0.0
    outcome: Outcome = field(default_factory=Outcome)
    buffer: bytearray = field(default_factory=bytearray)
    listening: bool = True
    silent: bool = False

    @classmethod
    def of(cls, job: Job) -> _Fork:
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reading)
            _work(job, writing)
        os.close(writing)
        return cls(process, reading, time.monotonic())

    def hear(self) -> None:
        """Take what is there to read: whole frames at once, half a frame when the rest of it comes."""
        part = os.read(self.descriptor, 1024 * 1024)
        self.listening = bool(part)
        self.heard, self.spent = time.monotonic(), self._on_a_core()
        self.buffer += part
        while len(self.buffer) >= _HEAD.size:
            key, count = _HEAD.unpack_from(self.buffer)
            end = _HEAD.size + max(count, 0) * _TRIANGLE
            if len(self.buffer) < end:
                return
            if count == _BEGUN:
                self.outcome.at = key
            else:
                body = bytes(self.buffer[_HEAD.size : end])
                self.outcome.triangles[key] = np.frombuffer(body, np.float64).reshape(-1, 3, 3)
                self.outcome.at = None
            del self.buffer[:end]

    def is_silent(self, silence: float) -> bool:
        """Say whether nothing has come for so many seconds on a core, or many times as long."""
        waited = time.monotonic() - self.heard
        return waited >= silence and (waited >= _WAITING * silence or self._on_a_core() - self.spent >= silence)

    def _on_a_core(self) -> float:
        # The clock of another process by its number, as clock_getcpuclockid(3) of Linux makes it.
        try:
            return time.clock_gettime((~self.process << 3) | 2)
        except OSError:  # it has ended, or the system counts otherwise
            return 0.0

    def end(self) -> int:
        """End the process, if it has not, and return its exit code, or the signal that ended it as a negative one."""
        os.close(self.descriptor)
        if self.listening:
            os.kill(self.process, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def _listen(forks: Sequence[_Fork], silence: float) -> None:
    """Listen to forks until each has closed its end or fallen silent."""
    while waiting := [fork for fork in forks if fork.listening and not fork.silent]:
        # Once it is late for one, time on a core is looked at again and again.
        left = max(min(fork.heard for fork in waiting) + silence - time.monotonic(), silence / 20)
        ready, _, _ = select.select([fork.descriptor for fork in waiting], [], [], left)
        for fork in waiting:
            if fork.descriptor in ready:
                fork.hear()
            else:
                fork.silent = fork.is_silent(silence)


def _ending(code: int) -> str | None:
    if code == 0:
        return None
    return {1: "an error", 2: "out of memory"}.get(code) or _signal(code)


def _signal(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
