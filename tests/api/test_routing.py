"""Which handler answers a path: the first added of those that fit."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.links import base_of
from api.routing import READ, Router

PATHS = (
    "/things/{name}/parts/{code:path}/history",
    "/things",
    "/things/{name}",
    "/things/{name}/parts",
    "/things/{name}/{what}/{number:int}",
    "/things/{name}/parts/{code:path}",
    "/files/{path:path}",
    "/files/{path:path}/parts",
    "/files/a/parts",
)


def _router() -> Router:
    router = Router()

    def told(path: str) -> None:
        @router.route(path, READ)
        async def handler(request: Request, **values: object) -> Response:
            return PlainTextResponse(path)

    for path in PATHS:
        told(path)

    @router.route("/things/{name}/parts", ["POST"])
    async def add(request: Request, name: str) -> Response:
        return PlainTextResponse("added")

    return Router(router)


def _answering(router: Router) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await router(scope, receive, send)
        except HTTPException as error:
            response = PlainTextResponse(str(error.status_code), error.status_code, error.headers)
            await response(scope, receive, send)

    return app


def ask(method: str, path: str, root_path: str = "") -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(_answering(_router()), root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
            return await client.request(method, path)

    return asyncio.run(asked())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/things", "/things"),
        ("/things/a", "/things/{name}"),
        ("/things/parts", "/things/{name}"),
        ("/things/a/parts", "/things/{name}/parts"),
        ("/things/a/parts/b", "/things/{name}/parts/{code:path}"),
        ("/things/a/parts/b/c/history", "/things/{name}/parts/{code:path}/history"),
        ("/things/a/parts/history", "/things/{name}/parts/{code:path}"),
        ("/things/a/parts/7", "/things/{name}/{what}/{number:int}"),  # added before the path that fits as well
        ("/things/a/others/7", "/things/{name}/{what}/{number:int}"),
        ("/files/a/b/c", "/files/{path:path}"),
        ("/files/a/parts", "/files/{path:path}"),
        ("/things/a/others/b", "404"),
        ("/others", "404"),
        ("/", "404"),
        ("/things/a/parts/b/", "/things/{name}/parts/{code:path}"),
        ("/things//parts", "404"),
    ],
)
def test_first_added_answers(path: str, expected: str) -> None:
    assert ask("GET", path).text == expected


def test_below_a_root_path() -> None:
    assert ask("GET", "/city/things/a/parts", root_path="/city").text == "/things/{name}/parts"


def test_methods_of_all_that_fit_are_told() -> None:
    assert ask("POST", "/things/a/parts").text == "added"
    refused = ask("DELETE", "/things/a/parts")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST")


def test_first_segment_is_a_word() -> None:
    with pytest.raises(ValueError, match="must be a word"):
        Router().add_route("/{anything}", lambda request: Response())


@pytest.mark.parametrize("server", [("127.0.0.1", 8000), ["127.0.0.1", 8000]])
def test_a_server_tells_its_address_as_whatever_it_likes(server: object) -> None:
    """The ASGI specification says an iterable of two."""
    request = Request({"type": "http", "scheme": "http", "headers": [], "server": server, "root_path": "/city"})
    assert base_of(request) == "http://127.0.0.1:8000/city"
