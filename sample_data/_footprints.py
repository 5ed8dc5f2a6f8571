"""Outlines of buildings, with their lower left corner at (0, 0), in metres."""

from __future__ import annotations

import math
from collections.abc import Iterable

import shapely
from shapely import Point, Polygon, affinity

Box = tuple[float, float, float, float]


def boxes(*parts: Box) -> Polygon:
    """Return the union of boxes (x0, y0, x1, y1), which must touch each other."""
    union = shapely.union_all([shapely.box(*part) for part in parts])
    assert isinstance(union, Polygon)
    return shapely.simplify(union, 0.0)


def rectangle(width: float, depth: float) -> Polygon:
    """Return a plain box."""
    return boxes((0, 0, width, depth))


def slab(width: float, depth: float, stairs: int, *, balconies: bool = True) -> Polygon:
    """Return a slab of flats: stair towers stand out to the north, two balconies a stair to the south."""
    parts: list[Box] = [(0, 0, width, depth)]
    step = width / stairs
    for n in range(stairs):
        middle = step * (n + 0.5)
        parts.append((middle - 1.4, depth - 0.5, middle + 1.4, depth + 1.2))
        if balconies:
            for side in (-1, 1):
                at = middle + side * step / 4
                parts.append((at - 1.7, -1.3, at + 1.7, 0.5))
    return boxes(*parts)


def stepped(width: float, depth: float, parts: int, offset: float) -> Polygon:
    """Return a slab whose stair sections stand each `offset` behind the last."""
    step = width / parts
    return boxes(*((n * step, n * offset, (n + 1) * step, n * offset + depth) for n in range(parts)))


def ell(width: float, depth: float, arm: float, *, east: bool = False) -> Polygon:
    """Return an L: a northern wing over the whole width and one arm to the south."""
    side = (width - arm, 0.0, width, depth) if east else (0.0, 0.0, arm, depth)
    return boxes((0, depth - arm, width, depth), side)


def court(width: float, depth: float, north: float, wing: float, south: float) -> Polygon:
    """Return a house around a yard: O, or U open to the south when `south` is 0."""
    parts: list[Box] = [
        (0, depth - north, width, depth),
        (0, 0, wing, depth),
        (width - wing, 0, width, depth),
    ]
    if south:
        parts.append((0, 0, width, south))
    return boxes(*parts)


def butterfly(size: float) -> Polygon:
    """Return a point tower: core, four flats at the corners, a stair to the north and bays to the south."""
    a, b, c = 0.36 * size, 0.64 * size, size
    return boxes(
        (0.08 * c, 0.25 * c, 0.92 * c, 0.72 * c),
        (0, 0.1 * c, a, 0.6 * c),
        (b, 0.1 * c, c, 0.6 * c),
        (0.14 * c, 0.45 * c, a, 0.92 * c),
        (b, 0.45 * c, 0.86 * c, 0.92 * c),
        (0.43 * c, 0.6 * c, 0.57 * c, 0.84 * c),
        (0.06 * c, 0.04 * c, 0.24 * c, 0.3 * c),
        (0.76 * c, 0.04 * c, 0.94 * c, 0.3 * c),
    )


def plank(width: float, depth: float) -> Polygon:
    """Return a slab tower: two staggered halves with a core between."""
    half = width / 2
    return boxes(
        (0, 0, half, depth),
        (half, 2.4, width, depth + 2.4),
        (half - 3.5, depth - 1, half + 3.5, depth + 4.2),
        (half / 2 - 2, -1.5, half / 2 + 2, 1),
        (1.5 * half - 2, 0.9, 1.5 * half + 2, 3.4),
    )


def comb(width: float, depth: float, spine: float, teeth: int, tooth: float) -> Polygon:
    """Return a comb: a spine along the west with wings to the east, as schools of the 1990s and 2000s."""
    step = (depth - tooth) / (teeth - 1)
    parts: list[Box] = [(0, 0, spine, depth)]
    parts += [(0, n * step, width, n * step + tooth) for n in range(teeth)]
    return boxes(*parts)


def aitch(width: float, depth: float, bar: float) -> Polygon:
    """Return an H: two parallel wings and a link, as wards of a hospital."""
    return boxes(
        (0, 0, width, bar),
        (0.08 * width, depth - bar, 0.92 * width, depth),
        (0.42 * width, 0, 0.58 * width, depth),
        (0.3 * width, -3, 0.36 * width, 1),
        (0.64 * width, -3, 0.7 * width, 1),
    )


def sawtooth(width: float, depth: float, teeth: int) -> Polygon:
    """Return a hall with loading bays along its south side."""
    step = width / teeth
    parts: list[Box] = [(0, 0, width, depth)]
    parts += [(n * step + 0.3 * step, -2.5, n * step + 0.7 * step, 1) for n in range(teeth)]
    return boxes(*parts)


def drum(radius: float, corners: int = 24) -> Polygon:
    """Return a round tank or chimney as a regular polygon."""
    return Polygon(_arc(radius, radius, radius, radius, corners))


def arena(width: float, depth: float, corners: int = 44) -> Polygon:
    """Return an oval hall."""
    return Polygon(_arc(width / 2, depth / 2, width / 2, depth / 2, corners))


def _arc(cx: float, cy: float, a: float, b: float, corners: int) -> Iterable[tuple[float, float]]:
    angles = (2 * math.pi * n / corners for n in range(corners))
    return [(cx + a * math.cos(angle), cy + b * math.sin(angle)) for angle in angles]


def place(shape: Polygon, x: float, y: float) -> Polygon:
    """Return the shape moved so that the corner of its bounding box is at (x, y)."""
    west, south, *_ = shape.bounds
    return affinity.translate(shape, x - west, y - south)


def turn(shape: Polygon, angle: float, about: Point) -> Polygon:
    """Return the shape turned counter-clockwise by `angle` degrees about a point."""
    return affinity.rotate(shape, angle, origin=about)
