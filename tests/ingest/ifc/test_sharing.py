from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

import psutil
import pytest

from ingest.ifc.sharing import Task, do_all


def where(number: int) -> tuple[int, int]:
    return number, os.getpid()


def tasks(*jobs: Callable[[], tuple[int, int]]) -> list[Task[tuple[int, int]]]:
    return [Task(job, size) for size, job in enumerate(jobs, 1)]


def test_results_come_in_the_order_of_the_tasks_and_two_processes_share_them() -> None:
    found = do_all(tasks(*(partial(where, number) for number in range(6))), 2)
    assert [number for number, _ in found] == [0, 1, 2, 3, 4, 5]
    # Sizes 1 to 6, the largest first and each to who has least: 6, 3 and 2 here (11), 5, 4 and 1 there (10).
    assert [process == os.getpid() for _, process in found] == [False, True, True, False, False, True]
    assert len({process for _, process in found}) == 2


def test_one_process_does_all_itself() -> None:
    assert do_all(tasks(partial(where, 0), partial(where, 1)), 1) == [(0, os.getpid()), (1, os.getpid())]
    assert do_all([], 2) == []


def test_what_a_fork_was_ended_over_is_done_here() -> None:
    here = os.getpid()

    def ended_elsewhere() -> tuple[int, int]:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return where(0)

    assert do_all(tasks(ended_elsewhere, partial(where, 1)), 2) == [(0, here), (1, here)]


def test_where_no_fork_can_be_had_all_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("ingest.ifc.sharing.os.fork", refuse)
    here = os.getpid()
    open_before = psutil.Process().num_fds()
    assert do_all(tasks(*(partial(where, number) for number in range(3))), 2) == [(0, here), (1, here), (2, here)]
    assert psutil.Process().num_fds() == open_before


@pytest.mark.parametrize("small", [True, False])
def test_what_a_task_raises_comes_out_wherever_it_was_done(small: bool) -> None:
    def fail() -> tuple[int, int]:
        raise ValueError("no such building")

    before = psutil.Process().children()
    jobs = [fail, partial(where, 1)] if small else [partial(where, 1), fail]
    with pytest.raises(ValueError, match="no such building"):
        do_all(tasks(*jobs), 2)
    assert psutil.Process().children() == before  # nor one that has ended and waits to be asked how
