"""Division code of twelve digits: county, street or township, community or village.

Every reading needs a date, as with `cn-div6`. Places 7-9: 001-099 street, 100-199 town, 200-399
township, 400-599 enterprise unit. Places 10-12: 001-199 residents' committee, 200-399 villagers'
committee (likely). Codes beyond these ranges are in use and are never refused.
"""

from __future__ import annotations

from cim.codes._base import CodeScheme, Invalid, Layout, Valid
from cim.codes._divisions import LEVELS, TIERS, levels_of, parent_of, prefix_of, rules, suspects, warnings

SCHEME = CodeScheme(
    name="cn-div12",
    title="Division code to the community",
    title_zh="统计用区划代码（12位）",
    source="GB/T 2260 and the statistical division codes",
    version="layout only, without their tables",
    confidence="confirmed",
    issuer="the state",
    layout=Layout(TIERS, lengths=(12,)),
    levels=LEVELS,
    rules=rules,
    warnings=warnings,
    suspects=suspects,
    levels_of=levels_of,
    parent_of=parent_of,
    prefix_of=prefix_of,
    examples_valid=(
        Valid("320508019044", "community"),
        Valid("320508019000", "town"),
        Valid("320508000000", "county"),
        Valid("320500000000", "prefecture"),
        Valid("320000000000", "province"),
        Valid("220581102001", "community"),
        Valid("220581102200", "community"),
        Valid("441900103000", "town"),
        Valid("320508 019 044", "community"),
    ),
    examples_invalid=(
        Invalid("320508", "shape", 7),
        Invalid("3205080190440", "shape", 13),
        Invalid("32050801904X", "shape", 12),
        Invalid("000508019044", "rule", 1),
    ),
)
