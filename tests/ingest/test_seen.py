from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ingest.ahead import ahead
from ingest.seen import Seen


def test_a_key_is_traced_to_the_record_it_came_in_first_however_many_batches_ago() -> None:
    seen = Seen()
    generator = np.random.default_rng(42)
    known: dict[str, int] = {}
    for start in range(0, 3_000, 100):
        keys = [f"k{number}" for number in generator.integers(0, 2_000, 100)]
        expected = [known.setdefault(key, start + place) for place, key in enumerate(keys)]
        assert seen.first(keys, np.arange(start, start + 100)).tolist() == expected
    assert len(known) < 2_000


def test_no_keys_are_no_trouble() -> None:
    seen = Seen()
    assert seen.first([], np.arange(0)).tolist() == []
    assert seen.first(["a"], np.array([7])).tolist() == [7]


def test_items_come_in_order_and_an_error_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise ValueError("the fourth")

    got: list[int] = []
    with pytest.raises(ValueError, match="the fourth"):
        got.extend(ahead(items()))
    assert got == [0, 1, 2]
