"""The HTTP server of the application: what is no HTTP request at all is refused with a problem document, too."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import problem


class _Protocol(HttpToolsProtocol):
    def send_400_response(self, msg: str) -> None:
        """Answer bytes that the parser takes for no request, an unknown method among them, and close."""
        answer = problem(400, f"{msg} Expected HTTP/1.1 with a registered method.", headers={"Connection": "close"})
        lines = [b"HTTP/1.1 400 Bad Request", *(b"%s: %s" % pair for pair in answer.raw_headers), b"", answer.body]
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()


def configuration(app: ASGIApp) -> uvicorn.Config:
    """Return how an application is served: quiet, and without naming the server."""
    return uvicorn.Config(app, http=_Protocol, log_level="warning", server_header=False)
