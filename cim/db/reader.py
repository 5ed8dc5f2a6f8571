"""Asynchronous reads for the API: finished text from PostGIS, passed through.

Statements are SQLAlchemy's, compiled once per shape; asyncpg runs them on read-only connections of the role cim_public
that end by themselves: after `timeout` seconds, and without the compilation and parallel workers that only slow down
short reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Literal, Self

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from cim.crs import Bounds
from cim.db import changes, features, history, tiles
from cim.db.access import publish, reading
from cim.db.cache import Cache
from cim.db.engine import Database
from cim.db.features import Selection
from cim.db.geojson import Output
from cim.db.history import StoredLeaf
from cim.db.live import Live, live_columns, live_of, with_live
from cim.db.pool import Pool
from cim.db.server import normalise
from cim.db.shared import Shared
from cim.db.spatial import check_path
from cim.db.tiles import Tile
from cim.errors import DatabaseError, InvalidFilter, Unreachable

# libpq's names that asyncpg takes in a URL as well; it would send any other to the server as a setting.
_URL_OPTIONS = ("host", "port", "sslmode", "sslcert", "sslkey", "sslrootcert", "target_session_attrs")
_MAX_STATEMENTS = 512
_KEPT = 64 << 20  # bytes of finished features, some 40,000 buildings
# Of objects that change between the two reads of a page only those are read again, so that it soon ends.
_ATTEMPTS = 8
# A page of changes looks at so many leaves at most: those of a rare type may be few among millions, and a page must
# not take longer than a read may. A look at one costs about 10 µs.
LEAVES = 50_000
_SESSION = {
    "application_name": "cim api",
    "role": "cim_public",
    "default_transaction_read_only": "on",
    "idle_in_transaction_session_timeout": "10000",
    "timezone": "UTC",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page: GeoJSON features joined by commas, how many, where the next goes on, and whether more follow."""

    features: bytes
    returned: int
    last: str | None
    more: bool
    live: Live


@dataclass(frozen=True, slots=True)
class Changes:
    """One page of changes: JSON objects joined by commas, how many, and the leaf the next page begins at, if any."""

    changes: str
    returned: int
    next: int | None


@dataclass(frozen=True, slots=True)
class Item:
    """One GeoJSON feature with its revision number."""

    feature: bytes
    rev: int
    live: Live


# What a box leaves to be read, few rows or the city, only its own numbers tell: a plan made for any box went through
# the city in 760 ms where the plan for that box took 0.7 (50,000 buildings). Planning each time costs 0.2 ms, which a
# read of one object would feel; a connection does the one or the other.
_Plans = Literal["auto", "force_custom_plan"]


class Reader:
    """Read-only connections to a database. Open it in the event loop that uses it, and close it there.

    Finished features are kept for pages: which of them a caller sees is asked of the database each time.

    Parameters
    ----------
    connections : at most so many for boxes and filters, whose work is the database's: of more than a few for each
        processor one is now and then left without for a tenth of a second; and twice as many for what is soon read
    timeout : seconds a read may take
    """

    def __init__(self, database: Database, *, connections: int = 5, timeout: float = 5.0) -> None:
        self.database = database
        self.connections = connections
        self.timeout = timeout
        self._dialect = asyncpg_dialect.dialect()  # type: ignore[no-untyped-call]
        self._statements: dict[Hashable, tuple[str, dict[str, Any]]] = {}
        self._leaf_of = self._compiled(history.LEAF_OF)
        self._state = self._compiled(sa.select(*live_columns()))
        self._pools: dict[_Plans, Pool] = {}
        self._kept = Cache(_KEPT)
        self._public_live = Shared(self._ask_live)

    async def open(self) -> Self:
        """Connect.

        Raises
        ------
        DatabaseError : the server cannot be reached, or the roles are missing.
        """
        await asyncio.to_thread(publish, self.database)
        try:
            size: dict[_Plans, int] = {"auto": 2 * self.connections, "force_custom_plan": self.connections}
            self._pools |= {plans: Pool(partial(self._connect, plans), most) for plans, most in size.items()}
            await self.live()
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Close every connection; one that is being read from, when that ends."""
        for plans in list(self._pools):
            await self._pools.pop(plans).close()

    async def page(
        self, type_name: str, selection: Selection, output: Output, limit: int, after: str | None = None
    ) -> Page:
        """Read one page of a selection.

        Raises
        ------
        NotFound, InvalidFilter, CrsError : as `features.select_page`. DatabaseError : unreachable, busy, or too slow.
        """
        check_path(output.srid, self.database.settings.srid)

        def build() -> sa.Select[Any]:
            return with_live(features.select_page(self.database, type_name, selection, limit, after))

        shape, form = features.shape(self.database, selection), ("page", type_name, after is None, features.most(limit))
        given, boxed = {"limit": limit, "after": after}, selection.bbox is not None
        finished: dict[str, bytes] = {}
        for _ in range(_ATTEMPTS):
            (row,) = await self._some(build, shape, form, given, boxed=boxed)
            revisions = row["revisions"] or []
            shown = revisions[:limit]
            await self._finish(type_name, selection, output, shown, finished)
            with suppress(KeyError):  # an object has changed since: what it is now was read
                joined = b",".join([finished[revision] for revision in shown])
                return Page(joined, len(shown), row["last"], more=len(revisions) > limit, live=live_of(row))
        raise DatabaseError("these objects change faster than they can be read; try again")

    async def _finish(
        self, type_name: str, selection: Selection, output: Output, revisions: list[str], finished: dict[str, bytes]
    ) -> None:
        """Add features to the finished ones: as they were kept, else as the database has them by now.

        A revision never changes, so what was kept of it is what the database would write. Rows of a branch are none,
        and whether what one refers to is there is no part of it.
        """
        size, branch = selection.tree_size, selection.branch
        alone = branch is None and output.references == "key"
        kept = sha256(repr((type_name, size is None, output)).encode()).digest() if alone else None
        missing = []
        for revision in revisions:
            known = None if kept is None else self._kept.get((kept, revision))
            if known is not None:
                finished[revision] = known
            elif revision not in finished:
                missing.append(features.code_of(revision))
        if not missing:
            return

        def build() -> sa.Select[Any]:
            return features.select_named(self.database, type_name, missing, size, output, branch)

        shape = features.shape(self.database, Selection(tree_size=size, branch=branch))
        given = {"codes": missing, "base": output.base}
        for feature, revision in await self._some(build, shape, ("named", type_name, output), given):
            finished[revision] = feature
            if kept is not None:
                self._kept.put((kept, revision), feature)

    async def item(
        self, type_name: str, code: str, tree_size: int | None, output: Output, branch: str | None = None
    ) -> Item | None:
        """Read one object, through a branch where one is given; None where there is none.

        Raises
        ------
        As `page`.
        """

        def build() -> sa.Select[Any]:
            return with_live(features.select_item(self.database, type_name, code, tree_size, output, branch))

        selection = Selection(tree_size=tree_size, branch=branch)
        rows = await self._some(
            build,
            features.shape(self.database, selection),
            ("item", type_name, output),
            {"code": code, "base": output.base},
        )
        return Item(rows[0]["feature"], rows[0]["rev"], live_of(rows[0])) if rows else None

    async def changes(self, type_name: str, since: int, size: int, output: Output, limit: int) -> Changes:
        """Read revisions of a type whose leaves are `since` or later, below tree size `size`, in leaf order.

        A page may be empty and yet have a next one: it looks at 50,000 leaves at most.

        Raises
        ------
        As `page`.
        """
        end = min(since + LEAVES, size)

        def build() -> sa.Select[Any]:
            return changes.select_changes(self.database, type_name, since, end, output, limit)

        given = {"since": since, "end": end, "limit": limit}
        (row,) = await self._some(build, ((), {}), ("changes", type_name, output), given)
        following = row["last"] + 1 if row["more"] else end
        return Changes(row["changes"] or "", row["returned"], following if following < size else None)

    async def count(self, type_name: str, selection: Selection) -> tuple[int, Live]:
        """Count the objects of a selection.

        Raises
        ------
        As `page`.
        """

        def build() -> sa.Select[Any]:
            return with_live(features.select_count(self.database, type_name, selection))

        shape, boxed = features.shape(self.database, selection), selection.bbox is not None
        (row,) = await self._some(build, shape, ("count", type_name), {}, boxed=boxed)
        return row["matched"], live_of(row)

    async def tile(
        self, type_name: str, selection: Selection, tile: Tile, properties: tuple[str, ...] | None
    ) -> tuple[bytes, Live]:
        """Read a vector tile of a selection, with the wanted properties (None: as the zoom level has them).

        Raises
        ------
        As `page`. NotFound : the type has no geometry.
        """
        values = tiles.values_of(self.database, tile)
        columns = tiles.columns_of(self.database.dictionary.type(type_name), tile.zoom, properties)

        def build() -> sa.Select[Any]:
            return with_live(tiles.select_tile(self.database, type_name, selection, values, columns))

        shape, form = features.shape(self.database, selection), ("tile", type_name, columns, *values)
        # All that a near tile of the live table needs is by the spatial index, whatever tile it is.
        far = tile.zoom < tiles.FULL_ZOOM
        (row,) = await self._some(build, shape, form, values, boxed=far or selection != Selection())
        return bytes(row["tile"]), live_of(row)

    async def leaf(self, code: str, type_name: str | None, size: int | None) -> StoredLeaf:
        """Return the leaf that holds an object's state at tree size `size` (None: the latest).

        Raises
        ------
        NotFound, Conflict : as `history.only_leaf`. DatabaseError : as `page`.
        """
        text, names = self._leaf_of
        values = {"types": self.database.dictionary.names(type_name), "code": code, "size": size}
        return history.only_leaf(code, await self._rows(text, [values[name] for name in names]))

    async def extents(self) -> dict[str, Bounds | None]:
        """Return west, south, east, north of each feature type in CRS84; None where it has no geometry to speak of."""
        extents: dict[str, Bounds | None] = dict.fromkeys(self.database.dictionary.types)
        statement = features.select_extents(self.database)
        if statement is not None:
            text, values = self._compiled(statement)
            for name, *corners in await self._rows(text, values.values()):
                extents[name] = None if corners[0] is None else tuple(corners)
        return extents

    async def live(self) -> Live:
        """Return what the live tables are at, asked after the call; once for all that call meanwhile."""
        return await (self._public_live.answer() if _by_everybody() else self._ask_live())

    async def _ask_live(self) -> Live:
        text, values = self._state
        return live_of((await self._rows(text, values.values()))[0])

    # ------------------------------------------------------------------ statements

    async def _some(
        self,
        build: Callable[[], sa.Select[Any]],
        shape: tuple[Hashable, dict[str, object]] | None,
        form: tuple[Hashable, ...],
        given: Mapping[str, object],
        *,
        boxed: bool = False,
    ) -> list[Any]:
        """Run a statement; compile it where none like it came before."""
        if shape is None:
            text, values = self._compiled(build())
        else:
            known = self._statements.get((form, shape[0]))
            if known is None:
                known = self._compiled(build())
                if len(self._statements) < _MAX_STATEMENTS:
                    self._statements[form, shape[0]] = known
            text, defaults = known
            current = {**shape[1], **given}
            values = {name: current.get(name, default) for name, default in defaults.items()}
        return await self._rows(text, values.values(), "force_custom_plan" if boxed else "auto")

    def _compiled(self, statement: sa.Executable) -> tuple[str, dict[str, Any]]:
        """Return a statement's text and its parameters by name, in the order of their numbers."""
        compiled: Any = statement.compile(dialect=self._dialect)  # type: ignore[attr-defined]
        return str(compiled), {name: compiled.params[name] for name in compiled.positiontup or ()}

    async def _rows(self, text: str, values: Collection[object], plans: _Plans = "auto") -> list[Any]:
        """Run a read; once more on a fresh connection where the pooled one was lost, as after a restart."""
        pool = self._pools.get(plans)
        if pool is None:
            raise DatabaseError("the API's database connections are closed: it is starting or stopping; try again")
        try:
            return await self._attempt(pool, text, values)
        except _LostConnectionError:
            pool.drop_idle()
            self._kept.clear()  # it may be another state of the city that comes back, as out of a backup
        try:
            return await self._attempt(pool, text, values)
        except _LostConnectionError as error:
            raise Unreachable(f"the connection to the database was lost: {error}; try again") from error

    async def _connect(self, plans: _Plans) -> Any:
        settings = {**_SESSION, "statement_timeout": str(int(self.timeout * 1000)), "plan_cache_mode": plans}
        patience = self.timeout + 1
        return await asyncpg.connect(self._address(), command_timeout=patience, server_settings=settings)

    async def _attempt(self, pool: Pool, text: str, values: Collection[object]) -> list[Any]:
        try:
            # Less than a read may take: who waits longer is not served when the readers before are cut off, either.
            connection = await pool.take(self.timeout / 2)
        except TimeoutError as error:
            raise DatabaseError(
                f"the database is busy: no connection within {self.timeout / 2:g} s; try again"
            ) from error
        except _UNREACHABLE as error:
            raise _unreachable(error) from error
        try:
            return await self._fetch(connection, text, values)
        except (asyncpg.QueryCanceledError, TimeoutError) as error:
            raise DatabaseError(
                f"reading took longer than {self.timeout:g} s; ask for less: a smaller box, limit or filter"
            ) from error
        except asyncpg.DataError as error:
            raise InvalidFilter(f"a value is out of range: {error}") from error
        except _LOST as error:
            connection.terminate()
            raise _LostConnectionError(str(error)) from error
        finally:
            pool.give_back(connection)

    async def _fetch(self, connection: Any, text: str, values: Collection[object]) -> list[Any]:
        """Read with the rights of the caller; those of everybody are what the connection has anyway."""
        rights = reading()
        try:
            if rights is None or _by_everybody():
                return list(await connection.fetch(text, *values))
            async with connection.transaction(readonly=True):
                await connection.execute("; ".join(rights.statements()))
                return list(await connection.fetch(text, *values))
        except asyncpg.PostgresError:
            raise
        except BaseException:
            connection.terminate()  # nobody knows what it still has to say, as where a request was cancelled
            raise

    def _address(self) -> str:
        own = self.database.settings.api_database_url
        return _dsn(self.database.url if own is None else normalise(own).render_as_string(hide_password=False))


def _by_everybody() -> bool:
    rights = reading()
    return rights is None or rights.role == "cim_public"


class _LostConnectionError(Exception):
    """A pooled connection whose server end is gone."""


_LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what it says of a connection that ended while it lay idle
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
_UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def _unreachable(error: Exception) -> Unreachable:
    return Unreachable(f"cannot reach the database: {error}; check that it runs, and CIM_DATABASE_URL")


def _dsn(url: str) -> str:
    parsed = sa.make_url(url)
    kept = {name: value for name, value in parsed.query.items() if name in _URL_OPTIONS}
    return parsed.set(drivername="postgresql", query=kept).render_as_string(hide_password=False)
