"""The HTTP server of the application, with a bound on what a client may take without having asked for anything yet.

What is no HTTP request at all, too long or too slow is refused with a problem document, too.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from api.errors import problem

# An address of ours holds at most a filter of 4096 characters, percent-encoded three bytes each.
MAX_HEAD_BYTES = 64 << 10
HEAD_SECONDS = 20.0  # from the first byte of a request to the end of its headers
STALLED_SECONDS = 60.0  # a client that takes nothing of its answer so long has left
GRACE_SECONDS = 30  # for what is under way when the server is told to stop


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with limits."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._in_head = True
        self._head_bytes = 0
        self._slow: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._slow = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        for timer in (self._slow, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, as long as it is no more than the head of a request may be."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, f"address and headers have more than {MAX_HEAD_BYTES} bytes together")

    def on_message_begin(self) -> None:
        """Begin the head of a request."""
        super().on_message_begin()
        self._in_head = True
        if self._slow is None:
            self._slow = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes behind a body nobody reads, and it has no end that we know."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head of a request."""
        self._in_head, self._head_bytes = False, 0
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent, but not for ever: its query and its memory wait with it."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on sending."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that the parser takes for no request, an unknown method among them, and close."""
        self._refuse(400, f"{msg} Expected HTTP/1.1 with a registered method.")

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self._refuse(408, f"no whole request within {HEAD_SECONDS:g} s")

    def _refuse(self, status: int, detail: str) -> None:
        answer = problem(status, detail, headers={"Connection": "close"})
        first = b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())
        lines = [first, *(b"%s: %s" % pair for pair in answer.raw_headers), b"", answer.body]
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()


class Workers(Multiprocess):
    """Several processes that answer on one port."""

    def terminate_all(self) -> None:
        """End them, and first take no more connections: while they end, these would wait for nobody, and be broken."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def configuration(app: ASGIApp | str, **more: Any) -> uvicorn.Config:
    """Return how an application is served: quiet, and without naming the server; `more` as uvicorn has it.

    Logging is left to whoever starts the server.
    """
    return uvicorn.Config(
        app,
        http=Protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **more,
    )
