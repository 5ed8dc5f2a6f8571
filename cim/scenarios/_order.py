"""Orders of candidates: how often weights drawn at random leave one among the first, and TOPSIS.

Candidates are rows with a value u in millionths for each criterion, best first; what is unknown counts as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from cim.scenarios._indicator import half_even

MILLION = 1_000_000
DISTANCE = 10**12  # parts of one that distances of TOPSIS are rounded to
# Leaders that a candidate is compared with, as a multiple of those who can be first. Of a pool of 400 for the first 20
# the comparison with 40 leaves 324 to be drawn for, with 100 it leaves 192, with all 167 (a district of 1,863).
LEADERS = 5


def times_first(
    rows: Sequence[sa.Row[Any]], weights: Mapping[str, int], most: int, draws: int, seed: int, concentration: int
) -> list[int]:
    """Return for the first `most` rows in how many draws of the weights they are so again; ties go by rank.

    Weights are drawn from Dirichlet(concentration × weight), to a millionth, so that scores are integers and come out
    alike on every machine.
    """
    if not rows:
        return []
    weighed = [name for name, weight in weights.items() if weight > 0]
    values = _values(rows, weighed)
    able = np.flatnonzero(_may_be_first(values, most, draws))
    alpha = np.array([weights[name] for name in weighed], dtype=np.float64)
    drawn = np.random.Generator(np.random.PCG64(seed)).dirichlet(concentration * alpha / alpha.sum(), size=draws)
    # With its place in the ranking below its score no two are equal: as many as can be first reach the last of them.
    places = (np.rint(drawn * MILLION).astype(np.int64) * len(able)) @ values[able].T
    places -= np.arange(len(able))
    last = min(most, len(able))
    hits = np.zeros(len(rows), dtype=np.int64)
    hits[able] = (places >= np.partition(places, -last, axis=1)[:, -last, None]).sum(axis=0)
    return [int(count) for count in hits[:most]]


def _may_be_first(values: npt.NDArray[np.int64], most: int, draws: int) -> npt.NDArray[np.bool_]:
    """Return which rows can be among the first `most` with some weights or other.

    Not those to which as many before them are equal or better in every criterion. They are compared with the leaders
    alone, no more of them than there are draws: past that it takes longer to find out than to draw.
    """
    leaders = values[: min(LEADERS * most, draws)]
    better = np.arange(len(leaders)) < np.arange(len(values))[:, None]
    for criterion in range(values.shape[1]):
        better &= leaders[:, criterion] >= values[:, criterion, None]
    return np.asarray(better.sum(axis=1) < most)


def _values(rows: Sequence[sa.Row[Any]], names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the values of some criteria: rows × criteria."""
    places = [rows[0]._fields.index(name) for name in names]
    return np.array([[row[place] or 0 for place in places] for row in rows], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Nearness:
    """How far a candidate is from the worst and from the best of all criteria, and its score in millionths."""

    worst: int
    best: int
    score: int


def nearness(rows: Sequence[sa.Row[Any]], weights: Mapping[str, int]) -> dict[str, Nearness]:
    """Return for each candidate how near it is to the best: TOPSIS on the values u, columns divided by their length.

    What is unknown counts as nothing. Distances are rounded to whole numbers, so that scores are exact quotients of
    them. Where nobody differs, all are at the worst: 0.

    Source
    ------
    Hwang, Yoon (1981), "Multiple attribute decision making", chapter III
    """
    if not rows:
        return {}
    weighed = [name for name, weight in weights.items() if weight > 0]
    values = _values(rows, weighed).astype(np.float64)
    length = np.sqrt((values**2).sum(axis=0))
    share = np.array([weights[name] for name in weighed], dtype=np.float64) / sum(weights.values())
    spread = values / np.where(length > 0, length, 1) * share
    found = (
        np.rint(np.sqrt(((spread - end) ** 2).sum(axis=1)) * DISTANCE).astype(np.int64)
        for end in (spread.min(axis=0), spread.max(axis=0))
    )
    return {
        row.code: Nearness(int(worst), int(best), half_even(int(worst) * MILLION, max(int(worst + best), 1)))
        for row, worst, best in zip(rows, *found, strict=True)
    }
