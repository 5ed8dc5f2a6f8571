"""One question for all who ask meanwhile, and no answer from before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cim.db.shared import Shared

Case = Callable[["Oracle"], Coroutine[Any, Any, None]]


class Oracle:
    """Answers each question with its number, when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.let = asyncio.Semaphore(0)
        self.shared = Shared(self.ask)

    async def ask(self) -> int:
        self.asked += 1
        number = self.asked
        await self.let.acquire()
        if number == 2:
            raise ValueError("the second question")
        return number

    async def come(self) -> asyncio.Task[int]:
        """Send somebody, and return when they wait."""
        task = asyncio.create_task(self.shared.answer())
        await asyncio.sleep(0)
        return task


async def _one_after_the_other(oracle: Oracle) -> None:
    for expected in (1, 3):
        oracle.asked = expected - 1
        oracle.let.release()
        assert await oracle.shared.answer() == expected


async def _those_who_come_meanwhile_share_the_next(oracle: Oracle) -> None:
    first = await oracle.come()
    oracle.asked = 2
    meanwhile = [await oracle.come() for _ in range(3)]
    oracle.let.release()
    assert await first == 1
    await asyncio.sleep(0)
    assert oracle.asked == 3  # one question, asked after they came
    later = await oracle.come()
    oracle.let.release()
    assert [await one for one in meanwhile] == [3, 3, 3]
    oracle.let.release()
    assert await later == 4


async def _what_it_raises_is_raised_to_all(oracle: Oracle) -> None:
    first = await oracle.come()
    meanwhile = [await oracle.come() for _ in range(2)]
    for _ in range(2):
        oracle.let.release()
    assert await first == 1
    for one in meanwhile:
        with pytest.raises(ValueError, match="the second question"):
            await one
    oracle.let.release()
    assert await oracle.shared.answer() == 3


async def _one_who_goes_away_takes_nothing_from_the_others(oracle: Oracle) -> None:
    first = await oracle.come()
    oracle.asked = 2
    gone, stays = await oracle.come(), await oracle.come()
    gone.cancel()
    first.cancel()
    oracle.let.release()
    assert await stays == 3
    assert gone.cancelled()
    assert first.cancelled()


async def _nobody_is_left_to_hear_the_error(oracle: Oracle) -> None:
    first, gone = await oracle.come(), await oracle.come()
    gone.cancel()
    for _ in range(2):
        oracle.let.release()
    assert await first == 1
    for _ in range(3):
        await asyncio.sleep(0)
    oracle.let.release()
    assert await oracle.shared.answer() == 3


@pytest.mark.parametrize(
    "case",
    [
        _one_after_the_other,
        _those_who_come_meanwhile_share_the_next,
        _what_it_raises_is_raised_to_all,
        _one_who_goes_away_takes_nothing_from_the_others,
        _nobody_is_left_to_hear_the_error,
    ],
)
def test_shared(case: Case) -> None:
    async def run() -> None:
        await case(Oracle())

    asyncio.run(run())
