"""Answers that were made before, the least used forgotten first, within a bound of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class Cache:
    """Bytes by key, at most `limit` of them in all. To be used in one thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._entries: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable) -> bytes | None:
        """Return what was put there, None where it is not or no longer."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: Hashable, content: bytes) -> None:
        """Keep the content, and forget others to make room for it."""
        self._held += len(content) + _EACH - self._size(key)
        self._entries[key] = content
        self._entries.move_to_end(key)
        while self._held > self._limit:
            _, gone = self._entries.popitem(last=False)
            self._held -= len(gone) + _EACH

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._held = 0

    def _size(self, key: Hashable) -> int:
        return len(self._entries[key]) + _EACH if key in self._entries else 0


_EACH = 512  # what a key and its place take, about
