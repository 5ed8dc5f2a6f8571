"""The plan of the district: streets, blocks, and how blocks are cut into plots.

All geometry here is in metres of a local frame along the street grid; `world` turns it into EPSG:4548.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, MultiLineString, Point, Polygon
from shapely.geometry.base import BaseGeometry

# South-west corner of the district in EPSG:4548 (116.10 E, 38.99 N), and the turn of its grid from north.
ORIGIN = (422460.0, 4317590.0)
TURN = math.radians(6.3)

# Streets as drawn: position at their two ends, width between building plots, name.
NORTH_SOUTH = (
    (0.0, 8.0, 24.0, "西环路"),
    (196.0, 188.0, 18.0, "学府街"),
    (360.0, 357.0, 22.0, "人民路"),
    (575.0, 581.0, 36.0, "解放大街"),
    (752.0, 747.0, 18.0, "向阳街"),
    (950.0, 962.0, 24.0, "东兴路"),
)
EAST_WEST = (
    (0.0, 14.0, 22.0, "河滨路"),
    (158.0, 163.0, 18.0, "建设路"),
    (340.0, 334.0, 20.0, "红旗路"),
    (505.0, 512.0, 32.0, "光明大道"),
    (700.0, 694.0, 18.0, "文化路"),
    (872.0, 880.0, 24.0, "北环路"),
)
SOUTH, NORTH, WEST, EAST = 0.0, 876.0, 0.0, 956.0
COLUMNS, ROWS = len(NORTH_SOUTH) - 1, len(EAST_WEST) - 1
# The factory lies across this street: the stretch between two corners does not exist.
MISSING = frozenset({((1, 2), (1, 3))})
FACTORY = frozenset({(0, 2), (1, 2)})


@dataclass(frozen=True)
class Street:
    """A centre line with the width between the plots on its two sides, in metres."""

    line: LineString
    width: float
    name: str
    lane: bool = False


@dataclass(frozen=True)
class Block:
    """A piece of town: `plot` is what can be built on, `cell` reaches to the centre lines around it."""

    plot: Polygon
    cell: Polygon


@dataclass
class Plan:
    """The streets, and the street blocks by (column, row) counted from the south-west."""

    streets: list[Street]
    blocks: dict[tuple[int, int], Block]
    lanes: list[Street] = field(default_factory=list)


def world(geometry: BaseGeometry) -> BaseGeometry:
    """Return local geometry in EPSG:4548, coordinates on the millimetre."""
    cos, sin = math.cos(TURN), math.sin(TURN)

    def turn(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy[:, 0], xy[:, 1]
        turned = np.column_stack((ORIGIN[0] + cos * x - sin * y, ORIGIN[1] + sin * x + cos * y))
        return np.asarray(turned, dtype=np.float64).round(3)

    return shapely.transform(geometry, turn)


def corner(i: int, j: int) -> Point:
    """Return the crossing of the i-th north-south and the j-th east-west street."""
    south, north, *_ = NORTH_SOUTH[i]
    west, east, *_ = EAST_WEST[j]
    down = LineString([(south, SOUTH - 200), (north, NORTH + 200)])
    across = LineString([(WEST - 200, west), (EAST + 200, east)])
    met = down.intersection(across)
    assert isinstance(met, Point)
    return met


def plan() -> Plan:
    """Lay out streets and blocks."""
    streets = list(_streets())
    taken = shapely.union_all([s.line.buffer(s.width / 2, cap_style="square") for s in streets])
    blocks = {}
    for i in range(COLUMNS):
        for j in range(ROWS):
            cell = Polygon([corner(i, j), corner(i + 1, j), corner(i + 1, j + 1), corner(i, j + 1)])
            if (i, j) in FACTORY:
                cell = Polygon([corner(0, 2), corner(1, 2), corner(2, 2), corner(2, 3), corner(1, 3), corner(0, 3)])
            plot = largest(cell.difference(taken))
            # Corners of blocks are cut off so that drivers see around them.
            plot = plot.buffer(-4, join_style="mitre").buffer(4, join_style="bevel")
            blocks[i, j] = Block(largest(plot), cell)
    blocks.pop((1, 2))
    return Plan(streets, blocks)


def _streets() -> list[Street]:
    found = []
    for i, (_, _, width, name) in enumerate(NORTH_SOUTH):
        found += [
            Street(LineString([corner(i, j), corner(i, j + 1)]), width, name)
            for j in range(ROWS)
            if ((i, j), (i, j + 1)) not in MISSING
        ]
    for j, (_, _, width, name) in enumerate(EAST_WEST):
        found += [Street(LineString([corner(i, j), corner(i + 1, j)]), width, name) for i in range(COLUMNS)]
    # The main streets leave the district; their ends are the dead ends of the road graph.
    for (i, j), (dx, dy) in (((3, 0), (-4, -95)), ((3, 5), (3, 90)), ((0, 3), (-90, 4)), ((5, 3), (95, 2))):
        at = corner(i, j)
        name, width = (
            (NORTH_SOUTH[i][3], NORTH_SOUTH[i][2]) if dx * dx < dy * dy else (EAST_WEST[j][3], EAST_WEST[j][2])
        )
        found.append(Street(LineString([(at.x, at.y), (at.x + dx, at.y + dy)]), width, name))
    return found


def largest(geometry: BaseGeometry) -> Polygon:
    """Return the largest polygon of a geometry."""
    parts = [part for part in shapely.get_parts(geometry) if isinstance(part, Polygon)]
    return max(parts, key=lambda part: part.area)


def split(block: Block, axis: str, share: float, lane: float = 0.0) -> tuple[Block, Block, LineString]:
    """Cut a block in two at `share` of its extent along `axis`, with a lane of that width (m); 0: a wall.

    Returns the southern or western half, the other half, and the centre line of the cut.
    """
    west, south, east, north = block.plot.bounds
    far = 1000.0
    if axis == "x":
        at = west + share * (east - west)
        knife = LineString([(at, south - far), (at, north + far)])
        side = shapely.box(west - far, south - far, at, north + far)
    else:
        at = south + share * (north - south)
        knife = LineString([(west - far, at), (east + far, at)])
        side = shapely.box(west - far, south - far, east + far, at)
    plot = block.plot.difference(knife.buffer(lane / 2)) if lane else block.plot
    first = Block(largest(plot.intersection(side)), largest(block.cell.intersection(side)))
    second = Block(largest(plot.difference(side)), largest(block.cell.difference(side)))
    cut = knife.intersection(block.cell)
    if isinstance(cut, MultiLineString):
        cut = max(cut.geoms, key=lambda line: line.length)
    assert isinstance(cut, LineString)
    return first, second, cut


def slices(block: Block, axis: str, shares: list[float], lane: float = 0.0) -> tuple[list[Block], list[LineString]]:
    """Cut a block into len(shares) pieces of those relative extents, in order."""
    pieces, cuts, rest = [], [], block
    for n in range(len(shares) - 1):
        piece, rest, cut = split(rest, axis, shares[n] / sum(shares[n:]), lane)
        pieces.append(piece)
        cuts.append(cut)
    return [*pieces, rest], cuts
