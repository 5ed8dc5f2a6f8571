"""The database of a deployment: where it is, its engine, its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import cached_property

import psycopg
import sqlalchemy as sa

from cim.db.cluster import ensure_running
from cim.db.migrate import migrate
from cim.db.script import query
from cim.db.server import driver_arguments
from cim.db.tables import SCHEMA, metadata_of
from cim.dictionary import Dictionary, dictionary_of
from cim.errors import DatabaseError
from cim.settings import Settings

SPARE = 2  # connections of a process to read on beside


@contextmanager
def told() -> Iterator[None]:
    """Tell a database that gives up under way, as on a full disk or a lost connection, as an error of ours.

    Raises
    ------
    DatabaseError : it did, or its user has no right to what was asked; what was not committed is not there.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        if not isinstance(error.orig, (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
            if not isinstance(error, sa.exc.OperationalError):
                raise
            raise _given_up(error.orig) from error
        reason = str(error.orig).splitlines()[0]
        raise DatabaseError(f"the database refuses: {reason}; use a login that may, in CIM_DATABASE_URL") from error
    except psycopg.OperationalError as error:
        raise _given_up(error) from error


def _given_up(cause: BaseException | None) -> DatabaseError:
    full = isinstance(cause, psycopg.errors.DiskFull)
    way_out = "free some space where it keeps its data" if full else "see that it runs and answers"
    return DatabaseError(f"the database gave up: {' '.join(str(cause).split())}; {way_out}, and run again")


class Database:
    """A migrated PostGIS database and the dictionary it was made from.

    Opening it starts the embedded cluster where no server is named, and brings the database up to date.

    Raises
    ------
    DatabaseError : no server could be started or reached.
    Conflict : the database belongs to another version, CRS or dictionary.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = ensure_running(settings)
        self.dictionary: Dictionary = dictionary_of(settings)
        self._arguments = driver_arguments(sa.make_url(self.url))
        self.engine = sa.create_engine(self.url, pool_pre_ping=True, connect_args=self._arguments)
        try:
            with self.engine.begin() as connection:
                migrate(connection, self.dictionary, settings.srid)
        except sa.exc.OperationalError as error:
            self.engine.dispose()
            raise DatabaseError(f"cannot reach the database: {error.orig}; check CIM_DATABASE_URL") from error
        except BaseException:
            self.engine.dispose()
            raise

    def limited(self, connections: int, patience: float, statement: float) -> Database:
        """Return the same database over a pool of its own, for work that must not take what others need.

        Parameters
        ----------
        connections : so many at once; who waits for one longer than `patience` seconds gets sqlalchemy's TimeoutError
        statement : seconds that a statement may take; one that takes longer is a DatabaseError within `told`

        Dispose of it as well.
        """
        other = copy(self)
        other.__dict__.pop("spare", None)
        other._arguments = {**self._arguments, "options": f"-c statement_timeout={int(statement * 1000)}"}
        other.engine = other._pool(connections, patience)
        return other

    @cached_property
    def spare(self) -> sa.Engine:
        """A few connections more, to read something on beside; who finds none free gets sqlalchemy's TimeoutError."""
        return self._pool(SPARE, patience=0)

    def _pool(self, connections: int, patience: float) -> sa.Engine:
        return sa.create_engine(
            self.url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=patience,
            pool_pre_ping=True,
            connect_args=self._arguments,
        )

    @cached_property
    def metadata(self) -> sa.MetaData:
        """SQLAlchemy metadata of the feature tables."""
        return metadata_of(self.dictionary, self.settings.srid)

    def table(self, type_name: str) -> sa.Table:
        """Return the table of a feature type; NotFound where there is no such type."""
        self.dictionary.type(type_name)
        return self.metadata.tables[f"{SCHEMA}.{type_name}"]

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a connection on which everything read is of one state; raises as `told`."""
        with told(), self.engine.execution_options(isolation_level="REPEATABLE READ").connect() as connection:
            yield connection

    @contextmanager
    def writing(self, actor: str | None, reason: str | None) -> Iterator[sa.Connection]:
        """Open a transaction whose revisions tell who wrote and why; all or nothing; raises as `told`.

        Parameters
        ----------
        actor : default the user of the database
        """
        with told(), self.engine.begin() as connection:
            connection.execute(query("ingest/set_context"), {"actor": actor, "reason": reason, "dataset": None})
            yield connection

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        if "spare" in self.__dict__:
            self.spare.dispose()
