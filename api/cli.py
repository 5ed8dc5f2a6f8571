"""`cim serve`: the command this package brings, by the entry point group `cim.commands`."""

from __future__ import annotations

import contextlib
import socket
from typing import Annotated

import typer

from cim.city import City
from cim.errors import Conflict
from cim.settings import Settings


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
) -> None:
    """Serve the city over HTTP, and keep its log up to date, until interrupted."""
    import uvicorn

    from api.app import create_app
    from api.server import configuration

    settings = Settings.from_environment()
    with _listening(host, port) as listener, City(settings) as city:
        address = f"[{host}]" if ":" in host else host
        typer.echo(f"serving on http://{address}:{listener.getsockname()[1]}, Ctrl+C to stop")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(configuration(create_app(settings, city))).run(sockets=[listener])


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
