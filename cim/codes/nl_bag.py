"""Identification in the Dutch register of addresses and buildings (BAG): municipality, type, sequence; 16 digits.

Types 01 unit, 02 berth and 03 pitch are confirmed; 10 building, 20 address and 30 street are likely, so a type beyond
these is not refused, only warned of. The municipality is that of the day of issue: an identification survives mergers.
No check character.
"""

from __future__ import annotations

from cim.codes._base import CodeScheme, Invalid, Layout, Mask, Places, Problem, Segment, Valid, number_at

TYPES = {"01": "unit", "02": "berth", "03": "pitch", "10": "building", "20": "address", "30": "street"}


def _warnings(code: str) -> list[Problem]:
    if code[4:6] in TYPES:
        return []
    return [Problem("warning", 5, f"type {code[4:6]} is none of {', '.join(f'{k} {v}' for k, v in TYPES.items())}")]


def _levels_of(code: str) -> tuple[str, ...]:
    return (TYPES[code[4:6]],) if code[4:6] in TYPES else ()


def _suspects(places: Places, level: str | None) -> Mask:
    wanted = next((int(code) for code, name in TYPES.items() if name == level), None)
    found: Mask = number_at(places, 5, 6) != (number_at(places, 5, 6) if wanted is None else wanted)
    return found


SCHEME = CodeScheme(
    name="nl-bag",
    title="Dutch register of addresses and buildings",
    title_zh="荷兰地址与建筑物登记标识（BAG）",
    source="Basisregistratie Adressen en Gebouwen, structure of identifications",
    version="layout; types 10, 20, 30 are likely",
    confidence="confirmed",
    issuer="the municipality",
    layout=Layout((Segment("municipality", 4), Segment("type", 2), Segment("sequence", 10)), lengths=(16,)),
    levels=tuple(TYPES.values()),
    warnings=_warnings,
    suspects=_suspects,
    levels_of=_levels_of,
    examples_valid=(
        Valid("0363100012061671", "building"),
        Valid("0363010000000001", "unit"),
        Valid("0363020000000001", "berth"),
        Valid("0363030000000001", "pitch"),
        Valid("0363200000000001", "address"),
        Valid("0363300000000001", "street"),
    ),
    examples_invalid=(
        Invalid("363100012061671", "shape", 16),
        Invalid("03631000120616710", "shape", 17),
        Invalid("036310001206167X", "shape", 16),
    ),
)
