"""Who calls, and what they may do.

Everybody may read the public collections. What else one may do, a key or a token says by scopes: TYPE:VERB, where TYPE
is a feature type, `*` for all, or `processes`, and VERB is read, write, private or execute. Divisions limit what is
restricted, and every write, to the objects in them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from limits import RateLimitItem
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request

from api.oidc import InvalidToken, Issuer
from api.quota import Quotas
from cim.city import City
from cim.db import access
from cim.db.access import Grant, Reading
from cim.db.engine import told
from cim.errors import InvalidData

# So long a revoked key may still be taken; looking each up would cost a third of a read.
_KEEP = 10.0
_MAX_KEYS = 4096
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="cim"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes
    ----------
    subject : `key:…` or `oidc:…`; None for everybody
    name : as audit and log name them
    divisions : what they are limited to; None for no limit
    public : the collections that everybody may read
    grant : what the key allows that they call with; None without one
    """

    subject: str | None = None
    name: str = "anonymous"
    scopes: frozenset[str] = frozenset()
    divisions: tuple[str, ...] | None = None
    public: frozenset[str] = frozenset()
    all_public: bool = True
    grant: Grant | None = None

    def allows(self, type_name: str, verb: str) -> bool:
        """Return whether a scope allows it."""
        return not self.scopes.isdisjoint((f"{type_name}:{verb}", f"*:{verb}"))

    def sees(self, type_name: str) -> bool:
        """Return whether they may read a collection, or some of it."""
        return type_name in self.public or self.allows(type_name, "read")

    @property
    def everywhere(self) -> bool:
        """Whether they may read all of every collection."""
        return self.all_public or ("*:read" in self.scopes and self.divisions is None)

    def reading(self, type_name: str) -> Reading:
        """Return the rights with which they read a collection that they see."""
        if type_name in self.public:
            return Reading()
        return Reading("cim_staff") if self.divisions is None else Reading("cim_district", self.divisions)

    def refusal(self, what: str, scope: str) -> HTTPException:
        """Return the refusal: 401 to everybody, 403 to whom we know."""
        if self.subject is None:
            return HTTPException(401, f"{what} needs a key or a token with the scope {scope}", _CHALLENGE)
        return HTTPException(403, f"{what} needs the scope {scope}, which {self.name} does not have")


class Access:
    """Finds out who calls. Keys are remembered for ten seconds, so that a revoked one is soon worth nothing."""

    def __init__(self, city: City) -> None:
        self._database = city.database
        public = frozenset(access.public_types(city.database))
        settings = city.settings
        self.everybody = Caller(public=public, all_public=public == frozenset(city.database.dictionary.types))
        self._issuer = (
            Issuer(settings.oidc_issuer, settings.oidc_audience)
            if settings.oidc_issuer is not None and settings.oidc_audience is not None
            else None
        )
        self._known: dict[str, tuple[float, Grant | None]] = {}
        self._quotas = Quotas()

    async def caller(self, headers: Headers) -> Caller:
        """Return who sends these headers: `X-API-Key`, or `Authorization: Bearer` with a key or a token.

        Raises
        ------
        HTTPException : 401, the credentials are not taken. DatabaseError : they cannot be looked up.
        """
        credentials = headers.get("x-api-key")
        if credentials is None:
            scheme, _, credentials = headers.get("authorization", "").partition(" ")
            if not scheme:
                return self.everybody
            if scheme.lower() != "bearer":
                raise _unknown("credentials come as Authorization: Bearer, or as X-API-Key")
        credentials = credentials.strip()
        if credentials.startswith("cim_"):
            grant = await self._grant(credentials)
            if grant is None:
                raise _unknown("the key is unknown, revoked or expired")
            caller = self._limited(f"key:{grant.id}", grant.name, grant.scopes, grant.divisions)
            return replace(caller, grant=grant)
        if self._issuer is None:
            raise _unknown("this API takes no tokens, and that is none of its keys")
        try:
            return self._bearer(await self._issuer.claims(credentials))
        except InvalidToken as error:
            raise _unknown(f"the token is not taken: {error}") from None

    def spend(self, caller: Caller) -> None:
        """Count a request by the quota of the caller's key, if it has one.

        Raises
        ------
        HTTPException : 429, the quota is used up.
        """
        if caller.grant is None or caller.grant.quota is None:
            return
        wait = self._quotas.spend(caller.grant.id, caller.grant.quota)
        if wait is not None:
            seconds = max(1, math.ceil(wait))
            detail = f"the quota of this key, {caller.grant.quota}, is used up; come back in {seconds} s"
            raise HTTPException(429, detail, {"Retry-After": str(seconds)})

    def _bearer(self, claims: Mapping[str, Any]) -> Caller:
        """Return whom a token names: `scope` or `scp` (text or list), and `cim_divisions` (list) if it is limited."""
        subject = str(claims["sub"])
        scopes = claims.get("scope", claims.get("scp", ""))
        words = scopes.split() if isinstance(scopes, str) else [str(scope) for scope in scopes]
        given = claims.get("cim_divisions")
        try:
            divisions = None if given is None else access.check_divisions([str(one) for one in given])
        except (InvalidData, TypeError):
            raise InvalidToken("cim_divisions must be a list of division codes") from None
        # Tokens carry scopes of other systems too, as openid or profile; they match nothing of ours.
        name = str(claims.get("preferred_username", subject))
        return self._limited(f"oidc:{subject}", name if name.isprintable() else subject, frozenset(words), divisions)

    def _limited(self, subject: str, name: str, scopes: frozenset[str], divisions: tuple[str, ...] | None) -> Caller:
        return replace(self.everybody, subject=subject, name=name, scopes=scopes, divisions=divisions)

    async def _grant(self, key: str) -> Grant | None:
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None and known[0] > now:
            return known[1]
        grant = await asyncio.to_thread(self._look_up, key)
        if grant is not None and grant.quota is not None:
            await self._reckon(grant.id, grant.quota)
        if len(self._known) >= _MAX_KEYS:
            self._known.clear()
        self._known[key] = (now + _KEEP, grant)
        return grant

    def _look_up(self, key: str) -> Grant | None:
        with told(), self._database.engine.connect() as connection:
            return access.find_key(connection, key)

    async def _reckon(self, number: str, quota: RateLimitItem) -> None:
        """Tell the database what a key has sent here, and learn what it has sent elsewhere."""
        since, more = self._quotas.take(number, quota)

        def write() -> int:
            with told(), self._database.engine.begin() as connection:
                return access.use_key(connection, number, since, more)

        try:
            self._quotas.learn(number, since, await asyncio.to_thread(write))
        except BaseException:
            self._quotas.give_back(number, since, more)
            raise


def _unknown(detail: str) -> HTTPException:
    return HTTPException(401, detail, {"WWW-Authenticate": 'Bearer realm="cim", error="invalid_token"'})


def caller_of(request: Request) -> Caller:
    """Return who sent a request."""
    return cast("Caller", request.scope["cim.caller"])
