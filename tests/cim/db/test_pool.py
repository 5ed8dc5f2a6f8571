"""Connections taken and given back, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from cim.db import pool as pools
from cim.db.engine import Database
from cim.db.pool import Pool

Check = Callable[[Pool], Awaitable[None]]
NUMBER = "SELECT pg_backend_pid()"
PATIENCE = 300


@pytest.fixture
def pooled(database: Database) -> Callable[[int, Check], None]:
    """Run a check in an event loop of its own, with a pool of so many connections."""
    named = sa.make_url(database.url).set(drivername="postgresql").difference_update_query(["connect_timeout"])
    url = named.render_as_string(hide_password=False)

    async def checked(size: int, check: Check) -> None:
        pool = Pool(lambda: asyncpg.connect(url), size)
        try:
            await asyncio.wait_for(check(pool), PATIENCE)
        finally:
            await pool.close()
            await asyncio.sleep(0.01)  # transports end in a later turn of the loop

    def run(size: int, check: Check) -> None:
        work: Coroutine[Any, Any, None] = checked(size, check)
        asyncio.run(work)

    return run


def test_one_given_back_is_taken_again(pooled: Callable[[int, Check], None]) -> None:
    async def check(pool: Pool) -> None:
        first = await pool.take(1)
        number = await first.fetchval(NUMBER)
        pool.give_back(first)
        again = await pool.take(1)
        assert await again.fetchval(NUMBER) == number
        pool.give_back(again)

    pooled(1, check)


def test_no_more_than_there_may_be(pooled: Callable[[int, Check], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "PACE", 0.001)

    async def check(pool: Pool) -> None:
        at_once, most = 0, 0

        async def use() -> None:
            nonlocal at_once, most
            connection = await pool.take(PATIENCE)
            at_once += 1
            most = max(most, at_once)
            await connection.fetchval("SELECT pg_sleep(0.01)")
            at_once -= 1
            pool.give_back(connection)

        await asyncio.gather(*(use() for _ in range(20)))
        assert most == 3

    pooled(3, check)


def test_who_waits_too_long_is_told_and_loses_nothing(pooled: Callable[[int, Check], None]) -> None:
    async def check(pool: Pool) -> None:
        only = await pool.take(1)
        with pytest.raises(TimeoutError):
            await pool.take(0.05)
        waiting = asyncio.create_task(pool.take(PATIENCE))
        await asyncio.sleep(0)
        waiting.cancel()
        pool.give_back(only)  # to the one that has just given up
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await pool.take(1) is only
        pool.give_back(only)

    pooled(1, check)


def test_one_handed_over_to_who_gives_up_goes_on_to_the_next(pooled: Callable[[int, Check], None]) -> None:
    async def check(pool: Pool) -> None:
        only = await pool.take(1)
        first, second = asyncio.create_task(pool.take(PATIENCE)), asyncio.create_task(pool.take(PATIENCE))
        await asyncio.sleep(0)
        pool.give_back(only)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second is only
        pool.give_back(only)

    pooled(1, check)


def test_a_lost_one_makes_room_for_another(pooled: Callable[[int, Check], None]) -> None:
    async def check(pool: Pool) -> None:
        lost = await pool.take(1)
        waiting = asyncio.create_task(pool.take(PATIENCE))
        await asyncio.sleep(0)
        lost.terminate()
        pool.give_back(lost)
        found = await waiting
        assert await found.fetchval("SELECT 1") == 1
        pool.give_back(found)
        found.terminate()  # while nobody has it
        another = await pool.take(1)
        assert await another.fetchval("SELECT 1") == 1
        pool.give_back(another)

    pooled(1, check)


def test_a_connection_that_cannot_be_made_takes_no_place() -> None:
    async def refused() -> None:
        raise OSError("refused")

    async def check() -> None:
        pool = Pool(refused, 1)
        for _ in range(3):
            with pytest.raises(OSError, match="refused"):
                await pool.take(0.05)

    asyncio.run(check())


def test_what_nobody_takes_for_long_is_closed(
    pooled: Callable[[int, Check], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "IDLE", 0.05)

    async def check(pool: Pool) -> None:
        connection = await pool.take(1)
        pool.give_back(connection)
        while not connection.is_closed():
            await asyncio.sleep(0.01)
        another = await pool.take(1)
        assert await another.fetchval("SELECT 1") == 1
        pool.give_back(another)

    pooled(1, check)


def test_one_given_back_after_the_end_is_closed(pooled: Callable[[int, Check], None]) -> None:
    async def check(pool: Pool) -> None:
        connection = await pool.take(1)
        await pool.close()
        pool.give_back(connection)
        assert connection.is_closed()

    pooled(1, check)


def test_connections_are_made_one_after_another(
    pooled: Callable[[int, Check], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "PACE", PATIENCE)

    async def check(pool: Pool) -> None:
        numbers: set[int] = set()

        async def use() -> None:
            connection = await pool.take(PATIENCE)
            numbers.add(await connection.fetchval(NUMBER))
            pool.give_back(connection)

        await asyncio.gather(*(use() for _ in range(20)))
        assert len(numbers) == 1

    pooled(10, check)


def test_another_is_made_where_none_is_given_back(pooled: Callable[[int, Check], None]) -> None:
    async def check(pool: Pool) -> None:
        taken = await asyncio.gather(*(pool.take(PATIENCE) for _ in range(3)))
        assert len({await connection.fetchval(NUMBER) for connection in taken}) == 3
        for connection in taken:
            pool.give_back(connection)

    pooled(10, check)
