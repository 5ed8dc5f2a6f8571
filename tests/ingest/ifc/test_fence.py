"""Kernels that crash, hang or run out of memory: what they did before is kept, the element at fault is named."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ifcopenshell
import ifcopenshell.geom
import numpy as np
import pytest

from ingest.ifc import fence, geometry
from ingest.ifc.fence import Triangles

TRIANGLE = np.arange(9, dtype=np.float64).reshape(1, 3, 3)


def crash(number: int) -> None:
    os.kill(os.getpid(), number)


def job(fault: Any) -> Iterator[tuple[int, Triangles | None]]:
    yield 7, None
    yield 7, TRIANGLE
    yield 8, np.repeat(TRIANGLE, 50_000, axis=0)
    yield 9, None
    fault()
    yield 9, TRIANGLE


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_what_was_meshed_before_a_crash_is_kept(number: signal.Signals) -> None:
    outcome = fence.run(lambda: job(lambda: crash(number)))
    assert outcome.fault == number.name
    assert outcome.at == 9
    assert {key: len(found) for key, found in outcome.triangles.items()} == {7: 1, 8: 50_000}
    assert np.array_equal(outcome.triangles[7], TRIANGLE)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only time on a core count, which is the same however much else there is to do."""
    monkeypatch.setattr(fence, "_WAITING", 10_000)


@pytest.mark.parametrize(
    ("waited", "spent", "silent"),
    [
        (59, 59, False),
        (60, 60, True),
        (60, 59, False),  # it is kept waiting for a core
        (599, 0, False),
        (600, 0, True),  # nobody waits for a core as long as that
    ],
)
def test_silence_is_time_on_a_core_and_waiting_for_ever(
    waited: float, spent: float, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = fence._Fork(process=1, descriptor=0, heard=1000.0, spent=5.0)
    monkeypatch.setattr("ingest.ifc.fence.time.monotonic", lambda: 1000.0 + waited)
    monkeypatch.setattr("ingest.ifc.fence.time.clock_gettime", lambda _clock: 5.0 + spent)
    assert fork.is_silent(60.0) is silent


@pytest.fixture
def pipes() -> Iterator[list[tuple[int, int]]]:
    """Two pipes, each to read from and to write to."""
    found = [os.pipe(), os.pipe()]
    yield found
    for end in (*found[0], *found[1]):
        os.close(end)


def test_a_fork_that_waits_for_ever_is_ended(pipes: list[tuple[int, int]]) -> None:
    outcome = fence.run(lambda: job(lambda: os.read(pipes[0][0], 1)), silence=0.1)
    assert outcome.fault == "no answer for 0.1 s"


@pytest.mark.usefixtures("patient")
def test_a_fork_that_is_kept_waiting_for_a_core_is_not_taken_for_hung() -> None:
    # Asleep for thrice as long, as on a machine with more to do than cores; it used none of its time.
    outcome = fence.run(lambda: job(lambda: time.sleep(0.9)), silence=0.3)
    assert (outcome.fault, outcome.at, set(outcome.triangles)) == (None, None, {7, 8, 9})


@pytest.mark.usefixtures("patient")
def test_a_fork_that_works_without_a_word_is_ended() -> None:
    def work() -> None:
        while True:
            pass

    outcome = fence.run(lambda: job(work), silence=0.3)
    assert (outcome.fault, outcome.at, set(outcome.triangles)) == ("no answer for 0.3 s", 9, {7, 8})


def test_jobs_run_side_by_side_and_the_fault_of_one_is_its_own(pipes: list[tuple[int, int]]) -> None:
    # Each tells the other that it is there and waits to be told: one after the other, the first would wait for ever.
    (first_reads, second_tells), (second_reads, first_tells) = pipes

    def meet(tell: int, read: int) -> None:
        os.write(tell, b".")
        os.read(read, 1)

    jobs = [
        lambda: job(lambda: meet(first_tells, first_reads)),
        lambda: job(lambda: crash(signal.SIGSEGV)),
        lambda: job(lambda: meet(second_tells, second_reads)),
    ]
    outcomes = fence.run_all(jobs)
    assert [outcome.fault for outcome in outcomes] == [None, "SIGSEGV", None]
    assert [set(outcome.triangles) for outcome in outcomes] == [{7, 8, 9}, {7, 8}, {7, 8, 9}]


def test_forks_read_the_same_open_file_each_at_a_place_of_its_own(pipes: list[tuple[int, int]], tmp_path: Path) -> None:
    (tmp_path / "model.ifc").write_bytes(bytes(range(100)))
    (first_reads, second_tells), (second_reads, first_tells) = pipes
    with (tmp_path / "model.ifc").open("rb", buffering=0) as file:

        def read(at: int, tell: int, wait: int) -> Iterator[tuple[int, Triangles | None]]:
            file.seek(at)
            os.write(tell, b".")
            os.read(wait, 1)  # by now both have sought their place
            yield 1, np.full((1, 3, 3), float(file.read(1)[0]))

        outcomes = fence.run_all(
            [lambda: read(10, first_tells, first_reads), lambda: read(70, second_tells, second_reads)]
        )
    assert [outcome.triangles[1][0, 0, 0] for outcome in outcomes] == [10.0, 70.0]


def test_a_fork_may_run_out_of_memory() -> None:
    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))
        bytearray(2**31)

    assert fence.run(lambda: job(fill)).fault == "out of memory"


def test_a_job_that_ends_well_has_no_fault() -> None:
    outcome = fence.run(lambda: job(lambda: None))
    assert (outcome.fault, outcome.at, sorted(outcome.triangles)) == (None, None, [7, 8, 9])


@pytest.mark.real
def test_a_kernel_that_really_crashes_costs_only_what_it_crashes_on(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The manifold kernel ends the process on this model when it cuts openings.
    def cutting() -> Any:
        settings: Any = ifcopenshell.geom.settings()
        settings.set("no-normals", True)
        return settings

    monkeypatch.setattr(geometry, "_settings", cutting)
    model = ifcopenshell.open(str(shared / "data/ifc/Duplex_A_20110907.ifc"))
    assert isinstance(model, ifcopenshell.file)
    elements = model.by_type("IfcWall") + model.by_type("IfcFurnishingElement")
    alone = geometry.mesh(model, elements, 1.0, kernels=("manifold",))
    assert set(alone.faults.values()) == {"manifold: SIGSEGV"}
    assert alone.faults.keys() == set(alone.missing) | set(alone.boxed)
    both = geometry.mesh(model, elements, 1.0, kernels=("manifold", "opencascade"))
    assert both.faults == alone.faults
    assert both.triangles.keys() == {element.id() for element in elements}
    assert (both.boxed, both.missing) == ((), ())
