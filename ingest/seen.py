"""Which keys came before, and where: found batch by batch, at 16 bytes a key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


class Seen:
    """The keys of a layer so far, by their 64-bit hashes, with the record each came in first.

    Odds that two among n keys share a hash: n² / 2⁶⁵, that is 3·10⁻⁶ for ten million; the later would count as a
    repetition.
    """

    def __init__(self) -> None:
        # Sorted hashes with their records. Each run is more than twice the next, so that there are few.
        self._runs: list[tuple[Rows, Rows]] = []

    def first(self, keys: Sequence[str], records: Rows) -> Rows:
        """Note keys and return, for each, the record it came in first: the one given with it if it is new."""
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys))
        ordered, places, back = np.unique(hashes, return_index=True, return_inverse=True)
        found = records[places]
        new = np.ones(len(ordered), dtype=bool)
        for known, known_records in self._runs:
            position = np.minimum(np.searchsorted(known, ordered), len(known) - 1)
            here = known[position] == ordered
            found[here] = known_records[position[here]]
            new &= ~here
        self._add(ordered[new], found[new])
        firsts: Rows = found[back]
        return firsts

    def _add(self, hashes: Rows, records: Rows) -> None:
        while self._runs and len(self._runs[-1][0]) <= 2 * len(hashes):
            known, known_records = self._runs.pop()
            hashes = np.concatenate([known, hashes])
            order = np.argsort(hashes, kind="stable")
            hashes, records = hashes[order], np.concatenate([known_records, records])[order]
        if len(hashes):
            self._runs.append((hashes, records))
