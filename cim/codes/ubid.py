"""Unique Building Identifier: the cell of a footprint's centre, and how many cells its box reaches beyond it.

An Open Location Code and four counts of cells, to the north, east, south and west. It follows the geometry, so it is a
computed row of the crosswalk to match by, never a key. No check character.
"""

from __future__ import annotations

import re

from buildingid import code as buildingid

from cim.codes import olc
from cim.codes._base import CodeScheme, Invalid, Layout, Problem, Segment, Valid
from cim.errors import InvalidData

CODE_LENGTH = 11
"""Digits of the cell we compute with: 3 m; 10, the package's default, are too coarse for small buildings."""
_COUNT = re.compile("0|[1-9][0-9]*")
# A box of at most 9,999 cells of 10 digits or more, 1.25 degrees, around a cell away from poles and antimeridian.
_PLAIN = re.compile(
    f"[{olc.ALPHABET[1:8]}][{olc.ALPHABET[1:17]}][{olc.ALPHABET}]{{6}}\\+[{olc.ALPHABET}]{{2,7}}"
    "(?:-(?:0|[1-9][0-9]{0,3})){4}"
)


def of(box: tuple[float, float, float, float], centre: tuple[float, float], code_length: int = CODE_LENGTH) -> str:
    """Return the identifier of a footprint.

    Parameters
    ----------
    box : west, south, east, north of it, degrees of WGS 84 or CGCS2000
    centre : its longitude and latitude

    Raises
    ------
    InvalidData : the centre lies outside the box, or the coordinates are no degrees.
    """
    west, south, east, north = box
    longitude, latitude = centre
    # The package asserts as much, which an optimised Python leaves out.
    if not (-180 <= west <= longitude <= east <= 180 and -90 <= south <= latitude <= north <= 90):
        raise InvalidData(f"no UBID for box {box}, centre {centre}: the centre must lie in the box, in degrees")
    return str(buildingid.encode(south, west, north, east, latitude, longitude, codeLength=code_length))


def overlap(first: str, second: str) -> float:
    """Return the area two identifiers' boxes share, divided by the area they cover: 0 to 1.

    Raises
    ------
    InvalidCode : one of them is refused.
    """
    boxes = [buildingid.decode(SCHEME.check(text)) for text in (first, second)]
    return float(boxes[0].jaccard(boxes[1]) or 0.0)


def _rules(code: str) -> list[Problem]:
    if _PLAIN.fullmatch(code):
        return []
    cell, *counts = code.split("-")
    problems = olc.rules(cell)
    place = len(cell) + 2
    for direction, count in zip(("north", "east", "south", "west"), counts, strict=True):
        if not _COUNT.fullmatch(count):
            problems.append(Problem("rule", place, f"{direction} has no leading zeros, is {count}"))
        place += len(count) + 1
    if not problems:
        try:
            buildingid.decode(code)
        except (ValueError, AssertionError) as error:
            problems.append(Problem("rule", None, f"the box leaves the world: {error}"))
    return problems


def _counts() -> list[Segment]:
    separator = Segment("", 1, literal="-")
    named = (Segment(name, 7, least=1) for name in ("north", "east", "south", "west"))
    return [segment for count in named for segment in (separator, count)]


SCHEME = CodeScheme(
    name="ubid",
    title="Unique Building Identifier",
    title_zh="建筑唯一标识（UBID）",
    source="UBID specification of Pacific Northwest National Laboratory; package buildingid",
    version="2",
    confidence="confirmed",
    issuer="the footprint itself: compute it with cim.codes.ubid.of",
    layout=Layout((*olc.SEGMENTS, *_counts())),
    rules=_rules,
    examples_valid=(
        Valid("849VQJH6+95J-51-58-42-50"),
        Valid("849VQJH6+95-51-58-42-50"),
        Valid("7PMM47H7+JMW-4-6-4-6"),
        Valid("7pmm47h7+jm-1-2-0-1"),
    ),
    examples_invalid=(
        Invalid("849VQJH6+95J-51-58-42", "shape", 22),
        Invalid("849AQJH6+95J-51-58-42-50", "shape", 4),
        Invalid("849VQJH6+95J-51-58-42-050", "rule", 23),
        Invalid("849VQJH6+9-51-58-42-50", "rule", 10),
        Invalid("C2222222+22-9999999-0-0-0", "rule", None),
    ),
)
