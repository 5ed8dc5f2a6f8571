"""Building code of JGJ/T 496-2022: reserved.

In force since 2022-07-01 instead of JGJ/T 246-2012 (confirmed). Its layout and check character are not known to us from
the print, so no value can be judged, and none is.
"""

from __future__ import annotations

from cim.codes._base import CodeScheme, Invalid, Layout

SCHEME = CodeScheme(
    name="cn-jgjt496",
    title="Building code of 2022",
    title_zh="房屋建筑统一编码（JGJ/T 496-2022）",
    source="JGJ/T 496-2022, which we have not read",
    version="2022, reserved",
    confidence="unsure",
    issuer="the housing authority",
    reserved="the layout of JGJ/T 496-2022 is not known to us, so no value can be judged",
    layout=Layout(()),
    examples_valid=(),
    examples_invalid=(Invalid("11010101020200009000003", "rule", None),),
)
