"""The application: routes, error table, and a lifespan that opens the city and closes all it opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from api import errors
from api.gate import Gate, rate_of
from api.pages import STATIC
from api.routes import (
    changes,
    codes,
    editing,
    entry,
    features,
    files,
    jobs,
    log,
    metrics,
    planner,
    private,
    processes,
    tiles,
    vocabulary,
)
from api.site import Site
from cim.city import City
from cim.settings import Settings

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


def from_environment() -> FastAPI:
    """Return the application of the deployment that the environment names: what each worker process runs."""
    return create_app(Settings.from_environment())


def create_app(settings: Settings, city: City | None = None) -> FastAPI:
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

    # Our own OpenAPI document stands at /api; the framework's would be 3.1 and know none of our parameters.
    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    errors.install(app)
    # From the inside out.
    app.add_middleware(_Packing, minimum_size=_WORTH_PACKING, compresslevel=5, exclude_content_types=_PACKED_ALREADY)
    app.add_middleware(Gate, rate=rate_of(settings))
    app.add_middleware(
        CORSMiddleware,
        allow_origins=sorted(settings.api_origins),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["*", "Authorization"],
        max_age=86_400,
    )
    # In the order they are looked at, what is asked for most first.
    modules = (
        private,
        features,
        tiles,
        log,
        entry,
        planner,
        editing,
        changes,
        files,
        processes,
        jobs,
        codes,
        vocabulary,
        metrics,
    )
    for module in modules:
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app
