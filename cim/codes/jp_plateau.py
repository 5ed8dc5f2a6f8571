"""Building identifier of Japan's 3D city models (PLATEAU): city, `bldg`, serial number.

The optional branchID and partID are attributes beside it. No check character. The serial number has at most 10 digits
here (design).
"""

from __future__ import annotations

from cim.codes._base import CodeScheme, Invalid, Layout, Segment, Valid, translated

KIND = "-bldg-"

SCHEME = CodeScheme(
    name="jp-plateau",
    title="PLATEAU building identifier",
    title_zh="日本PLATEAU建筑标识",
    source="Project PLATEAU, product specification of 3D city models",
    version="buildings",
    confidence="confirmed",
    issuer="the city that publishes the model",
    # Published in small letters: that is its one spelling.
    canonical=lambda text: translated(text).replace(KIND.upper(), KIND),
    layout=Layout((Segment("city", 5), Segment("", len(KIND), literal=KIND), Segment("serial", 10, least=1))),
    examples_valid=(Valid("23100-bldg-304585"), Valid("23100-BLDG-304585"), Valid("13101-bldg-2")),
    examples_invalid=(
        Invalid("2310-bldg-304585", "shape", 5),
        Invalid("23100-tran-304585", "shape", 7),
        Invalid("23100-bldg-", "shape", 12),
        Invalid("23100-bldg-30458a", "shape", 17),
    ),
)
