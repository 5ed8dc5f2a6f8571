"""A question that many ask at once, asked once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Shared(Generic[Answer]):
    """A question whose answer changes: nobody is given one that was asked for before they came.

    Who comes while nobody asks, asks. Who comes meanwhile waits until that has ended, and shares one question with all
    who wait; what it raises is raised to all of them. For one event loop.
    """

    def __init__(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        self._ask = ask
        self._asking = False
        self._waiting: asyncio.Future[Answer] | None = None  # for the answer of the next question
        self._task: asyncio.Task[None] | None = None

    async def answer(self) -> Answer:
        """Return the answer; raises what asking does."""
        if self._asking:
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().create_future()
            return await asyncio.shield(self._waiting)  # one who goes away must not take it from the others
        self._asking = True
        try:
            return await self._ask()
        finally:
            self._go_on()

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, None
        self._asking = waiting is not None
        if waiting is not None:
            self._task = asyncio.get_running_loop().create_task(self._for(waiting))

    async def _for(self, waiting: asyncio.Future[Answer]) -> None:
        try:
            waiting.set_result(await self._ask())
        except asyncio.CancelledError:  # the loop ends
            waiting.cancel()
            raise
        except Exception as error:
            waiting.set_exception(error)
            waiting.exception()  # all who waited may be gone
        finally:
            self._go_on()
