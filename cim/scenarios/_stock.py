"""What the scenarios that read buildings share: which buildings stand, and how far the unknown may reach."""

from __future__ import annotations

from typing import Any

from cim.scenarios._indicator import SQUARE_CENTIMETRES
from cim.scenarios._rules import RulePack


def stock_parameters(pack: RulePack) -> dict[str, Any]:
    """Return the query parameters that say which buildings stand and bound the areas nobody recorded."""
    existing = pack.limit("existing_building")
    unknown = pack.limit("unknown_floor_area")
    return {
        "existing": existing["status"],
        "missing_exists": existing["missing"],
        "storey_height_min": unknown["storey_height_min_mm"],
        "storeys_max": unknown["storeys_max"],
        "storeys_below_max": unknown["storeys_below_max"],
        "footprint_max": unknown["footprint_max_m2"] * SQUARE_CENTIMETRES,
        "floor_area_max": unknown["floor_area_max_m2"] * SQUARE_CENTIMETRES,
    }
