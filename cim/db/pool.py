"""Connections of asyncpg that are taken and given back.

asyncpg's own pool starts tasks and timers for each; together they took a fifth of the time of a read of one object.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

IDLE = 300.0  # seconds after which a connection that nobody took is closed
# Seconds from one new connection to the next, while others are given back. What is read first on one takes its server
# process up to 70 ms of CPU time: ten that began at once held everybody up for most of a second.
PACE = 0.1


class Pool:
    """At most `size` connections, made when they are needed, one after another, the last one given back first.

    For one event loop.
    """

    def __init__(self, connect: Callable[[], Awaitable[Any]], size: int) -> None:
        self._connect = connect
        self._free = size  # places without a connection
        self._idle: list[tuple[Any, float]] = []  # with the time it was given back, the longest idle first
        # Each is given a connection, or None for a place to make one in.
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._reaper: asyncio.TimerHandle | None = None
        self._pace: asyncio.TimerHandle | None = None  # until then no other connection is begun
        self._closed = False

    async def take(self, patience: float) -> Any:
        """Return a connection that nobody else has until it is given back.

        Raises
        ------
        TimeoutError : none was given back within `patience` seconds. What connecting raises.
        """
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._free += 1
        if self._free and self._pace is None:
            self._begin()
        else:
            given = await self._given(patience)
            if given is not None:
                return given
        try:
            return await self._connect()
        except BaseException:
            self._go_on()
            self._vacate()
            raise

    def give_back(self, connection: Any) -> None:
        """Let others have a connection; a closed one leaves its place to a new one."""
        if self._closed or connection.is_closed():
            self._end(connection)
        elif not self._hand(connection):
            loop = asyncio.get_running_loop()
            self._idle.append((connection, loop.time()))
            if self._reaper is None:
                self._reaper = loop.call_later(IDLE, self._reap)

    def drop_idle(self) -> None:
        """End the connections that nobody has, as where the server has gone away beneath them."""
        while self._idle:
            self._end(self._idle.pop()[0])

    async def close(self) -> None:
        """Close the connections that nobody has, and the others as they are given back."""
        self._closed = True
        for timer in (self._reaper, self._pace):
            if timer is not None:
                timer.cancel()
        while self._idle:
            await self._idle.pop()[0].close()

    async def _given(self, patience: float) -> Any:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting.append(waiter)
        # asyncio.timeout would cost as much as the wait itself.
        timer = loop.call_later(patience, _give_up, waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.cancelled() or waiter.exception() is not None:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(waiter)
            elif (given := waiter.result()) is None:  # handed over in the moment of giving up
                self._vacate()
            else:
                self.give_back(given)
            raise
        finally:
            timer.cancel()

    def _hand(self, connection: Any) -> bool:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _begin(self) -> None:
        self._free -= 1
        self._pace = asyncio.get_running_loop().call_later(PACE, self._go_on)

    def _go_on(self) -> None:
        if self._pace is not None:
            self._pace.cancel()
            self._pace = None
        if self._free and self._hand(None):
            self._begin()

    def _vacate(self) -> None:
        if not self._hand(None):
            self._free += 1

    def _end(self, connection: Any) -> None:
        connection.terminate()
        self._vacate()

    def _reap(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._idle and now - self._idle[0][1] >= IDLE:
            self._end(self._idle.pop(0)[0])
        later = asyncio.get_running_loop().call_later
        self._reaper = later(self._idle[0][1] + IDLE - now, self._reap) if self._idle else None


def _give_up(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
