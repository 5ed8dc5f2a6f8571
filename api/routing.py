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
    """Routes of one first segment, in their order, apart by the word that is their third: most have one."""

    def __init__(self) -> None:
        self._any: list[_Route] = []  # where another word stands there, or none
        self._by_word: dict[str, list[_Route]] = {}

    def add(self, route: _Route) -> None:
        """Add a route behind those that are there."""
        word = _third(route.path)
        if word and "{" not in word and ":path}" not in route.path.partition(f"/{word}")[0]:
            self._by_word.setdefault(word, list(self._any)).append(route)
            return
        for routes in (self._any, *self._by_word.values()):
            routes.append(route)

    def of(self, path: str) -> list[_Route]:
        """Return the routes that may have a path."""
        return self._by_word.get(_third(path), self._any)


class _Route(Route):
    """A route whose handler is called with nothing around it: the gate answers what it raises."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether a path is this route's: it is not with more digits than an integer may have."""
        try:
            return super().matches(scope)
        except ValueError:
            return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the handler and send its response."""
        request = Request(scope, receive, send)
        if iscoroutinefunction(self.endpoint):
            response = await self.endpoint(request, **scope["path_params"])
        else:
            response = await run_in_threadpool(self.endpoint, request, **scope["path_params"])
        await response(scope, receive, send)


def _first(path: str) -> str:
    return path[1:].partition("/")[0]


def _third(path: str) -> str:
    """Return the third segment, which is empty where there are fewer."""
    parts = path.split("/", 4)
    return parts[3] if len(parts) > 3 else ""
