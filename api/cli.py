"""`cim serve`: the command this package brings, by the entry point group `cim.commands`."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from cim.city import City
from cim.errors import Conflict
from cim.settings import Settings

if TYPE_CHECKING:
    from api.app import Application

# To worker processes, which are started anew and read the environment only.
_LOG_REQUESTS = "UVICORN_CIM_LOG_REQUESTS"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer; a processor each is enough.")] = 1,
    root_path: Annotated[str, typer.Option(help="Path that a proxy in front takes off, as /city.")] = "",
    proxy: Annotated[str, typer.Option(help="Addresses of proxies whose X-Forwarded-* count.")] = "127.0.0.1",
    log_requests: Annotated[bool, typer.Option(help="Write each request to standard error as JSON.")] = False,
) -> None:
    """Serve the city over HTTP, and keep its log up to date, until interrupted."""
    import uvicorn

    from api import logs
    from api.app import create_app
    from api.server import Workers, configuration

    settings = Settings.from_environment()
    more = {"root_path": root_path.rstrip("/"), "forwarded_allow_ips": proxy}
    with _listening(host, port) as listener, City(settings) as city:
        address = f"[{host}]" if ":" in host else host
        typer.echo(f"serving on http://{address}:{listener.getsockname()[1]}, Ctrl+C to stop")
        logs.configure(requests=log_requests)
        with contextlib.suppress(KeyboardInterrupt):
            if workers == 1:
                server = uvicorn.Server(configuration(create_app(settings, city), **more))
                _settle()
                server.run(sockets=[listener])
                return
            os.environ[_LOG_REQUESTS] = "yes" if log_requests else ""
            several = configuration("api.cli:worker", factory=True, workers=workers, **more)
            Workers(several, sockets=[listener]).run()


def worker() -> Application:
    """Return the application of one of several worker processes, each with a city of its own."""
    from api import logs
    from api.app import from_environment

    logs.configure(requests=bool(os.environ.get(_LOG_REQUESTS)))
    app = from_environment()
    _settle()
    return app


def _settle() -> None:
    """Keep the garbage collector from what stays: a look at all of it held every request up for a tenth of a second."""
    gc.collect()
    gc.freeze()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise Conflict(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port") from error
    # Connections inherit it; else the end of an answer waits for the client to acknowledge its beginning, up to 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(serve)
