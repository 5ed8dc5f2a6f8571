"""Bearer tokens of an OpenID Connect issuer: JSON Web Tokens, checked against the keys it publishes.

Source
------
OpenID Connect Discovery 1.0, section 4 (where the keys are); RFC 7519 (claims); RFC 9068 (tokens for an API).
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cim.errors import DatabaseError

# Asymmetric ones only: with a shared secret whoever can check a token can make one, and `none` checks nothing.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_TIMEOUT = 5.0
_MAX_BYTES = 1 << 18
_MAX_TOKEN = 8192
_KEEP = 3600.0
# A token of an unknown key asks for the keys anew, as after their rotation, but not more often than this.
_AGAIN = 30.0
_LEEWAY = 30


class InvalidToken(Exception):
    """A token that is not taken; says why, as far as its bearer may know."""


class Issuer:
    """An issuer, and for whom its tokens must be made out."""

    def __init__(self, address: str, audience: str) -> None:
        self._address = address
        self._registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": address},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        self._keys: KeySet | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def claims(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token.

        Raises
        ------
        InvalidToken : it is none, of another issuer or audience, over, or signed with no key of the issuer's.
        DatabaseError : the issuer's keys cannot be read.
        """
        if len(token) > _MAX_TOKEN:
            raise InvalidToken(f"it has more than {_MAX_TOKEN} characters")
        keys = await self._current()
        try:
            decoded = _decode(token, keys)
        except (JoseError, ValueError) as first:
            again = await self._current(older_than=_AGAIN)
            if again is keys:
                raise InvalidToken(_why(first)) from None
            try:
                decoded = _decode(token, again)
            except (JoseError, ValueError) as error:
                raise InvalidToken(_why(error)) from None
        try:
            self._registry.validate(decoded)
        except JoseError as error:
            raise InvalidToken(_why(error)) from None
        return decoded

    async def _current(self, older_than: float = _KEEP) -> KeySet:
        async with self._reading:
            if self._keys is None or time.monotonic() - self._read_at > older_than:
                try:
                    self._keys = await asyncio.to_thread(self._read)
                except (OSError, ValueError, KeyError, JoseError) as error:
                    if self._keys is None:
                        raise DatabaseError(f"cannot read the keys of {self._address}: {error}; try again") from error
                self._read_at = time.monotonic()
            return self._keys

    def _read(self) -> KeySet:
        configuration = _fetch(f"{self._address.rstrip('/')}/.well-known/openid-configuration")
        if configuration.get("issuer") != self._address:
            raise ValueError(f"its configuration names another issuer, {str(configuration.get('issuer'))[:200]!r}")
        return KeySet.import_key_set(_fetch(configuration["jwks_uri"]))


def _decode(token: str, keys: KeySet) -> dict[str, Any]:
    return jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims


def _why(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


def _fetch(url: str) -> Any:
    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:", "http://[::1]:")):
        raise ValueError(f"{url[:200]!r} is no https URL")
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - looked at above
        body = answer.read(_MAX_BYTES + 1)
    if len(body) > _MAX_BYTES:
        raise ValueError(f"{url} answers with more than {_MAX_BYTES} bytes")
    return json.loads(body)
