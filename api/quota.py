"""Quotas of keys: how many requests a key may send in a period, whichever worker answers them.

A worker counts by itself. As often as it looks a key up again it adds its count to that in the database, and learns
what the others have let through: a key may send more than its quota by what all of them let through in between. Periods
are those of the clock, a day that of UTC.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from limits import RateLimitItem


@dataclass(slots=True)
class _Use:
    """What a key has sent in a period: as far as the database has it, and what it has not been told yet."""

    since: int
    told: int = 0
    own: int = 0


class Quotas:
    """What keys have sent, by their ids. To be used in one thread."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}

    def spend(self, number: str, quota: RateLimitItem) -> float | None:
        """Count a request; where the quota is used up, return the seconds until the next period instead."""
        use = self._use(number, quota)
        if use.told + use.own >= quota.amount:
            return use.since + quota.get_expiry() - time.time()
        use.own += 1
        return None

    def take(self, number: str, quota: RateLimitItem) -> tuple[datetime, int]:
        """Return when the period began, and what the database is to be told of it."""
        use = self._use(number, quota)
        more, use.own = use.own, 0
        use.told += more
        return datetime.fromtimestamp(use.since, UTC), more

    def learn(self, number: str, since: datetime, told: int) -> None:
        """Take note of what the database has of a period."""
        use = self._uses.get(number)
        if use is not None and use.since == since.timestamp():
            use.told = max(use.told, told)

    def give_back(self, number: str, since: datetime, more: int) -> None:
        """Keep what the database could not be told."""
        use = self._uses.get(number)
        if use is not None and use.since == since.timestamp():
            use.told -= more
            use.own += more

    def _use(self, number: str, quota: RateLimitItem) -> _Use:
        since = int(time.time() // quota.get_expiry()) * quota.get_expiry()
        use = self._uses.get(number)
        if use is None or use.since != since:
            use = self._uses[number] = _Use(since)
        return use
