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
from cim.db.tables import SCHEMA, metadata_of
from cim.dictionary import Dictionary, load_dictionary
from cim.errors import DatabaseError
from cim.settings import Settings


@contextmanager
def told() -> Iterator[None]:
    """Tell a database that gives up under way, as on a full disk or a lost connection, as an error of ours.

    Raises
    ------
    DatabaseError : it did; what was not committed is not there.
    """
    try:
        yield
    except (sa.exc.OperationalError, psycopg.OperationalError) as error:
        cause = error.orig if isinstance(error, sa.exc.OperationalError) else error
        full = isinstance(cause, psycopg.errors.DiskFull)
        way_out = "free some space where it keeps its data" if full else "see that it runs and answers"
        reason = " ".join(str(cause).split())
        raise DatabaseError(f"the database gave up: {reason}; {way_out}, and run again") from error


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
        folders = [settings.dictionary] if settings.dictionary else []
        self.dictionary: Dictionary = load_dictionary(*folders, code_schemes=settings.code_schemes)
        self.engine = sa.create_engine(self.url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
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
        other.engine = sa.create_engine(
            self.url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=patience,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "options": f"-c statement_timeout={int(statement * 1000)}"},
        )
        return other

    @cached_property
    def metadata(self) -> sa.MetaData:
        """SQLAlchemy metadata of the feature tables."""
        return metadata_of(self.dictionary, self.settings.srid)

    def table(self, type_name: str) -> sa.Table:
        """Return the table of a feature type; NotFound where there is no such type."""
        self.dictionary.type(type_name)
        return self.metadata.tables[f"{SCHEMA}.{type_name}"]

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()
