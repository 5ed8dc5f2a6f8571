"""How many slips the check characters find: every one is tried, and the docs say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from cim.codes import CodeScheme, cn_jgjt246, provisional

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "codes.md").read_text(encoding="utf-8")
# The sum a check character closes is linear: whether a slip is found depends on the places and characters alone, not on
# the rest of the code. So one good code for each pair of characters at each pair of places tries them all.


def jgjt246(first: int, second: int, one: str, other: str) -> str | None:
    """A good code with these characters at two places; None where the check character would have to be another."""
    body = list("1101010102020000900000")
    for place, character in ((first, one), (second, other)):
        if place < len(body):
            body[place] = character
    code = "".join(body) + cn_jgjt246.check_character("".join(body))
    if second < len(body):
        return code
    # The check character takes each value as another place is varied.
    for free in (place for place in range(22) if place != first):
        for digit in "0123456789":
            body[free] = digit
            code = "".join(body) + cn_jgjt246.check_character("".join(body))
            if code[22] == other:
                return code
    return None


def pv(first: int, second: int, one: str, other: str) -> str | None:
    """As above, for provisional codes: all places behind the prefix."""
    body = list("PV0ZACHMWWAYZ5P9J2")
    for place, character in ((first, one), (second, other)):
        if place < len(body):
            body[place] = character
    for free in (place for place in range(2, 18) if place not in (first, second)):
        for letter in provisional.ALPHABET:
            body[free] = letter
            checks = [c for c in provisional.ALPHABET if provisional.SCHEME.validate("".join(body) + c) == []]
            if checks and (second < len(body) or checks[0] == other):
                return "".join(body) + checks[0]
    return None


def swaps(places: range, alphabet: str, make: object) -> Iterator[tuple[int, int, str]]:
    """Every two places, every two characters at them, swapped."""
    assert callable(make)
    for first, second in combinations(places, 2):
        for one, other in combinations(alphabet, 2):
            code = make(first, second, one, other)
            if code is not None:
                letters = list(code)
                letters[first], letters[second] = letters[second], letters[first]
                yield first, second, "".join(letters)


def found(scheme: CodeScheme, wrong: list[str]) -> list[bool]:
    codes, _ = scheme.check_many(wrong)
    return [code is None for code in codes]


def stated(name: str) -> list[str]:
    row = re.search(rf"^\| `{name}` \|.*$", DOCUMENT, re.MULTILINE)
    assert row is not None
    return [cell.strip() for cell in row.group().split("|")][-4:-1]


@pytest.mark.parametrize(
    ("scheme", "good", "places", "alphabet"),
    [
        (cn_jgjt246.SCHEME, "11010101020200009000003", range(23), "0123456789"),
        (provisional.SCHEME, "PV0ZACHMWWAYZ5P9J27", range(2, 19), provisional.ALPHABET),
    ],
    ids=["cn-jgjt246", "provisional"],
)
def test_every_wrong_character_is_found(scheme: CodeScheme, good: str, places: range, alphabet: str) -> None:
    """From every character to every other, at every place: shift the sum by what the change would."""
    wrong = [good[:p] + c + good[p + 1 :] for p in places for c in alphabet if c != good[p]]
    assert len(wrong) == len(places) * (len(alphabet) - 1)
    assert all(found(scheme, wrong))
    assert stated(scheme.name)[0] == "100 %"


@pytest.mark.parametrize(
    ("scheme", "make", "places", "alphabet", "pairs_missed"),
    [
        # Weights are powers of two modulo 11, equal at places 10 or 20 apart: 13 + 3 pairs of 253.
        (cn_jgjt246.SCHEME, jgjt246, range(23), "0123456789", 16),
        (provisional.SCHEME, pv, range(2, 19), "0159AGKXZ", 0),
    ],
    ids=["cn-jgjt246", "provisional"],
)
def test_swaps_are_found_as_the_docs_say(
    scheme: CodeScheme, make: object, places: range, alphabet: str, pairs_missed: int
) -> None:
    tried = list(swaps(places, alphabet, make))
    results = found(scheme, [code for _, _, code in tried])
    missed = {(first, second) for (first, second, _), caught in zip(tried, results, strict=True) if not caught}
    pairs = {(first, second) for first, second, _ in tried}
    assert len(pairs) == len(places) * (len(places) - 1) // 2
    assert len(missed) == pairs_missed
    assert all(second - first > 1 for first, second in missed)
    assert stated(scheme.name)[1:] == ["100 %", f"{100 * (1 - pairs_missed / len(pairs)):.3g} %"]
