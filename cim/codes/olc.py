"""Open Location Code, Plus Code: the cell a place lies in, by WGS 84 or CGCS2000 latitude and longitude.

It has no check character: a wrong character is another cell. Full codes only; a short one means something beside a
reference place alone. Coordinates in GCJ-02 give the code of another place, hundreds of metres off.
"""

from __future__ import annotations

import re

from openlocationcode import openlocationcode

from cim.codes._base import CodeScheme, Invalid, Layout, Problem, Segment, Valid
from cim.errors import InvalidData

ALPHABET = "23456789CFGHJMPQRVWX"
_WHOLE = re.compile(
    f"[{ALPHABET[:9]}][{ALPHABET[:18]}]"
    f"(?:0{{6}}\\+|[{ALPHABET}]{{2}}0{{4}}\\+|[{ALPHABET}]{{4}}0{{2}}\\+|[{ALPHABET}]{{6}}\\+(?:[{ALPHABET}]{{2,7}})?)"
)
SEGMENTS = (
    Segment("cell", 8, ALPHABET + "0"),
    Segment("", 1, literal="+"),
    Segment("refinement", 7, ALPHABET, least=0),
)


def of(latitude: float, longitude: float, length: int = 11) -> str:
    """Return the code of a place, of so many digits: 10 are a cell of 14 m, 11 one of 3 m.

    Raises
    ------
    InvalidData : no such length, or coordinates out of range.
    """
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise InvalidData(f"latitude and longitude in degrees are wanted, got {latitude}, {longitude}")
    if length not in (2, 4, 6, 8, *range(10, 16)):
        raise InvalidData(f"an Open Location Code has 2, 4, 6, 8 or 10 to 15 digits, not {length}")
    code: str = openlocationcode.encode(latitude, longitude, codeLength=length)
    return code


def rules(code: str) -> list[Problem]:
    """Return what is wrong with a code of right shape, as far as its cell and refinement go."""
    if _WHOLE.fullmatch(code):
        return []
    if code[0] not in ALPHABET[:9]:
        return [Problem("rule", 1, f"latitude digit {code[0]} lies beyond the pole; it is one of {ALPHABET[:9]}")]
    if code[1] not in ALPHABET[:18]:
        return [Problem("rule", 2, f"longitude digit {code[1]} lies beyond 180°; it is one of {ALPHABET[:18]}")]
    cell, _, refinement = code.partition("+")
    digits = cell.rstrip("0")
    if "0" in digits or len(digits) % 2:
        return [Problem("rule", digits.find("0") + 1 or len(digits) + 1, "zeros only fill up pairs at the end")]
    if digits != cell:
        return [Problem("rule", 10, "nothing may follow the + of a cell filled up with zeros")]
    return [Problem("rule", 10, f"one digit behind the + means nothing, it must be two or more: {refinement}")]


def parent_of(code: str) -> str | None:
    """Return the cell around a cell; None for one of 20 degrees."""
    if not code.endswith("+"):
        return code[:-1] if len(code) > 11 else code[:9]
    digits = code[:8].rstrip("0")
    return digits[:-2].ljust(8, "0") + "+" if len(digits) > 2 else None


SCHEME = CodeScheme(
    name="olc",
    title="Open Location Code",
    title_zh="开放位置代码（Plus Code）",
    source="Open Location Code specification; package openlocationcode",
    version="1.0",
    confidence="confirmed",
    issuer="the place itself: compute it with cim.codes.olc.of",
    layout=Layout(SEGMENTS),
    rules=rules,
    parent_of=parent_of,
    prefix_of=lambda code: code[:8].rstrip("0") if code.endswith("+") else code,
    examples_valid=(
        Valid("7PMM47H7+JMW"),
        Valid("849VQJH6+95J"),
        Valid("7PMM47H7+JM"),
        Valid("7pmm47h7+"),
        Valid("7PMM0000+"),
        Valid("7P000000+"),
    ),
    examples_invalid=(
        Invalid("849AQJH6+95J", "shape", 4),
        Invalid("849VQJH695J", "shape", 9),
        Invalid("47H7+JM", "shape", 5),
        Invalid("7PMM47H7+JMWJMWJM", "shape", 17),
        Invalid("FPMM47H7+JM", "rule", 1),
        Invalid("7WMM47H7+JM", "rule", 2),
        Invalid("7PMM47H7+J", "rule", 10),
        Invalid("7PMM4700+JM", "rule", 10),
        Invalid("7PM00000+", "rule", 4),
        Invalid("7P0047H7+", "rule", 3),
    ),
)
