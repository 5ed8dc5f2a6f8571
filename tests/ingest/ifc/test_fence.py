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


def test_a_fork_that_hangs_is_ended() -> None:
    started = time.monotonic()
    outcome = fence.run(lambda: job(lambda: time.sleep(60)), silence=0.3)
    assert time.monotonic() - started < 10
    assert (outcome.fault, outcome.at) == ("no answer for 0.3 s", 9)


def test_a_fork_that_is_kept_waiting_for_a_core_is_not_taken_for_hung() -> None:
    # Asleep for thrice as long, as on a machine with more to do than cores; it used none of its time.
    outcome = fence.run(lambda: job(lambda: time.sleep(0.9)), silence=0.3)
    assert (outcome.fault, outcome.at, set(outcome.triangles)) == (None, None, {7, 8, 9})


def test_a_fork_that_works_without_a_word_is_ended() -> None:
    def work() -> None:
        while True:
            pass

    outcome = fence.run(lambda: job(work), silence=0.3)
    assert (outcome.fault, outcome.at, set(outcome.triangles)) == ("no answer for 0.3 s", 9, {7, 8})


def test_jobs_run_side_by_side_and_the_fault_of_one_is_its_own() -> None:
    def pause() -> None:
        time.sleep(1.0)

    started = time.monotonic()
    jobs = [lambda: job(pause), lambda: job(pause), lambda: job(lambda: crash(signal.SIGSEGV)), lambda: job(pause)]
    outcomes = fence.run_all(jobs)
    assert time.monotonic() - started < 2.9  # three pauses one after another would take longer
    assert [outcome.fault for outcome in outcomes] == [None, None, "SIGSEGV", None]
    assert [set(outcome.triangles) for outcome in outcomes] == [{7, 8, 9}, {7, 8, 9}, {7, 8}, {7, 8, 9}]


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
