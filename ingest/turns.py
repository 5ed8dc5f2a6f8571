"""Turns of files that are taken in on several machines, kept by the one place all of them reach: the database.

Who gives the turns holds an advisory lock for each file under way, and one for the run. A file waits for its own; who
gives the turns lets go of it. Locks are of a session: when the run ends, or its process dies, nobody waits for ever.
"""

from __future__ import annotations

from types import TracebackType
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Engine

from cim.db.script import query
from cim.errors import Conflict


class Turns:
    """Gives turns from a session of its own; a context manager, at whose end all that still wait are turned away."""

    def __init__(self, engine: Engine) -> None:
        self.run = uuid4().hex
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._lock("ingest/hold_turn", "run")

    def hold(self, number: int) -> None:
        """Make the file of this number wait."""
        self._lock("ingest/hold_turn", str(number))

    def give(self, number: int) -> None:
        """Let it go on."""
        self._lock("ingest/give_turn", str(number))

    def _lock(self, name: str, what: str) -> None:
        self._connection.execute(query(name), {"what": f"{self.run} {what}"})

    def __enter__(self) -> Turns:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The pool would keep the session, and with it the locks.
        self._connection.invalidate()
        self._connection.close()


def wait_for_turn(connection: sa.Connection, run: str, number: int) -> None:
    """Wait until a file of a run may see and change what those before it did.

    Raises
    ------
    Conflict : the run is over.
    """
    waited = {"turn": f"{run} {number}", "run": f"{run} run"}
    if connection.execute(query("ingest/wait_for_turn"), waited).scalar_one():
        raise Conflict("the run is over: whoever gave it has ended it, or is gone; nothing of the file is in")
