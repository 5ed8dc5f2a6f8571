"""What every request passes on its way in and out: its number, who calls, how often, what they may, and the log."""

from __future__ import annotations

import logging
import re
import secrets
import time
from http import HTTPStatus
from typing import Any

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette._utils import get_route_path
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import Caller
from api.errors import answer_of
from api.logs import REQUESTS
from api.site import Site
from cim.db.access import Reading, read_as
from cim.errors import InvalidData
from cim.settings import Settings

log = logging.getLogger(REQUESTS)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
# RFC 3986, section 3.2.2, without what is percent-encoded.
_HOST = re.compile(rb"([A-Za-z0-9._~!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(:\d{0,5})?")
_READ = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _READ | {"POST", "PUT", "PATCH", "DELETE"}
_BELOW_ITEM = re.compile(r"/collections/([^/]+)/items/(.+)/[a-z]+")
_LOOPBACK = ("127.", "::1")
_GUESSES = parse("60/minute")
# Monitors must see that a server is alive when it refuses everybody else.
_UNLIMITED = frozenset({"/health", "/metrics"})
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"vary", b"Authorization, X-API-Key, Origin"))


def rate_of(settings: Settings) -> RateLimitItem | None:
    """Return how many requests a client may send; None for no limit.

    Raises
    ------
    InvalidData : CIM_API_RATE is neither a rate nor `no`.
    """
    if settings.api_rate == "no":
        return None
    try:
        return parse(settings.api_rate)
    except ValueError:
        raise InvalidData(
            f"CIM_API_RATE must be no, or a rate such as 3000/minute, got {settings.api_rate!r}"
        ) from None


class Gate:
    """ASGI middleware around everything.

    Authorisation goes by the path, before any route is looked at: a route below /collections/{type} that somebody adds
    is as closed as its collection without saying so.
    """

    def __init__(self, app: ASGIApp, rate: RateLimitItem | None) -> None:
        self._app = app
        self._rate = rate
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passage = _Passage(scope, send)
        site: Site = scope["app"].state.site
        try:
            passage.caller = site.access.everybody
            _check_target(scope, passage.path)
            passage.caller = await self._known(site, passage)
            self._count(passage)
            if passage.path not in _UNLIMITED:
                site.access.spend(passage.caller)
            scope["cim.caller"] = passage.caller
            with read_as(await self._rights(site, passage)):
                await self._app(scope, receive, passage.send)
        except Exception as error:
            if passage.begun:
                raise  # the server breaks the connection off: half an answer must not look whole
            await answer_of(scope, error)(scope, receive, passage.send)
        finally:
            passage.end(site)

    async def _known(self, site: Site, passage: _Passage) -> Caller:
        """Find out who calls. Who guesses keys is soon not listened to: each guess is looked up."""
        client = passage.client
        if self._rate is None or not client or client.startswith(_LOOPBACK):
            return await site.access.caller(passage.headers)
        if not self._limiter.test(_GUESSES, "guess", client):
            raise self._too_many(_GUESSES, "guess", client)
        try:
            return await site.access.caller(passage.headers)
        except HTTPException:
            self._limiter.hit(_GUESSES, "guess", client)
            raise

    def _count(self, passage: _Passage) -> None:
        who = passage.caller.subject or passage.client
        if self._rate is None or passage.path in _UNLIMITED or who.startswith(_LOOPBACK) or not who:
            return
        if not self._limiter.hit(self._rate, who):
            raise self._too_many(self._rate, who)

    def _too_many(self, rate: RateLimitItem, *who: str) -> HTTPException:
        wait = max(1, round(self._limiter.get_window_stats(rate, *who).reset_time - time.time()))
        what = "refused credentials" if rate is _GUESSES else "requests"
        return HTTPException(429, f"more {what} than {rate}; come back in {wait} s", {"Retry-After": str(wait)})

    async def _rights(self, site: Site, passage: _Passage) -> Reading:
        """Return the rights a request reads with.

        Raises
        ------
        HTTPException : the caller may not.
        """
        caller, path, method = passage.caller, passage.path, passage.scope["method"]
        parts = path.split("/", 3)
        if parts[1] == "collections" and len(parts) > 2 and parts[2] in site.city.database.dictionary.types:
            return await _of_collection(site, caller, parts[2], path, method)
        if parts[1] == "files" and not caller.sees("building"):
            raise caller.refusal("reading bodies of buildings", "building:read")
        if path.startswith("/log/tile/entries") and not caller.everywhere:
            raise caller.refusal("reading all entries of the log, where not all collections are public,", "*:read")
        may_run = caller.all_public or (caller.allows("processes", "execute") and caller.divisions is None)
        # Proposals are laid over the whole city, and judged on it.
        if parts[1] in ("processes", "proposals") and method not in _READ and not may_run:
            raise caller.refusal("running processes, where not all collections are public,", "processes:execute")
        return Reading()


def _check_target(scope: Scope, path: str) -> None:
    """Refuse what RFC 9112, section 3.2, wants refused: links are made with the host.

    Raises
    ------
    HTTPException : there is not one host, or it is none; or the target is no path.
    """
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 and (hosts or scope["http_version"] != "1.0"):
        raise HTTPException(400, f"expected one Host header, got {len(hosts)}")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise HTTPException(
            400, f"Host must be a name or an address with a port or without, got {hosts[0].decode('latin-1')[:60]!r}"
        )
    if not path.startswith("/"):
        raise HTTPException(400, f"the target of a request must be a path, got {path[:60]!r}")


async def _of_collection(site: Site, caller: Caller, name: str, path: str, method: str) -> Reading:
    rights = caller.reading(name)
    if method not in _READ:
        # Everybody is told by the route itself that this API is read-only.
        if not site.writing(caller, name) and (caller.subject or name not in caller.public):
            raise caller.refusal(f"writing to {name}", f"{name}:write")
    elif not caller.sees(name):
        raise caller.refusal(f"reading {name}", f"{name}:read")
    below = _BELOW_ITEM.fullmatch(path)
    if rights.role == "cim_district" and below is not None:
        # What these routes read is not all read by the caller's role; the object itself is.
        with read_as(rights):
            found = await site.reader.item(name, below[2], None, site.storage.output)
        if found is None:
            raise HTTPException(404, f"{name} {below[2][:80]} does not exist")
    return rights


class _Passage:
    """One request: its number and caller, and what went out."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        self.path = get_route_path(scope)
        self.client: str = scope["client"][0] if scope.get("client") else ""
        self.caller = Caller()
        given = self.headers.get("x-request-id", "")
        self.number = scope["cim.request"] = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self._send = send
        self._began = time.perf_counter()
        self._status = 0
        self._bytes = 0

    @property
    def begun(self) -> bool:
        """Whether an answer has begun."""
        return self._status > 0

    async def send(self, message: Message) -> None:
        """Send on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            raw = message["headers"]
            raw += ((b"x-request-id", self.number.encode()), *_ALWAYS)
            if self.caller.subject is not None:
                # What one caller may see no cache hands to another.
                headers = MutableHeaders(raw=raw)
                kept = headers.get("cache-control", "no-cache")
                headers["Cache-Control"] = kept.replace("public", "private") if "public" in kept else f"private, {kept}"
        elif message["type"] == "http.response.body":
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def end(self, site: Site) -> None:
        """Count the request, and write it to the log where somebody listens."""
        seconds = time.perf_counter() - self._began
        # What broke off before its answer began was answered by the server itself.
        status = self._status or int(HTTPStatus.INTERNAL_SERVER_ERROR)
        site.metrics.requests.note(
            self.scope["method"] if self.scope["method"] in _METHODS else "other", status, seconds
        )
        if not log.isEnabledFor(logging.INFO):
            return
        scope = self.scope
        fields: dict[str, Any] = {
            "request": self.number,
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode("latin-1"),
            "status": status,
            "bytes": self._bytes,
            "ms": round(1000 * seconds, 2),
            "caller": self.caller.subject,
            "client": self.client or None,
        }
        log.info("request", extra={"fields": fields})
