"""Real-estate number of Japan (不動産ID): the 13 digits of the registry, and four characters for a part.

`0000` is the whole, or a strata unit by its own number; `000B` a whole strata building; four digits a room; `G0`, `GM`,
`B0` or `BM` and two digits a floor. No check character.
"""

from __future__ import annotations

import re

from cim.codes._base import DIGITS, CodeScheme, Invalid, Layout, Problem, Segment, Valid

_PART = re.compile("[0-9]{4}|000B|(?:G0|GM|B0|BM)[0-9]{2}")


def _rules(code: str) -> list[Problem]:
    part = code[14:]
    if _PART.fullmatch(part):
        return []
    return [Problem("rule", 15, f"{part} is neither four digits, 000B, nor a floor: G0, GM, B0 or BM and two digits")]


def _levels_of(code: str) -> tuple[str, ...]:
    part = code[14:]
    if part in ("0000", "000B"):
        return ("property",) if part == "0000" else ("building",)
    return ("room",) if part.isdecimal() else ("floor",)


SCHEME = CodeScheme(
    name="jp-fudosan",
    title="Real-estate ID of Japan",
    title_zh="日本不动产ID",
    source="不動産IDルールガイドライン, Ministry of Land, Infrastructure, Transport and Tourism",
    version="13 digits and 4 characters",
    confidence="confirmed",
    issuer="the registry",
    layout=Layout((Segment("number", 13), Segment("", 1, literal="-"), Segment("part", 4, DIGITS + "BGM", least=4))),
    levels=("property", "building", "room", "floor"),
    rules=_rules,
    levels_of=_levels_of,
    examples_valid=(
        Valid("1234567890123-0000", "property"),
        Valid("1234567890123-000B", "building"),
        Valid("1234567890123-0204", "room"),
        Valid("1234567890123-G018", "floor"),
        Valid("1234567890123-bm02", "floor"),
    ),
    examples_invalid=(
        Invalid("123456789012-0000", "shape", 13),
        Invalid("12345678901230000", "shape", 14),
        Invalid("1234567890123-00", "shape", 17),
        Invalid("1234567890123-00000", "shape", 19),
        Invalid("1234567890123-0A04", "shape", 16),
        Invalid("1234567890123-G118", "rule", 15),
        Invalid("1234567890123-001B", "rule", 15),
    ),
)
