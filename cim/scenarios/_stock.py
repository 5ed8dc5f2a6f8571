"""What the scenarios that read buildings share: which buildings stand, and how far the unknown may reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from cim.scenarios._indicator import SQUARE_CENTIMETRES
from cim.scenarios._rules import RulePack
from cim.scenarios._state import State
from cim.scenarios._why import Sum, Term

Stock = Mapping[str, sa.Row[Any]]


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


def people_parameters(pack: RulePack) -> dict[str, Any]:
    """Return the query parameters that bound the dwellings and households nobody counted."""
    dwellings = pack.limit("unknown_dwellings")
    return {
        "dwelling_area_min": dwellings["dwelling_area_min_m2"] * SQUARE_CENTIMETRES,
        "households_per_dwelling": dwellings["households_per_dwelling"],
    }


def read_stock(state: State, membership: str) -> Stock:
    """Return the existing buildings of the scope by code, as `building_stock.sql` tells of them."""
    parameters = stock_parameters(state.pack) | people_parameters(state.pack)
    return {row.code: row for row in state.rows("building_stock", **parameters, membership=membership)}


def floor_area(title: str, rows: Iterable[sa.Row[Any]]) -> Sum:
    """Return the floor area above ground of some buildings."""
    return Sum(title, "m2", tuple(Term("building", r.code, r.leaf, r.gfa, r.gfa_most) for r in rows))


def households(title: str, rows: Iterable[sa.Row[Any]]) -> Sum:
    """Return the households of the buildings that count in the scope."""
    terms = (Term("building", r.code, r.leaf, r.households, r.households_most) for r in rows if r.counted)
    return Sum(title, "{household}", tuple(terms))


def dwellings(title: str, rows: Iterable[sa.Row[Any]]) -> Sum:
    """Return the dwellings of the buildings that count in the scope."""
    terms = (Term("building", r.code, r.leaf, r.dwellings, r.dwellings_most) for r in rows if r.counted)
    return Sum(title, "{dwelling}", tuple(terms))
