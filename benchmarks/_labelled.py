"""Deliveries whose truth is known, made from real footprints: what becomes of each is drawn from a seed.

An object of the city is delivered again unchanged, shifted, simplified, rotated, all of it at once, split, merged with
a neighbour, or not at all; a tenth of the footprints is held back and delivered as new, so new records have real
neighbours. Rebuilt is the hard case: the object is gone, and another building's outline stands where it stood.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely import affinity

Geometries = npt.NDArray[Any]

# Share of each fate. The rest is delivered as it was.
FATES = {
    "new": 0.10,
    "missing": 0.08,
    "rebuilt": 0.02,
    "shifted": 0.20,
    "simplified": 0.12,
    "rotated": 0.10,
    "changed": 0.12,
    "split": 0.08,
    "merged": 0.08,
}
# What is drawn evenly up to: metres, metres of simplification and of noise on corners, degrees, gap of a merger.
SHIFT, TOLERANCE, NOISE, ANGLE, GAP = 2.0, 1.0, 0.3, 15.0, 2.0
# Fragments of a split are at least this share of it.
SMALLEST_PART = 0.15


@dataclass(frozen=True)
class Delivery:
    """Objects the city has, records that come, what happened to each record, and which object each record is."""

    objects: Geometries
    records: Geometries
    fate: npt.NDArray[np.str_]
    links: frozenset[tuple[int, int]]


def deliver(footprints: Geometries, seed: int) -> Delivery:
    """Draw a delivery from valid polygons in a metric system."""
    random = np.random.default_rng(seed)
    names = [*FATES, "unchanged"]
    shares = [*FATES.values(), 1 - sum(FATES.values())]
    fates = random.choice(names, size=len(footprints), p=shares)
    city = np.flatnonzero(fates != "new")
    number = {int(place): position for position, place in enumerate(city)}
    records: list[shapely.Geometry] = []
    told: list[str] = []
    links: set[tuple[int, int]] = set()

    def add(shape: shapely.Geometry, fate: str, *places: int) -> None:
        links.update((len(records), number[place]) for place in places)
        records.append(shape)
        told.append(fate)

    partners = _partners(footprints, fates)
    for place, (shape, fate) in enumerate(zip(footprints, fates, strict=True)):
        if fate == "missing" or place in partners.values():
            continue
        if fate == "new":
            add(shape, fate)
        elif fate == "rebuilt":
            add(_another(shape, footprints, random), fate)
        elif fate == "split":
            pieces = _cut(shape, random)
            for piece in pieces:
                add(piece, "split" if len(pieces) > 1 else "unchanged", place)
        elif fate == "merged" and place in partners:
            other = partners[place]
            add(_join(shape, footprints[other]), fate, place, other)
        else:
            add(_change(shape, fate, random), "unchanged" if fate == "merged" else fate, place)
    return Delivery(footprints[city], np.array(records, dtype=object), np.array(told), frozenset(links))


def _change(shape: shapely.Geometry, fate: str, random: np.random.Generator) -> shapely.Geometry:
    if fate in ("rotated", "changed"):
        angle = random.uniform(-ANGLE, ANGLE) * (0.5 if fate == "changed" else 1.0)
        shape = affinity.rotate(shape, angle, origin="centroid")
    if fate in ("simplified", "changed"):
        simple = shapely.simplify(shape, random.uniform(0.2, TOLERANCE))
        shape = shapely.make_valid(_tremble(simple, random), method="structure", keep_collapsed=False)
    if fate in ("shifted", "changed"):
        way, far = random.uniform(0, 2 * np.pi), random.uniform(0, SHIFT)
        shape = affinity.translate(shape, far * np.cos(way), far * np.sin(way))
    return shape


def _another(shape: shapely.Geometry, footprints: Geometries, random: np.random.Generator) -> shapely.Geometry:
    """Return the outline of some other building, turned at random, within a few metres of the middle of this one."""
    other = footprints[random.integers(len(footprints))]
    turned = affinity.rotate(other, random.uniform(0, 360), origin="centroid")
    there, here = other.centroid, shape.centroid
    off = random.uniform(-SHIFT, SHIFT, 2)
    return affinity.translate(turned, here.x - there.x + off[0], here.y - there.y + off[1])


def _tremble(shape: shapely.Geometry, random: np.random.Generator) -> shapely.Geometry:
    """Move every corner a little."""

    def move(ring: shapely.LinearRing) -> npt.NDArray[np.float64]:
        corners = shapely.get_coordinates(ring)[:-1]
        moved: npt.NDArray[np.float64] = corners + random.uniform(-NOISE, NOISE, corners.shape)
        return moved

    return shapely.Polygon(move(shape.exterior), [move(ring) for ring in shape.interiors])


def _cut(shape: shapely.Geometry, random: np.random.Generator) -> list[shapely.Geometry]:
    """Cut by a line across, near the middle; by a second one half the time. What leaves slivers stays whole."""
    pieces = [shape]
    for _ in range(1 + int(random.random() < 0.5)):
        largest = max(pieces, key=lambda piece: piece.area)
        x, y = largest.centroid.coords[0]
        box = largest.minimum_rotated_rectangle.exterior.coords
        long = max(pairwise(box), key=lambda side: np.hypot(*np.subtract(*side)))
        along = np.subtract(long[1], long[0])
        across = np.array([-along[1], along[0]]) / np.hypot(*along) * 1e4
        middle = np.array([x, y]) + along * random.uniform(-0.15, 0.15)
        blade = shapely.LineString([middle - across, middle + across]).buffer(0.05, cap_style="flat")
        halves = shapely.get_parts(shapely.difference(largest, blade)).tolist()
        if len(halves) > 3 or min(half.area for half in halves) < SMALLEST_PART * shape.area:
            break
        pieces = [piece for piece in pieces if piece is not largest] + halves
    return pieces


def _partners(footprints: Geometries, fates: npt.NDArray[np.str_]) -> dict[int, int]:
    """Pair each footprint to be merged with its nearest neighbour within the gap, none used twice."""
    tree = shapely.STRtree(footprints)
    pairs = tree.query_nearest(footprints, max_distance=GAP, exclusive=True, all_matches=False)
    partners: dict[int, int] = {}
    used: set[int] = set()
    for place, other in pairs.T.tolist():
        free = fates[place] == "merged" and fates[other] != "new" and not {place, other} & used
        if free and shapely.intersection(footprints[place], footprints[other]).area == 0:
            partners[place] = other
            used |= {place, other}
    return partners


def _join(one: shapely.Geometry, other: shapely.Geometry) -> shapely.Geometry:
    """Return the union with the gap between closed."""
    reach = GAP / 2 + 0.01
    return shapely.union(one, other).buffer(reach, join_style="mitre").buffer(-reach, join_style="mitre")
