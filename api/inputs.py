"""Inputs of an execute request: in line, qualified, or by reference to what this API itself serves.

No client makes this server read an address elsewhere. A reference is answered within the process, as a GET of the
caller's own: with the caller's rights, in the state that the address names, and without any network.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message

from api.links import JSON, base_of
from api.reference import CRS84
from cim.errors import InvalidData

MAX_POSITIONS = 20_000
MAX_REFERENCES = 50
MAX_BYTES = 16 << 20  # an assessment to verify is an input, with all the objects that its result lists
_QUALIFIED = {"value", "mediaType", "encoding", "schema"}
_LINK = {"href", "rel", "type", "hreflang", "title"}
_ADDRESS = re.compile(r"[!-~]{1,2000}", re.ASCII)
_PASSED_ON = (b"host", b"authorization", b"x-api-key")
# What is named by its code in inputs; of a feature it is the geometry that is taken.
_NAMED = re.compile(r"/codes/.+|/proposals/[^/]+")


async def inline(request: Request, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs bare: values out of what qualifies them, and what references lead to in their place.

    Raises
    ------
    InvalidData : a reference leads elsewhere, to nothing the caller may read, or to what no input can be; or an
    outline is too long.
    """
    references, found = _References(request), {}
    for name, value in inputs.items():
        if isinstance(value, list):
            found[name] = [await references.value(name, item) for item in value]
        else:
            found[name] = await references.value(name, value)
        check_vertices(name, found[name])
    if references.outlined and "scope_crs" in inputs:
        raise InvalidData("scope_crs: geometry that is referred to comes in CRS84; leave it out")
    return found


class _References:
    """Reads what the inputs of one request refer to, so many and so much at most."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._base = base_of(request)
        self._left, self._room = MAX_REFERENCES, MAX_BYTES
        self.outlined = False

    async def value(self, name: str, given: Any) -> Any:
        """Return a value of an input, or of one that is a list."""
        if isinstance(given, dict) and "value" in given and given.keys() <= _QUALIFIED:
            return given["value"]
        if isinstance(given, dict) and "href" in given and given.keys() <= _LINK:
            return await self._read(f"input {name}", given["href"])
        return given

    async def _read(self, what: str, href: Any) -> Any:
        if not isinstance(href, str) or not _ADDRESS.fullmatch(href):
            raise InvalidData(f"{what}: href must be an address in ASCII, got {str(href)[:60]!r}")
        try:
            address = urljoin(f"{self._base}/", href)
        except ValueError as error:
            raise InvalidData(f"{what}: href {href[:200]} is no address: {error}") from None
        for _ in range(2):  # another identifier of an object leads to its code
            if not address.startswith(f"{self._base}/"):
                raise InvalidData(f"{what}: only what this city serves is read, below {self._base}/; got {href[:200]}")
            self._left -= 1
            if self._left < 0:
                raise InvalidData(f"{what}: more than {MAX_REFERENCES} references")
            status, headers, body = await self._get(address)
            if status != HTTPStatus.SEE_OTHER:
                break
            address = urljoin(address, headers["location"])
        media = headers.get("content-type", "").partition(";")[0]
        document = orjson.loads(body) if media == JSON or media.endswith("+json") else None
        if status != HTTPStatus.OK:
            told = document.get("detail", "") if isinstance(document, dict) else ""
            raise InvalidData(f"{what}: {href[:200]} answers {status}: {told}")
        if document is None:
            raise InvalidData(f"{what}: {href[:200]} is {media}, and must be JSON")
        path = urlsplit(address.removeprefix(self._base)).path
        return self._taken(f"{what}: {href[:200]}", path, headers, document)

    def _taken(self, what: str, path: str, headers: Headers, document: Any) -> Any:
        if _NAMED.fullmatch(path):
            codes = [one["code"] for one in document.get("objects", [document]) if one.get("exists", True)]
            if len(codes) != 1:
                raise InvalidData(f"{what} names {len(codes)} objects, and must name one")
            return codes[0]
        if not isinstance(document, dict) or document.get("type") != "Feature":
            return document
        if document["geometry"] is None:
            raise InvalidData(f"{what} has no geometry")
        if headers.get("content-crs") != f"<{CRS84}>":
            raise InvalidData(f"{what}: geometry is taken in CRS84; leave crs out")
        self.outlined = True
        return document["geometry"]

    async def _get(self, address: str) -> tuple[int, Headers, bytes]:
        """Answer a GET as the gate lets the caller have it."""
        scope, split = self._request.scope, urlsplit(address)
        headers = [one for one in scope["headers"] if one[0] in _PASSED_ON]
        asked = {
            **scope,
            "method": "GET",
            "path": unquote(split.path),
            "raw_path": split.path.encode(),
            "query_string": split.query.encode(),
            "headers": [*headers, (b"accept", JSON.encode())],
            "path_params": {},
        }
        begun: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
        answered: Message = {}
        body = bytearray()

        async def receive() -> Message:
            if not begun:
                await asyncio.Event().wait()  # the client is there for as long as this takes
            return begun.pop()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.update(message)
                return
            body.extend(message.get("body", b""))
            if len(body) > self._room:
                raise InvalidData(f"{address[:200]}: what is referred to has more than {MAX_BYTES} bytes")

        await self._request.app(asked, receive, send)
        self._room -= len(body)
        return answered["status"], Headers(raw=answered["headers"]), bytes(body)


def check_vertices(name: str, value: Any) -> None:
    """Refuse an outline that takes a processor for minutes: every object is cut with it.

    Raises
    ------
    InvalidData : its coordinates are more than 20,000 positions.
    """
    level, positions = [value], 0
    while level:
        below = []
        for node in level:
            if isinstance(node, list):
                positions += bool(node) and isinstance(node[0], (int, float))
                below += [child for child in node if isinstance(child, (list, dict))]
            elif isinstance(node, dict):
                below += [child for child in node.values() if isinstance(child, (list, dict))]
        level = below
    if positions > MAX_POSITIONS:
        raise InvalidData(f"{name} has {positions} positions; at most {MAX_POSITIONS} are taken: simplify its geometry")
