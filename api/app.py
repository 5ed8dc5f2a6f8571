"""The application: routes behind one gate, and a lifespan that opens the city and closes all it opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import PurePosixPath

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.gate import Gate, rate_of
from api.pages import STATIC
from api.routes import (
    changes,
    codes,
    editing,
    entry,
    features,
    files,
    history,
    jobs,
    log,
    metrics,
    planner,
    private,
    processes,
    proposals,
    tiles,
    vocabulary,
)
from api.routing import READ, Router
from api.site import Site
from cim.city import City
from cim.settings import Settings

# In the order they are looked at.
_ROUTES = (
    private,
    history,
    features,
    tiles,
    log,
    entry,
    planner,
    editing,
    changes,
    files,
    processes,
    proposals,
    jobs,
    codes,
    vocabulary,
    metrics,
)

_WORTH_PACKING = 1024
_PACKED_ALREADY = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "application/octet-stream",
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.stream",
    "application/vnd.mapbox-vector-tile",
)


class _Packing(GZipMiddleware):
    """Packs for whom takes it; for everybody else it is not there, which spares a tenth of a small answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = any(name == b"accept-encoding" and b"gzip" in value for name, value in scope.get("headers", ()))
        await (super().__call__ if wanted else self.app)(scope, receive, send)


class _Origins(CORSMiddleware):
    """Tells the browsers of which origins' pages an answer is for; that it differs by origin, the gate always says."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = any(name == b"origin" for name, _ in scope.get("headers", ()))
        await (super().__call__ if told else self.app)(scope, receive, send)

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        if message["type"] == "http.response.start":
            headers, origin = MutableHeaders(scope=message), request_headers["origin"]
            headers.update(self.simple_headers)
            if not self.allow_all_origins and self.is_allowed_origin(origin):
                headers["Access-Control-Allow-Origin"] = origin
        await send(message)


class Application(FastAPI):
    """The ASGI application; what its lifespan opens is in `state`.

    Of the framework's layers around the routes there is only the door: they cost as much as an answer does, and the
    gate does their work.
    """

    def __init__(self, router: Router, door: Callable[[ASGIApp], ASGIApp]) -> None:
        # Our own OpenAPI document stands at /api; the framework's would be 3.1 and know none of our parameters.
        # Its telemetry would look at each request whether somebody listens; /metrics and the log tell of requests here.
        silent = TelemetryConfig(tracing=False, metrics=False, logs=False)
        super().__init__(openapi_url=None, docs_url=None, redoc_url=None, telemetry=silent)
        self.router = router
        self._door = door

    def build_middleware_stack(self) -> ASGIApp:
        """Return what every request goes through."""
        return self._door(self.router)


_static = StaticFiles(directory=STATIC)
_files = Router()


@_files.route("/static/{path:path}", READ)
async def _file(request: Request, path: str) -> Response:
    return await _static.get_response(str(PurePosixPath(path)), request.scope)


def from_environment() -> Application:
    """Return the application of the deployment that the environment names: what each worker process runs."""
    return create_app(Settings.from_environment())


def create_app(settings: Settings, city: City | None = None) -> Application:
    """Return the application.

    Parameters
    ----------
    city : an open city to serve; it stays open afterwards. Default: one opened, and closed, in the lifespan.

    Raises
    ------
    InvalidData : CIM_API_RATE is no rate. In the lifespan:
    DatabaseError, Conflict, CrsError : the city cannot be opened, or has no known way to CRS84.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = city if city is not None else await run_in_threadpool(City, settings)
        try:
            site = Site(opened)
            app.state.site = site
            await site.open()
            try:
                yield
            finally:
                await site.close()
        finally:
            if opened is not city:
                opened.close()

    routes = Router(*(module.router for module in _ROUTES), _files, lifespan=lifespan)

    rate = rate_of(settings)

    def door(inside: ASGIApp) -> ASGIApp:
        packed = _Packing(inside, minimum_size=_WORTH_PACKING, compresslevel=5, exclude_content_types=_PACKED_ALREADY)
        return _Origins(
            Gate(packed, rate),
            allow_origins=sorted(settings.api_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*", "Authorization"],
            max_age=86_400,
        )

    return Application(routes, door)
