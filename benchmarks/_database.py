"""A database of its own for each run of a contestant, on one server, and what that server took."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa

from benchmarks._measure import cpu_of_tree, run
from cim.db.engine import Database
from cim.settings import Settings


class RunDatabase:
    """A database with PostGIS and our empty tables, made anew before each run; drop it by `close`.

    Attributes
    ----------
    url : where it is
    """

    def __init__(self, folder: Path, server: sa.URL, srid: int) -> None:
        self.url = server.set(database="bench_run")
        self.engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
        self._folder = folder
        self._srid = srid
        self._execute("DROP DATABASE IF EXISTS bench_template WITH (FORCE)", "CREATE DATABASE bench_template")
        template = server.set(database="bench_template").render_as_string(hide_password=False)
        Database(Settings(home=folder, database_url=template, srid=srid)).dispose()

    @property
    def text(self) -> str:
        """The URL as SQLAlchemy takes it, with its password."""
        return self.url.render_as_string(hide_password=False)

    @property
    def libpq(self) -> str:
        """The URL as PostgreSQL's own tools take it."""
        return self.text.replace("+psycopg", "")

    def fresh(self, _name: str = "") -> None:
        """Give the next run an empty database, and the server a clean slate."""
        self._execute(
            "DROP DATABASE IF EXISTS bench_run WITH (FORCE)",
            "CREATE DATABASE bench_run TEMPLATE bench_template",
            "CHECKPOINT",
        )

    def run(self, command: Sequence[str], more: Mapping[str, str] | None = None) -> str:
        """Run a contestant with a home of its own, and return what it prints."""
        home = tempfile.mkdtemp(dir=self._folder)
        return run(
            command, {"CIM_HOME": home, "CIM_DATABASE_URL": self.text, "CIM_SRID": str(self._srid), **(more or {})}
        )

    def query(self, statement: str) -> tuple[int, float]:
        """Return the count and the area that a statement answers."""
        engine = sa.create_engine(self.url)
        with engine.connect() as connection:
            count, area = connection.exec_driver_sql(statement).one()
        engine.dispose()
        return int(count), float(area or 0)

    def cpu(self) -> float:
        """Return the CPU seconds of the server, all its processes, those ended included."""
        with self.engine.connect() as connection:
            backend = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        postmaster = int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])
        return cpu_of_tree(postmaster)

    def close(self) -> None:
        """Drop what was made."""
        self._execute(
            "DROP DATABASE IF EXISTS bench_run WITH (FORCE)", "DROP DATABASE IF EXISTS bench_template WITH (FORCE)"
        )
        self.engine.dispose()

    def _execute(self, *statements: str) -> None:
        with self.engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
