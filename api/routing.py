"""Which handler answers a path: one table for all routes, without a layer of its own around each."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from starlette._utils import get_route_path
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

READ = ("GET", "HEAD")

Handler = TypeVar("Handler", bound=Callable[..., Response | Awaitable[Response]])


@dataclass(frozen=True, slots=True)
class _Route:
    pattern: re.Pattern[str]
    convertors: dict[str, Convertor[Any]]
    methods: frozenset[str]
    handler: Callable[..., Any]
    waits: bool

    def parameters(self, path: str) -> dict[str, Any] | None:
        """Return what a path holds; None where it is another's, as with more digits than an integer may have."""
        found = self.pattern.match(path)
        if found is None:
            return None
        try:
            return {name: self.convertors[name].convert(text) for name, text in found.groupdict().items()}
        except ValueError:
            return None


class Router:
    """Handlers by path and method, as an ASGI application. Of several that fit, the first added answers.

    A handler takes the request and, by name, what the path holds: `/items/{code:path}` gives it `code`, with the
    converters of Starlette. One that is no coroutine runs in a thread.

    Parameters
    ----------
    others : routers whose routes come first, in their order
    """

    def __init__(self, *others: Router) -> None:
        # By the first segment of the path, which is never a parameter: most routes need not be looked at.
        self._routes: dict[str, list[_Route]] = {}
        for other in others:
            for first, routes in other._routes.items():
                self._routes.setdefault(first, []).extend(routes)

    def route(self, path: str, methods: Iterable[str]) -> Callable[[Handler], Handler]:
        """Add a handler of a path."""
        if "{" in _first(path):
            raise ValueError(f"the first segment of {path} must be a word")
        pattern, _, convertors = compile_path(path)

        def add(handler: Handler) -> Handler:
            found = _Route(pattern, convertors, frozenset(methods), handler, iscoroutinefunction(handler))
            self._routes.setdefault(_first(path), []).append(found)
            return handler

        return add

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request.

        Raises
        ------
        HTTPException : 404 where no route has the path, 405 where none has the method. Whatever the handler raises.
        """
        path, allowed = get_route_path(scope), set[str]()
        for route in self._routes.get(_first(path), ()):
            held = route.parameters(path)
            if held is None:
                continue
            if scope["method"] not in route.methods:
                allowed |= route.methods
                continue
            scope["path_params"] = held
            request = Request(scope, receive, send)
            if route.waits:
                response = await route.handler(request, **held)
            else:
                response = await run_in_threadpool(route.handler, request, **held)
            await response(scope, receive, send)
            return
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        raise HTTPException(404)


def _first(path: str) -> str:
    return path[1:].partition("/")[0]
