"""Indicators: a number with its unit, what it rests on, and the bounds that the unknown leaves open.

An indicator is `{value, unit, n, n_known, low, high}`. `value` counts what is known and nothing else; `low` and
`high` put every unknown at the ends of its domain. A ratio also carries `num`, `den` (integers, value = num ÷ den)
and `decimals`, so that a limit can be tested by cross-multiplication. Sums and counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

Ratio = tuple[int, int]  # numerator, denominator >= 0; not reduced
Indicator = dict[str, Any]

DECIMALS = 6
SQUARE_CENTIMETRES = 10_000  # in a square metre


def half_even(num: int, den: int) -> int:
    """Return num ÷ den rounded to the nearest integer, ties to even; den > 0. Twin of SQL's cim.half_even."""
    quotient, remainder = divmod(abs(num), den)
    rounded = quotient + (2 * remainder + quotient % 2 > den)
    return rounded if num >= 0 else -rounded


def decimal(num: int, den: int, decimals: int) -> float | int:
    """Return num ÷ den rounded half to even to so many decimals, as the number JSON writes with those decimals."""
    scaled = half_even(num * 10**decimals, den)
    return scaled / 10**decimals if decimals else scaled


def count(unit: str, known: int, most: int, *, n: int, n_known: int, least: int = 0) -> Indicator:
    """Return the indicator of a sum of integers; the unknown adds from `least` to `most`.

    Nothing known of something gives the value None; the sum of nothing is 0.
    """
    return _indicator(unit, known, known + least, known + most, n, n_known)


def area(known: int, most: int, *, n: int, n_known: int, least: int = 0) -> Indicator:
    """Return the indicator of a sum of areas given in square centimetres, shown exactly in square metres."""
    value, low, high = ((known + more) / SQUARE_CENTIMETRES for more in (0, least, most))
    return _indicator("m2", value, low, high, n, n_known)


def change(unit: str, added: Indicator, removed: Indicator) -> Indicator:
    """Return what two sums of one unit change between them: added less removed."""
    decimals = 4 if unit == "m2" else 0

    def less(a: Any, b: Any) -> float | int:
        difference = Fraction(str(a)) - Fraction(str(b))
        return decimal(difference.numerator, difference.denominator, decimals)

    known = less(added["value"] or 0, removed["value"] or 0)
    low, high = less(added["low"], removed["high"]), less(added["high"], removed["low"])
    return _indicator(unit, known, low, high, added["n"] + removed["n"], added["n_known"] + removed["n_known"])


def ratio(unit: str, value: Ratio, bounds: Iterable[Ratio], *, n: int, n_known: int) -> Indicator:
    """Return the indicator of a ratio of sums; its bounds are the least and the greatest of `bounds`.

    A ratio over nothing is undefined, unless it is only unknown: its value is None, and so is a bound over nothing.
    """
    num, den = value
    low = high = shown = decimal(num, den, DECIMALS) if den > 0 else None
    ends = set(bounds)
    if ends != {value}:
        sure = bool(ends) and all(den > 0 for _, den in ends)
        low, high = (decimal(*end(ends), DECIMALS) if sure else None for end in (least, greatest))
    indicator = _indicator(unit, shown, low, high, n, n_known)
    indicator |= {"num": num, "den": den, "decimals": DECIMALS}
    if den == 0 and n == n_known:
        indicator["status"] = "undefined"
    return indicator


def least(fractions: Iterable[Ratio]) -> Ratio:
    """Return the smallest of some fractions with positive denominators, compared exactly."""
    smallest, *others = fractions
    for num, den in others:
        if num * smallest[1] < smallest[0] * den:
            smallest = num, den
    return smallest


def greatest(fractions: Iterable[Ratio]) -> Ratio:
    """Return the largest of some fractions with positive denominators, compared exactly."""
    num, den = least((-num, den) for num, den in fractions)
    return -num, den


def extreme_mean(fixed: Ratio, optional: Iterable[Ratio], *, highest: bool) -> Ratio:
    """Return the most extreme Σnum ÷ Σden over all choices of `optional` addends, each in whole or not at all.

    An addend raises a mean exactly when its own ratio is above it, so the best choice is a run of the addends in
    order of their ratios. With nothing fixed and nothing chosen the fraction is (0, 0): undefined.
    """
    num, den = fixed
    best = None if den == 0 else fixed
    addends = sorted((a for a in optional if a[1] > 0), key=lambda addend: Fraction(*addend), reverse=highest)
    choose = greatest if highest else least
    for addend_num, addend_den in addends:
        num, den = num + addend_num, den + addend_den
        best = (num, den) if best is None else choose([best, (num, den)])
    return best or (0, 0)


def _indicator(unit: str, value: Any, low: Any, high: Any, n: int, n_known: int) -> Indicator:
    shown = None if n > 0 and n_known == 0 else value
    return {"value": shown, "unit": unit, "n": n, "n_known": n_known, "low": low, "high": high}


def numbers(value: Any, at: str = "") -> Iterator[tuple[str, Indicator]]:
    """Yield every indicator of a result and where it stands: the names on the way to it, each after a slash.

    A slash within a name is written ~1, as in a JSON pointer; an entry of a list goes by `label_of`.
    """
    if isinstance(value, Mapping):
        if "unit" in value and "value" in value:
            yield at, dict(value)
        else:
            for name, item in value.items():
                yield from numbers(item, step(at, str(name)))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for position, item in enumerate(value):
            yield from numbers(item, step(at, label_of(item, position)))


def step(at: str, name: str) -> str:
    """Return where something of that name stands beneath a place."""
    return f"{at}/{name.replace('~', '~0').replace('/', '~1')}"


def label_of(item: Any, position: int) -> str:
    """Return what tells an entry of a list from the others: its code, its rule, what it is of, else its place."""
    if isinstance(item, Mapping):
        for name in ("code", "rule", "name", "id", "vote", "class"):
            if isinstance(item.get(name), str):
                return str(item[name])
        if isinstance(item.get("kind"), str):
            return f"{item['kind']} {item['ring']}" if "ring" in item else str(item["kind"])
        if isinstance(item.get("by"), Mapping):
            return ",".join(f"{name}={value}" for name, value in sorted(item["by"].items()))
        if isinstance(item.get("phase"), int):
            return str(item["phase"])
    return str(position)


def schema(unit: str, title: str, title_zh: str, *, fraction: bool = False) -> dict[str, Any]:
    """Return the JSON Schema of an indicator with that unit (UCUM)."""
    number = {"type": ["number", "null"]}
    properties: dict[str, Mapping[str, Any]] = {
        "value": {**number, "description": "What the known gives; null where nothing is known, or undefined"},
        "unit": {"const": unit},
        "n": {"type": "integer", "minimum": 0, "description": "Objects it is about"},
        "n_known": {"type": "integer", "minimum": 0, "description": "Objects of which all that it needs is known"},
        "low": {**number, "description": "Value with every unknown at the end of its domain that makes it least"},
        "high": {**number, "description": "Value with every unknown at the end that makes it greatest"},
    }
    if fraction:
        properties |= {
            "num": {"type": "integer", "description": "Numerator; value = num ÷ den before rounding"},
            "den": {"type": "integer", "minimum": 0},
            "decimals": {"type": "integer", "description": "Decimals of value, rounded half to even"},
            "status": {"const": "undefined", "description": "Present where there is nothing to divide by"},
        }
    required = [name for name in properties if name != "status"]
    return {
        "title": title,
        "x-cim-title-zh": title_zh,
        "x-ogc-unit": unit,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
