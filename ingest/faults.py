"""What is wrong with which records: reasons by row, gathered while a layer is worked through by column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]


class Faults:
    """Reasons to reject rows of one layer of `count` records; a row may have several."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._reasons: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return len(self._reasons)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Yield row and its reasons as one text, in row order."""
        for row in sorted(self._reasons):
            yield row, "; ".join(self._reasons[row])

    def add(self, rows: Mask | Iterable[int], reason: str | Callable[[int], str]) -> None:
        """Give a reason to the rows, by mask or by number; a callable is asked for each row's own words."""
        numbers = np.flatnonzero(rows) if isinstance(rows, np.ndarray) and rows.dtype == bool else rows
        for number in numbers:
            text = reason if isinstance(reason, str) else reason(int(number))
            self._reasons.setdefault(int(number), []).append(text)

    def good(self) -> Mask:
        """Return the mask of rows without a fault."""
        mask = np.ones(self.count, dtype=bool)
        mask[list(self._reasons)] = False
        return mask


def mask_of(condition: pa.ChunkedArray | pa.Array) -> Mask:
    """Return a boolean Arrow column as a mask; null counts as false."""
    mask: Mask = pc.fill_null(condition, False).to_numpy(zero_copy_only=False)
    return mask
