"""What the routes share: the city, its asynchronous reader, the CRSs on offer, and the state an answer was read at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.access import Access, Caller
from api.metrics import Metrics
from api.reference import Reference, references
from api.sequencing import Sequencing
from api.work import Worker
from cim.city import City
from cim.db.cache import Cache
from cim.db.live import Live
from cim.db.reader import Reader
from cim.db.state import TreeHead

_MAX_HEADS = 1024
_TILES = 64 << 20  # bytes of vector tiles kept
FOREVER = "public, max-age=31536000, immutable"


def rfc3339(instant: datetime) -> str:
    """Return an instant in UTC with microseconds, as the log writes it."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class State:
    """The state an answer is of. `fixed`: named by tree size, so that the answer never changes."""

    size: int
    root: bytes
    at: datetime
    kind: str
    fixed: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Tree size and root, and what they mean.

        `CIM-State` is `pinned` (exactly that tree size was read), `current` (the live tables were, and the log holds
        all of it), or `ahead` (the live tables were, and hold changes the log does not have yet).
        """
        return {
            "CIM-State": self.kind,
            "CIM-Tree-Size": str(self.size),
            "CIM-Tree-Root": self.root.hex(),
            "Cache-Control": FOREVER if self.fixed else "no-cache",
        }

    @property
    def stamp(self) -> str:
        """When: the tree head's instant where the answer is pinned, else now. RFC 3339."""
        return rfc3339(self.at)

    @classmethod
    def pinned(cls, head: TreeHead, *, fixed: bool = False) -> State:
        """Return the state of a tree head."""
        return cls(head.size, head.root, head.at, "pinned", fixed)

    @classmethod
    def live(cls, live: Live) -> State:
        """Return the state of the live tables."""
        return cls(live.size, live.root, datetime.now(UTC), "ahead" if live.ahead else "current")


class Site:
    """One city as the API serves it. Made and closed in the application's lifespan."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.access = Access(city)
        self.reader = Reader(city.database)
        self.worker = Worker(city.database)
        # For processes while the client waits: what takes longer, or more at once, is for jobs.
        self.waited_for = city.database.limited(connections=4, patience=5.0, statement=60.0)
        self.sequencing = Sequencing(city, self.reader)
        self.metrics = Metrics(city, self.sequencing)
        self.references: Mapping[str, Reference] = references(city.settings.srid)
        self.tiles = Cache(_TILES)
        self.declared: dict[str, Any] = {}  # what each collection is asked by, once it was asked
        self._heads: dict[str, TreeHead] = {}

    @property
    def storage(self) -> Reference:
        """The storage CRS."""
        return next(r for r in self.references.values() if r.srid == self.city.settings.srid)

    def writing(self, caller: Caller, type_name: str | None = None) -> bool:
        """Return whether a caller may write to a collection; without a name, to any."""
        names = self.city.database.dictionary.types if type_name is None else (type_name,)
        by_anybody = self.city.settings.api_write != "no"
        return any(caller.allows(name, "write") or (by_anybody and name in caller.public) for name in names)

    async def open(self) -> None:
        """Connect, and begin to sequence.

        Raises
        ------
        DatabaseError : the database cannot be reached.
        """
        await self.reader.open()
        self.sequencing.start()
        self.worker.start()

    async def close(self) -> None:
        """End the sequencing and close the connections."""
        await run_in_threadpool(self.worker.stop)
        await self.sequencing.stop()
        await self.reader.close()
        self.waited_for.dispose()

    async def signed(self) -> State:
        """Return the state of the last signed checkpoint.

        Raises
        ------
        NotFound : nothing was published yet.
        """
        checkpoint = await run_in_threadpool(self.city.checkpoint)
        return State.pinned(await run_in_threadpool(self.city.tree_head, checkpoint))

    async def pinned(self, as_of: str | None) -> State | None:
        """Return the state that `as-of` means; None where it is not given. Heads of tree sizes are remembered.

        Raises
        ------
        NotFound, InvalidData, InvalidProof : as `cim.db.state.resolve`.
        """
        if as_of is None:
            return None
        fixed = as_of.isdecimal()
        head = self._heads.get(as_of)
        if head is None:
            head = await run_in_threadpool(self.city.tree_head, as_of)
            if fixed and len(self._heads) < _MAX_HEADS:
                self._heads[as_of] = head
        return State.pinned(head, fixed=fixed)


def site_of(request: Request) -> Site:
    """Return the site a request came to."""
    return cast("Site", request.app.state.site)
