"""Federal building identifier of Switzerland (EGID): a whole number, permanent.

At most 9 digits (likely). An entrance is named by EGID and EDID together (confirmed). No check character.
"""

from __future__ import annotations

from cim.codes._base import CodeScheme, Invalid, Layout, Problem, Segment, Valid, whole_number


def _rules(code: str) -> list[Problem]:
    return [Problem("rule", 1, "numbers run from 1, without leading zeros")] if code.startswith("0") else []


SCHEME = CodeScheme(
    name="ch-egid",
    title="Federal building identifier",
    title_zh="瑞士联邦建筑标识（EGID）",
    source="Swiss federal register of buildings and dwellings",
    version="at most 9 digits, likely",
    confidence="likely",
    issuer="the federal register of buildings and dwellings",
    canonical=whole_number,
    layout=Layout((Segment("number", 9, least=1),)),
    rules=_rules,
    examples_valid=(Valid("1231641"), Valid("190170000"), Valid("001231641")),
    examples_invalid=(
        Invalid("1234567890", "shape", 10),
        Invalid("12316A1", "shape", 6),
        Invalid("0", "rule", 1),
    ),
)
