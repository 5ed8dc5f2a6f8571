"""What both division codes share: tiers from province down, the empty ones filled with zeros."""

from __future__ import annotations

from collections.abc import Container
from itertools import accumulate

from cim.codes._base import Mask, Places, Problem, Segment, number_at

TIERS = (
    Segment("province", 2),
    Segment("prefecture", 2),
    Segment("county", 2),
    Segment("town", 3),
    Segment("community", 3),
)
LEVELS = tuple(tier.name for tier in TIERS)
_ENDS = tuple(accumulate(tier.length for tier in TIERS))
# Numbers the standards give out below the province. Practice goes beyond them, so they only warn.
_USUAL: dict[str, Container[int]] = {
    "prefecture": (*range(1, 71), 90),
    "county": range(1, 100),
    "town": range(1, 600),
    "community": range(1, 400),
}


def _numbers(code: str) -> list[tuple[str, int, int]]:
    """Return (tier, its last place, its number) for each tier a code of that length has."""
    tiers = zip(TIERS, _ENDS, strict=True)
    return [(tier.name, end, int(code[end - tier.length : end])) for tier, end in tiers if end <= len(code)]


def _named(code: str) -> list[tuple[str, int]]:
    return [(name, end) for name, end, number in _numbers(code) if number]


def levels_of(code: str) -> tuple[str, ...]:
    """Return the tier the code stands for: the last one that is not zero."""
    return (_named(code)[-1][0],)


def parent_of(code: str) -> str | None:
    """Return the code with its last tier set to zeros; None for a province."""
    ends = [end for _, end in _named(code)]
    return code[: ends[-2]].ljust(len(code), "0") if len(ends) > 1 else None


def prefix_of(code: str) -> str:
    """Return the code without the zeros of the tiers it leaves out."""
    return code[: _named(code)[-1][1]]


def suspects(places: Places, level: str | None) -> Mask:
    """Return which codes have no province, or stand for another tier than `level`."""
    found: Mask = number_at(places, 1, 2) == 0
    if level is not None:
        for tier, end in zip(TIERS, _ENDS, strict=True):
            first = end - tier.length + 1
            if end > places.shape[1]:
                break
            if tier.name == level:
                found |= number_at(places, first, end) == 0
            elif LEVELS.index(tier.name) > LEVELS.index(level):
                found |= number_at(places, first, end) != 0
    return found


def rules(code: str) -> list[Problem]:
    """Refuse a code without a province, and nothing else: practice exceeds every published range."""
    return [Problem("rule", 1, "no province has the number 00")] if code.startswith("00") else []


def warnings(code: str) -> list[Problem]:
    """Return what is unusual: a number beyond the standards' ranges, an empty tier above one that is not."""
    deepest = _named(code)[-1][1]
    problems = []
    for tier, (name, end, number) in zip(TIERS[1:], _numbers(code)[1:], strict=False):
        first = end - tier.length + 1
        if number and number not in _USUAL[name]:
            problems.append(Problem("warning", first, f"{name} number {number} is beyond the usual ranges"))
        # Cities without counties have towns right under the prefecture.
        if not number and end < deepest and name != "county":
            problems.append(Problem("warning", first, f"{name} is empty, and a tier below is not"))
    return problems
