"""What the scenarios that read buildings share: which buildings stand, and how far the unknown may reach."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from cim.scenarios._indicator import SQUARE_CENTIMETRES
from cim.scenarios._rules import Rule, RulePack
from cim.scenarios._state import State
from cim.scenarios._why import Opened, Sum, Term

Stock = Mapping[str, sa.Row[Any]]

# What buildings add up to: the column that knows it, the one that bounds it, its unit and titles, and whether it is
# counted where the point on surface lies rather than by share.
ADDITIVE: Mapping[str, tuple[str, str | None, str, str, str, bool]] = {
    "n": ("n", None, "{building}", "Buildings", "建筑数量", True),
    "footprint": ("footprint", "footprint_most", "m2", "Footprint", "占地面积", False),
    "gfa": ("gfa", "gfa_most", "m2", "Gross floor area above ground", "地上建筑面积", False),
    "dwellings": ("dwellings", "dwellings_most", "{dwelling}", "Dwellings", "住宅套数", True),
    "households": ("households", "households_most", "{household}", "Households", "户数", True),
}
MEMBERS = {
    "clip": "Σ over the buildings that meet the scope: value × area inside ÷ area",
    "point_on_surface": "Σ over the buildings whose point on surface lies in the scope",
    "intersects": "Σ over the buildings that meet the scope",
}
COUNTED = {
    "clip": MEMBERS["point_on_surface"],
    "point_on_surface": MEMBERS["point_on_surface"],
    "intersects": MEMBERS["intersects"],
}
BOUNDS = ("existing_building", "unknown_floor_area", "unknown_dwellings")


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


def read_stock(state: State, membership: str, *, leaves: bool = True) -> Stock:
    """Return the existing buildings of the scope by code, as `building_stock.sql` tells of them, in its order.

    Without `leaves` theirs are None: of a whole city they take as long to look up as all else.
    """
    branch = {} if state.made is None else state.made.branch
    if not branch or "parcel" in branch:
        return _read_stock(state, membership, None, leaves=leaves)
    # What a building is here hangs on itself and on parcels: through a proposal that leaves these alone, only what it
    # changes or adds is another.
    touched = sorted(branch.get("building", {}))
    others = _read_stock(state.through(None), membership, None, leaves=leaves)
    found = {code: row for code, row in others.items() if code not in branch.get("building", {})}
    found |= _read_stock(state, membership, touched, leaves=leaves) if touched else {}
    return {code: found[code] for code in sorted(found)}


def _read_stock(state: State, membership: str, codes: list[str] | None, *, leaves: bool) -> dict[str, sa.Row[Any]]:
    parameters = stock_parameters(state.pack) | people_parameters(state.pack)
    parameters |= {"membership": membership, "codes": codes, "leaves": leaves}
    return {row.code: row for row in state.rows("building_stock", **parameters)}


def floor_area(title: str, rows: Iterable[sa.Row[Any]]) -> Sum:
    """Return the floor area above ground of some buildings."""
    return Sum(
        title, "m2", tuple(Term("building", r.code, r.leaf, r.gfa, r.gfa_most, of="gross_floor_area") for r in rows)
    )


def households(title: str, rows: Iterable[sa.Row[Any]]) -> Sum:
    """Return the households of the buildings that count in the scope."""
    terms = (
        Term("building", r.code, r.leaf, r.households, r.households_most, of="households") for r in rows if r.counted
    )
    return Sum(title, "{household}", tuple(terms))


def dwellings(title: str, rows: Iterable[sa.Row[Any]]) -> Sum:
    """Return the dwellings of the buildings that count in the scope."""
    terms = (Term("building", r.code, r.leaf, r.dwellings, r.dwellings_most, of="dwellings") for r in rows if r.counted)
    return Sum(title, "{dwelling}", tuple(terms))


def amount(name: str, row: sa.Row[Any] | None) -> tuple[int | None, int]:
    """Return what a building contributes to an additive indicator, and how much that may be at most if unknown."""
    column, bound, _, _, _, counted = ADDITIVE[name]
    if row is None or (counted and not row.counted):
        return 0, 0
    if bound is None:
        return 1, 1
    return getattr(row, column), getattr(row, bound)


def summed(name: str, rows: Iterable[sa.Row[Any]]) -> Sum:
    """Return an additive indicator as the sum it is."""
    members = (row for row in rows if row.counted or not ADDITIVE[name][5])
    terms = (Term("building", row.code, row.leaf, *amount(name, row)) for row in members)
    return Sum(name, ADDITIVE[name][2], tuple(terms))


def formula(name: str, membership: str) -> str:
    """Return how an additive indicator is added up."""
    return (COUNTED if ADDITIVE[name][5] else MEMBERS)[membership]


def rules_of(pack: RulePack, *names: str) -> list[Rule]:
    """Return those of some rules that a pack has."""
    return [pack.rules[name] for name in names if name in pack.rules]


def basements(rows: Iterable[sa.Row[Any]]) -> Sum:
    """Return the floor area below ground of some buildings."""
    terms = (Term("building", r.code, r.leaf, r.gfa_below, r.gfa_below_most) for r in rows)
    return Sum("gross_floor_area_below", "m2", tuple(terms))


def opened_stock(at: str, pack: RulePack, membership: str, rows: Iterable[sa.Row[Any]]) -> Iterator[Opened]:
    """Yield the measures of an inventory opened into buildings, as they stand beneath a place."""
    members, rules = list(rows), rules_of(pack, *BOUNDS)
    names = {"gfa_above": "gfa"} | {name: name for name in ("n", "footprint", "dwellings", "households")}
    for shown_as, name in names.items():
        yield Opened(f"{at}/{shown_as}", formula(name, membership), rules, summed(name, members))
    yield Opened(f"{at}/gfa_below", MEMBERS[membership], rules, basements(members))
