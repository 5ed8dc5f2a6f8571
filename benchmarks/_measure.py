"""Take turns, wall and CPU seconds, medians: what every benchmark here does the same way."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

TICKS = os.sysconf("SC_CLK_TCK")
Result = TypeVar("Result")
# Last line of a contestant's code: prints the kB of its peak resident set. Its ru_maxrss would count the process that
# started it, too: Linux keeps that number from before the program.
PRINT_PEAK = """
from pathlib import Path as _Path
print(next(line.split()[1] for line in _Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""


@dataclass(frozen=True)
class Sample:
    """One run: wall seconds, CPU seconds of this process with its children, and of the processes watched."""

    wall: float
    client: float
    server: float


def measure(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    prepare: Callable[[str], object] = lambda _name: None,
    server: Callable[[], float] = lambda: 0.0,
) -> dict[str, list[Sample]]:
    """Run the contestants in turn, a b c, a b c, after one warm-up round that does not count.

    Parameters
    ----------
    prepare : called before each run, not timed
    server : answers the CPU seconds that the server has used so far
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            prepare(name)
            _, sample = measure_once(run, server)
            if turn:
                samples[name].append(sample)
    return samples


def measure_once(run: Callable[[], Result], server: Callable[[], float]) -> tuple[Result, Sample]:
    """Run something and return what it gives and took; `server` as in `measure`."""
    cpu, served, start = _client_cpu(), server(), time.perf_counter()
    result = run()
    wall = time.perf_counter() - start
    return result, Sample(wall, _client_cpu() - cpu, server() - served)


def run(command: Sequence[str], more: Mapping[str, str]) -> str:
    """Run a contestant as a process of its own, with `more` in its environment, and return what it prints.

    It may keep its bytecode, as where people run it: else each start compiles all packages anew, seconds of it.

    Raises
    ------
    SystemExit : it failed; with the end of what it said.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | dict(more)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed ({done.returncode}): {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def _client_cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def cpu_of_tree(pid: int) -> float:
    """Return the CPU seconds of a process and its living children (Linux)."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        # after the name: state ppid … utime (12th) stime (13th) cutime cstime, proc(5)
        stats[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    own = [ticks for child, (parent, ticks) in stats.items() if child == pid or parent == pid]
    return sum(own) / TICKS


class Cost:
    """Wall seconds, and CPU seconds of this process and of a server's tree, added up over the times it is entered."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._spent = [0.0, 0.0, 0.0]

    def _now(self) -> list[float]:
        return [time.perf_counter(), time.process_time(), cpu_of_tree(self._server)]

    def __enter__(self) -> None:
        self._before = self._now()

    def __exit__(self, *_: object) -> None:
        self._spent = [s + n - b for s, n, b in zip(self._spent, self._now(), self._before, strict=True)]

    def line(self, size: int, unit: str) -> str:
        """Say what each of so many units took."""
        wall, client, server = self._spent
        each = f"{1e6 * client / size:.1f} µs client + {1e6 * server / size:.1f} µs server of CPU each"
        return f"{size:,} {unit} in {wall:.1f} s wall, {size / wall:,.0f}/s, {each}"


def report(title: str, samples: Mapping[str, list[Sample]], work: int, unit: str, base: str) -> None:
    """Print medians, range, rate, and each contestant's ratio to `base` (above 1: slower than it)."""
    print(f"\n## {title}\n")
    print(f"| who | wall s (min–max) | CPU client + server s | {unit}/s | × {base} |")
    print("|---|---|---|---|---|")
    reference = statistics.median(s.wall for s in samples[base])
    for name, runs in samples.items():
        walls = [s.wall for s in runs]
        wall = statistics.median(walls)
        client, server = (statistics.median(getattr(s, part) for s in runs) for part in ("client", "server"))
        print(
            f"| {name} | {wall:.3f} ({min(walls):.3f}–{max(walls):.3f}) | {client:.2f} + {server:.2f} "
            f"| {work / wall:,.0f} | {wall / reference:.2f} |"
        )


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is gone afterwards and that the embedded server's account may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def machine() -> str:
    """Describe what this runs on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
