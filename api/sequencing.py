"""Keep the log up with the city while the API runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import sqlalchemy as sa

from cim.city import City
from cim.db.reader import Reader
from cim.errors import CimError

log = logging.getLogger("cim.api.sequencing")

INTERVAL = 0.1  # from look to look
SHORTEST_PAUSE = 0.05
INTERVAL_AFTER_FAILURE = 10.0


class Sequencing:
    """A task that sequences and publishes whenever a committed revision waits.

    While a sequencer of another process is at work it leaves the work to it, and looks again.

    Attributes
    ----------
    failure : what went wrong the last time, None if nothing did.
    """

    def __init__(self, city: City, reader: Reader) -> None:
        self._city = city
        self._reader = reader
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.failure: str | None = None

    def start(self) -> None:
        """Begin. Must be called in the event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Let the batch under way end, and stop."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        # At first whatever is there: a process that was killed may have sequenced without publishing.
        wanted = True
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                if wanted or (await self._reader.live()).ahead:
                    await asyncio.to_thread(self._city.sequence, 0.0, queue=False)
                wanted, self.failure = False, None
            except (CimError, sa.exc.SQLAlchemyError, OSError) as error:
                if self.failure != str(error):
                    log.error("the log falls behind: %s", error)  # foreseen, and said once
                wanted, self.failure = True, str(error)
            except Exception as error:  # a defect must not end the log; it is told each time
                log.exception("the log falls behind")
                wanted, self.failure = True, type(error).__name__
            left = max(INTERVAL - (time.monotonic() - began), SHORTEST_PAUSE)
            await self._pause(left if self.failure is None else INTERVAL_AFTER_FAILURE)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
