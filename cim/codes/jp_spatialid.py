"""Spatial ID of Japan (空間ID): a box in space by zoom, floor and the web map tile it stands on.

`z/f/x/y`: tiles of the Web Mercator grid, and floors of 2²⁵ ÷ 2^z metres, counted from 0 m, below it negative. It
follows the geometry, so it is a computed identifier, never a key. No check character.
"""

from __future__ import annotations

import math
import re

from cim.codes._base import CodeScheme, Invalid, Layout, Problem, Segment, Valid
from cim.errors import InvalidData

DEEPEST = 35
_WHOLE = re.compile("(?:0|[1-9][0-9]?)/(?:0|-?[1-9][0-9]*)/(?:0|[1-9][0-9]*)/(?:0|[1-9][0-9]*)")
_HEIGHT = 2**25  # metres of the one floor of zoom 0
_LAST_LATITUDE = math.degrees(math.atan(math.sinh(math.pi)))  # where the square of Web Mercator ends


def of(longitude: float, latitude: float, altitude: float, zoom: int) -> str:
    """Return the identifier of the box a point lies in.

    Parameters
    ----------
    longitude, latitude : degrees
    altitude : metres

    Raises
    ------
    InvalidData : no such zoom, or a point beyond the grid, which ends at 85.05 degrees.
    """
    if not 0 <= zoom <= DEEPEST:
        raise InvalidData(f"zoom is 0 to {DEEPEST}, got {zoom}")
    if not (-180 <= longitude < 180 and abs(latitude) <= _LAST_LATITUDE):
        raise InvalidData(f"{longitude}, {latitude} is no longitude and latitude within the Web Mercator grid")
    tiles = 2**zoom
    floor = math.floor(altitude * tiles / _HEIGHT)
    x = math.floor((longitude + 180) / 360 * tiles)
    y = math.floor((1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * tiles)
    return f"{zoom}/{floor}/{x}/{min(y, tiles - 1)}"


def _rules(code: str) -> list[Problem]:
    numbers = code.split("/")
    if _WHOLE.fullmatch(code):
        zoom = int(numbers[0])
        if zoom <= DEEPEST and not (int(numbers[2]) | int(numbers[3])) >> zoom:
            return []
    problems = []
    place = 1
    for name, number in zip(("zoom", "floor", "x", "y"), numbers, strict=True):
        digits = number.lstrip("-")
        if (digits != "0" and digits.startswith("0")) or number == "-0":
            problems.append(Problem("rule", place, f"{name} has no leading zeros, is {number}"))
        elif name == "zoom" and int(number) > DEEPEST:
            problems.append(Problem("rule", place, f"zoom is at most {DEEPEST}, is {number}"))
        elif name in "xy" and int(numbers[0]) <= DEEPEST and int(number) >> int(numbers[0]):
            below = 2 ** int(numbers[0])
            problems.append(Problem("rule", place, f"{name} of zoom {numbers[0]} is below {below}, is {number}"))
        place += len(number) + 1
    return problems


def _parent_of(code: str) -> str | None:
    zoom, *numbers = map(int, code.split("/"))
    return "/".join(map(str, (zoom - 1, *(number >> 1 for number in numbers)))) if zoom else None


def _children_of(code: str) -> str:
    zoom, *numbers = map(int, code.split("/"))
    return "/".join((str(zoom + 1), *(f"(?:{2 * number}|{2 * number + 1})" for number in numbers)))


SCHEME = CodeScheme(
    name="jp-spatialid",
    title="Spatial ID",
    title_zh="日本空间ID",
    source="空間IDガイドライン, Digital Agency and IPA of Japan",
    version="zoom 0 to 35",
    confidence="confirmed",
    issuer="the place itself: compute it with cim.codes.jp_spatialid.of",
    layout=Layout(
        (
            Segment("zoom", 2, least=1),
            Segment("", 1, literal="/"),
            Segment("sign", 1, "-", least=0),
            Segment("floor", 11, least=1),
            Segment("", 1, literal="/"),
            Segment("x", 11, least=1),
            Segment("", 1, literal="/"),
            Segment("y", 11, least=1),
        )
    ),
    rules=_rules,
    parent_of=_parent_of,
    children_of=_children_of,
    examples_valid=(
        Valid("16/0/58206/25807"),
        Valid("16/1/53387/28438"),
        Valid("25/-1/0/0"),
        Valid("0/0/0/0"),
    ),
    examples_invalid=(
        Invalid("16/0/58206", "shape", 11),
        Invalid("16/0/58206/25807/1", "shape", 17),
        Invalid("16/0/58206/-1", "shape", 12),
        Invalid("36/0/0/0", "rule", 1),
        Invalid("16/0/65536/0", "rule", 6),
        Invalid("16/00/0/0", "rule", 4),
        Invalid("16/-0/0/0", "rule", 4),
    ),
)
