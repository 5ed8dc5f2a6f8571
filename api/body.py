"""Read a JSON body that may be anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request

from api.links import JSON
from cim.errors import InvalidData

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
PATIENCE = 30.0


async def read_json(request: Request, accepted: Sequence[str] = (JSON,), most: int = MAX_BYTES) -> Any:
    """Return the parsed body; one that does not say what it is counts as the first of the accepted media types.

    Raises
    ------
    InvalidData : not JSON (NaN, lone surrogates and a NUL in a string included), or nested deeper than 50.
    HTTPException : 408 where it is slow, 413 beyond `most` bytes, 415 where the body is packed, or says that it is
    something else.
    """
    check_declared(request, most)
    content_type = request.headers.get("content-type", accepted[0]).partition(";")[0].strip().lower()
    if content_type not in accepted:
        raise HTTPException(415, f"the body must be {' or '.join(accepted)}, got {content_type[:60]!r}")
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise HTTPException(413, f"the body has more than {most} bytes")
    except TimeoutError:
        raise HTTPException(408, f"the body did not come within {PATIENCE:g} s") from None
    try:
        document = orjson.loads(bytes(body))
    except orjson.JSONDecodeError as error:
        raise InvalidData(f"the body is not JSON: {error}") from None
    _check(document)
    return document


def check_declared(request: Request, most: int) -> None:
    """Look at what the head says of the body, before any of it is read.

    Raises
    ------
    HTTPException : 413 where it is longer than `most` bytes, 415 where it is packed.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise HTTPException(413, f"the body has more than {most} bytes")
    packed = request.headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        raise HTTPException(415, f"the body must come as it is, got Content-Encoding {packed[:60]!r}")


def _check(document: Any) -> None:
    level = [document]
    for _ in range(MAX_DEPTH):
        if any(isinstance(node, str) and "\0" in node for node in level):
            raise InvalidData("a string of the body holds a NUL character")
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise InvalidData(f"the body is nested deeper than {MAX_DEPTH} levels")


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    return node if isinstance(node, list) else []
