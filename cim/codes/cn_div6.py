"""Division code of six digits: province, prefecture, county.

A code means what it meant on its day: the state has given codes of abolished counties to other ones
(419001 was Yima until 1989 and is Jiyuan since 1997), so every reading of a division code needs a date.
Statistical tables add development zones, so joining on it needs the table's version as well.
"""

from __future__ import annotations

from cim.codes._base import CodeScheme, Invalid, Layout, Valid
from cim.codes._divisions import LEVELS, TIERS, levels_of, parent_of, prefix_of, rules, suspects, warnings

SCHEME = CodeScheme(
    name="cn-div6",
    title="Division code to the county",
    title_zh="行政区划代码（6位）",
    source="GB/T 2260",
    version="GB/T 2260, without its tables",
    confidence="confirmed",
    issuer="the state",
    layout=Layout(TIERS[:3], lengths=(6,)),
    levels=LEVELS[:3],
    rules=rules,
    warnings=warnings,
    suspects=suspects,
    levels_of=levels_of,
    parent_of=parent_of,
    prefix_of=prefix_of,
    examples_valid=(
        Valid("320508", "county"),
        Valid("320500", "prefecture"),
        Valid("320000", "province"),
        Valid("419001", "county"),
        Valid("659001", "county"),
        Valid("441900", "prefecture"),
        Valid("442000", "prefecture"),
        Valid("620200", "prefecture"),
        Valid("460400", "prefecture"),
        Valid("110101", "county"),
    ),
    examples_invalid=(
        Invalid("32050", "shape", 6),
        Invalid("3205080", "shape", 7),
        Invalid("32O508", "shape", 3),
        Invalid("000000", "rule", 1),
    ),
)
