"""Unique Property Reference Number of Great Britain: a whole number of at most 12 digits, without inner meaning.

Kept as text without leading zeros (likely). No check character.
"""

from __future__ import annotations

from cim.codes._base import CodeScheme, Invalid, Layout, Problem, Segment, Valid, whole_number


def _rules(code: str) -> list[Problem]:
    return [Problem("rule", 1, "numbers run from 1, without leading zeros")] if code.startswith("0") else []


SCHEME = CodeScheme(
    name="gb-uprn",
    title="Unique Property Reference Number",
    title_zh="英国唯一不动产参考号（UPRN）",
    source="Ordnance Survey and GeoPlace, UPRN",
    version="at most 12 digits",
    confidence="confirmed",
    issuer="the local authority, GeoPlace or Ordnance Survey",
    canonical=whole_number,
    layout=Layout((Segment("number", 12, least=1),)),
    rules=_rules,
    examples_valid=(Valid("100023336956"), Valid("1"), Valid("000100023336956")),
    examples_invalid=(
        Invalid("1000233369560", "shape", 13),
        Invalid("10002333695X", "shape", 12),
        Invalid("osgb1000023336956", "shape", 1),
        Invalid("000", "rule", 1),
    ),
)
