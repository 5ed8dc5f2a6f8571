"""Work shared with forks of this process, which have in memory all it needs; what they find comes back pickled.

A fork is a help and no more: whatever it does not bring back, and whatever ended it, is done here.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Task(Generic[Result]):
    """Something to be done once: it changes nothing, gives what can be pickled, and takes long for a large `size`."""

    do: Callable[[], Result]
    size: float


def do_all(tasks: Sequence[Task[Result]], processes: int) -> list[Result]:
    """Do tasks in so many processes, this one among them, and return what they give, in the order of the tasks.

    Raises what a task raises, of several the first.
    """
    shares = _dealt(tasks, processes) if hasattr(os, "fork") else [list(range(len(tasks)))]
    helpers: list[_Helper[Result]] = []
    found: dict[int, Result] = {}
    try:
        with suppress(OSError):  # no memory or process is left for one
            for share in shares[1:]:
                helpers.append(_Helper.of(tasks, share))  # noqa: PERF401 - those begun before one that cannot be help
        found |= {number: tasks[number].do() for number in shares[0]}
        for helper in helpers:
            found |= helper.fetch()
    finally:
        for helper in helpers:
            helper.end()
    return [found[number] if number in found else task.do() for number, task in enumerate(tasks)]


def _dealt(tasks: Sequence[Task[Result]], processes: int) -> list[list[int]]:
    """Deal out the tasks, the largest first, each to who has least to do; this process comes first."""
    shares: list[list[int]] = [[] for _ in range(max(min(processes, len(tasks)), 1))]
    loads = [0.0] * len(shares)
    for number in sorted(range(len(tasks)), key=lambda n: -tasks[n].size):
        least = loads.index(min(loads))
        shares[least].append(number)
        loads[least] += tasks[number].size
    return [shares[0], *(share for share in shares[1:] if share)]


@dataclass(slots=True)
class _Helper(Generic[Result]):
    """A fork with its share of the tasks, and the end of the pipe that its results come through."""

    process: int
    descriptor: int
    share: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, tasks: Sequence[Task[Result]], share: list[int]) -> _Helper[Result]:
        reading, writing = os.pipe()
        try:
            process = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
        if process == 0:
            os.close(reading)
            _help(tasks, share, writing)
        os.close(writing)
        return cls(process, reading, share)

    def fetch(self) -> dict[int, Result]:
        """Wait for the results; there are none where the fork did not come to its end."""
        with os.fdopen(os.dup(self.descriptor), "rb") as pipe:
            sent = pipe.read()
        _, status = os.waitpid(self.process, 0)
        self.process = 0
        if status:
            return {}
        results: list[Result] = pickle.loads(sent)  # noqa: S301 - of a fork of ours
        return dict(zip(self.share, results, strict=True))

    def end(self) -> None:
        """End the fork, if it has not, and let go of the pipe."""
        os.close(self.descriptor)
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)


def _help(tasks: Sequence[Task[Result]], share: list[int], writing: int) -> None:
    """Be the fork: do a share of the tasks, send what they give, and end without what an interpreter does then."""
    gc.disable()  # it would write to every object, and so copy what is shared
    code = 1
    try:
        results = [tasks[number].do() for number in share]
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(results, pipe, pickle.HIGHEST_PROTOCOL)
        code = 0
    except BaseException as error:  # the fork must end here, and the same comes up where it was made
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        with suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)
