"""Which of a model's storeys are floors one can stand on, at what height, and what they enclose.

Models list levels, not floors: foundations, the top of the roof, parapets. Counting those is the usual way to
get the number of storeys wrong, so a level counts only with head room above it and something in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely

from ingest.footprint import Fabric
from ingest.ifc.structure import StoreyNode

# Levels so near to each other are one, metres.
_SAME = 0.01
# Least height of a floor, metres.
HEAD_ROOM = 1.8
# How far below the ground level a storey may lie and still be above ground, metres.
GROUND_TOLERANCE = 0.5
# Least area that a floor without rooms, doors, windows or stairs must enclose, m².
LEAST_AREA = 4.0
# What of the level above still counts as the storey's: its slab, metres.
_SLAB = 0.3
_SIGNS_OF_USE = ("IfcDoor", "IfcWindow", "IfcStair", "IfcStairFlight")


@dataclass(frozen=True, slots=True)
class Level:
    """A storey as a model lists it: its elevation and that of the level above, metres; whether it is seen in use."""

    elevation: float
    following: float | None
    used: bool


@dataclass(frozen=True, slots=True)
class Floor:
    """A storey: elevation of its level and height up to the next (metres); `number` None if it is no floor.

    The ground floor is 1, the floors above 2, 3, …, the first basement -1. Storeys at one height are one floor: they
    have its number, and one of them its outline.
    """

    elevation: float
    height: float | None
    number: int | None
    outline: shapely.MultiPolygon | None


def levels(nodes: list[StoreyNode], length_unit: float) -> list[tuple[StoreyNode, Level]]:
    """Return the storeys of a building with their levels, from the lowest to the highest.

    Parameters
    ----------
    nodes : its storeys
    length_unit : metres per length unit of the project
    """
    heights = sorted((elevation_of(node.entity, length_unit), i) for i, node in enumerate(nodes))
    found = []
    for position, (elevation, index) in enumerate(heights):
        node = nodes[index]
        following = next((e for e, _ in heights[position + 1 :] if e > elevation + _SAME), None)
        used = bool(node.spaces) or any(p.is_a(sign) for p in node.products for sign in _SIGNS_OF_USE)
        found.append((node, Level(elevation, following, used)))
    return found


def floors(listed: Sequence[Level], fabric: Fabric | None) -> list[Floor]:
    """Return what the levels of a building are, in their order.

    Parameters
    ----------
    listed : from the lowest to the highest
    fabric : triangles of the building, metres in model coordinates; None without geometry
    """
    top = float(fabric.high.max()) if fabric is not None else None
    made: dict[int, tuple[Floor, bool]] = {}
    drafts = []
    for level in listed:
        drawn = _drawn(level, listed)
        if id(drawn) not in made:
            made[id(drawn)] = _draft(drawn, top, fabric)
        floor, is_floor = made[id(drawn)]
        own = floor if level is drawn else replace(floor, elevation=level.elevation, outline=None)
        drafts.append((own, is_floor))
    return _numbered(drafts)


def elevation_of(entity: Any, length_unit: float) -> float:
    """Return the height of a storey in the model, metres: of its placement, else as stated, else 0."""
    import ifcopenshell.util.placement

    if entity.ObjectPlacement is not None and entity.ObjectPlacement.is_a("IfcLocalPlacement"):
        return float(ifcopenshell.util.placement.get_local_placement(entity.ObjectPlacement)[2, 3]) * length_unit
    return float(entity.Elevation or 0.0) * length_unit


def _drawn(level: Level, listed: Sequence[Level]) -> Level:
    """Return which of the levels at the height of one is drawn: the first that is in use, else the first."""
    same = [other for other in listed if abs(other.elevation - level.elevation) <= _SAME]
    return next((other for other in same if other.used), same[0])


def _draft(level: Level, top: float | None, fabric: Fabric | None) -> tuple[Floor, bool]:
    ends = [end for end in (level.following, top) if end is not None]
    height = min(ends) - level.elevation if ends else None
    outline = None
    if height is not None and height >= HEAD_ROOM and fabric is not None:
        below = np.inf if level.following is None else level.following + _SLAB
        found = fabric.storey(level.elevation, below)
        outline = None if found.is_empty else found
    enclosing = outline is not None and outline.area >= LEAST_AREA
    is_floor = (level.used or enclosing) and (height is None or height >= HEAD_ROOM)
    spacing = None if level.following is None else round(level.following - level.elevation, 3)
    return Floor(level.elevation, spacing, None, outline), is_floor


def _numbered(drafts: list[tuple[Floor, bool]]) -> list[Floor]:
    real = [floor for floor, is_floor in drafts if is_floor]
    if not real:
        return [floor for floor, _ in drafts]
    # The ground floor is the one nearest to the building's zero, the lower one of two as near.
    ground = min(real, key=lambda floor: (abs(floor.elevation) > GROUND_TOLERANCE, abs(floor.elevation)))
    rises = sorted(floor.elevation for floor in real)
    different = [rise for rise, before in zip(rises, [-np.inf, *rises], strict=False) if rise > before + _SAME]
    lowest = sum(rise < ground.elevation - _SAME for rise in different)
    found = []
    for floor, is_floor in drafts:
        place = sum(rise < floor.elevation - _SAME for rise in different) - lowest
        found.append(replace(floor, number=place + 1 if place >= 0 else place) if is_floor else floor)
    return found
