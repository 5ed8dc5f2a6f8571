"""Which handler answers a path: FastAPI's router, with plain routes in tables by two of their segments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from inspect import iscoroutinefunction
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

READ = ("GET", "HEAD")
_MANY = 16  # segments: no route without a rest that may have slashes has more


class Router(APIRouter):
    """Handlers by path and method. Of several that fit, the first added answers.

    A handler takes the request and, by name, what the path holds: `/items/{code:path}` gives it `code`, with the
    converters of Starlette. One that is no coroutine runs in a thread. What else a request holds the handler reads for
    itself: the answers are bytes of the database, for which a framework has nothing to validate or to write.
    """

    def __init__(self, *others: Router, lifespan: Any = None) -> None:
        super().__init__(lifespan=lifespan, routes=[route for other in others for route in other.routes])
        self._tables: dict[str, _Table] = {}
        for route in self.routes:
            assert isinstance(route, _Route)
            self._tables.setdefault(_first(route.path), _Table()).add(route)

    def add_route(
        self,
        path: str,
        endpoint: Callable[..., Awaitable[Response] | Response],
        methods: Collection[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
    ) -> None:
        """Add a handler of a path, whose first segment must be a word: most routes need not be looked at then."""
        if "{" in _first(path):
            raise ValueError(f"the first segment of {path} must be a word")
        self.routes.append(_Route(path, endpoint, methods=methods, name=name, include_in_schema=include_in_schema))

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or begin and end with the server.

        Raises
        ------
        HTTPException : 404 where no route has the path, 405 where none has the method. Whatever the handler raises.
        """
        if scope["type"] != "http":
            await super().app(scope, receive, send)
            return
        allowed = set[str]()
        for route in self._fitting(scope["path"].removeprefix(scope.get("root_path", ""))):
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                await route.handle(scope, receive, send)
                return
            if match is Match.PARTIAL:
                allowed |= route.methods or set()
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        raise HTTPException(404)

    def _fitting(self, path: str) -> list[_Route]:
        table = self._tables.get(_first(path))
        return [] if table is None else table.of(path)


class _Table:
    """Routes of one first segment, in their order, looked up by how many segments a path has and by its third."""

    def __init__(self) -> None:
        self._routes: list[_Route] = []
        self._words = set[str]()  # that stand third
        self._found: dict[tuple[int, str], list[_Route]] = {}

    def add(self, route: _Route) -> None:
        """Add a route behind those that are there."""
        self._routes.append(route)
        self._words |= {route.third} - {""}
        self._found.clear()

    def of(self, path: str) -> list[_Route]:
        """Return the routes that may have a path."""
        segments = path.split("/", _MANY)
        third = segments[3] if len(segments) > 3 and segments[3] in self._words else ""
        found = self._found.get((len(segments), third))
        if found is None:
            found = [one for one in self._routes if one.third in ("", third) and one.may_have(len(segments))]
            self._found[len(segments), third] = found
        return found


class _Route(Route):
    """A route whose handler is called with nothing around it: the gate answers what it raises."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        segments = path.split("/")
        self._waits = iscoroutinefunction(endpoint)
        self._segments = len(segments)
        self._open = ":path}" in path  # what it takes may have slashes
        third = segments[3] if len(segments) > 3 else ""
        # The word that all its paths have there, if any.
        self.third = "" if "{" in third or ":path}" in path.partition(f"/{third}")[0] else third

    def may_have(self, segments: int) -> bool:
        """Tell whether paths with so many segments may be this route's."""
        return segments == self._segments or (self._open and segments > self._segments)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether a path is this route's: it is not with more digits than an integer may have."""
        try:
            return super().matches(scope)
        except ValueError:
            return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the handler and send its response."""
        request = Request(scope, receive, send)
        if self._waits:
            response = await self.endpoint(request, **scope["path_params"])
        else:
            response = await run_in_threadpool(self.endpoint, request, **scope["path_params"])
        await response(scope, receive, send)


def _first(path: str) -> str:
    return path[1:].partition("/")[0]
