"""Lay the footprint of a model on that of a building whose place is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import affine_transform

# Points along the outlines, that far apart (metres), at most so many.
_SPACING = 0.5
_MOST_POINTS = 400
_ROUNDS = 30
# Two ways of laying a footprint down whose overlaps differ by less are equally good.
_AS_GOOD = 0.02

Matrix = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a footprint lies on another: moved and turned, not scaled.

    Attributes
    ----------
    matrix : (a, b, d, e, xoff, yoff) as shapely takes it
    angle : by how much it was turned, radians anticlockwise
    overlap : intersection over union, 0 to 1
    residual : root mean square of the distance between both outlines, metres
    ambiguous : whether it fits as well when turned otherwise, as squares and rectangles do
    """

    matrix: Matrix
    angle: float
    overlap: float
    residual: float
    ambiguous: bool


def fit(footprint: shapely.MultiPolygon, target: shapely.MultiPolygon, angle: float) -> Fit:
    """Lay `footprint` on `target` (both in metres); of equally good ways the one turned nearest to `angle` is taken.

    The ways tried are those in which the smallest rectangles around both agree, and the angle given; each is improved
    by iterating closest points.

    Source
    ------
    Besl, McKay (1992), "A method for registration of 3-D shapes". https://doi.org/10.1109/34.121791
    """
    found = [_improved(footprint, target, start) for start in _starts(footprint, target, angle)]
    best = max(overlap for _, overlap in found)
    good = [(matrix, overlap) for matrix, overlap in found if overlap >= best - _AS_GOOD]
    matrix, overlap = min(good, key=lambda way: abs(_difference(_angle(way[0]), angle)))
    others = [m for m, _ in good if abs(_difference(_angle(m), _angle(matrix))) > math.radians(10)]
    laid = affine_transform(footprint, matrix)
    residual = math.hypot(_distance(laid, target), _distance(target, laid)) / math.sqrt(2)
    return Fit(matrix, _angle(matrix), overlap, residual, bool(others))


def from_points(model: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[Matrix, float]:
    """Return the motion that carries points of a model to points on a map best, and its residual.

    Parameters
    ----------
    model, target : float64 (n, 2), n at least 2, both in metres

    Returns
    -------
    ((a, b, d, e, xoff, yoff), root mean square of what remains in metres)

    Source
    ------
    Kabsch (1976), "A solution for the best rotation to relate two sets of vectors".
    https://doi.org/10.1107/S0567739476001873
    """
    middle, onto = model.mean(axis=0), target.mean(axis=0)
    here, there = model - middle, target - onto
    # In the plane the rotation follows from the sums of dot and cross products.
    turn = math.atan2(float((here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0]).sum()), float((here * there).sum()))
    matrix = _motion(turn, middle, onto)
    rest = there - here @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return matrix, float(np.sqrt((rest**2).sum(axis=1).mean()))


def _starts(footprint: shapely.MultiPolygon, target: shapely.MultiPolygon, angle: float) -> Iterator[float]:
    turned = _orientation(target) - _orientation(footprint)
    yield angle
    for quarter in range(4):
        yield turned + quarter * math.pi / 2


def _improved(footprint: shapely.MultiPolygon, target: shapely.MultiPolygon, start: float) -> tuple[Matrix, float]:
    matrix = _motion(start, _centre(footprint), _centre(target))
    points, outline = _along(footprint), shapely.boundary(target)
    for _ in range(_ROUNDS):
        moved = _apply(matrix, points)
        nearest = shapely.line_interpolate_point(outline, shapely.line_locate_point(outline, shapely.points(moved)))
        following, _ = from_points(points, shapely.get_coordinates(nearest))
        settled = np.allclose(following, matrix, rtol=0, atol=1e-6)
        matrix = following
        if settled:
            break
    laid = affine_transform(footprint, matrix)
    return matrix, float(laid.intersection(target).area / laid.union(target).area)


def _motion(turn: float, middle: NDArray[np.float64], onto: NDArray[np.float64]) -> Matrix:
    cos, sin = math.cos(turn), math.sin(turn)
    east = float(onto[0] - cos * middle[0] + sin * middle[1])
    north = float(onto[1] - sin * middle[0] - cos * middle[1])
    return cos, -sin, sin, cos, east, north


def _apply(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, d, e, east, north = matrix
    moved: NDArray[np.float64] = points @ np.array([[a, d], [b, e]]) + (east, north)
    return moved


def _angle(matrix: Matrix) -> float:
    return math.atan2(matrix[2], matrix[0])


def _difference(one: float, other: float) -> float:
    return math.remainder(one - other, math.tau)


def _orientation(shape: shapely.MultiPolygon) -> float:
    """Return the direction of the longest side of the smallest rectangle around a shape."""
    corners = shapely.get_coordinates(shapely.oriented_envelope(shape))
    sides = np.diff(corners, axis=0)
    if not len(sides):
        return 0.0
    x, y = sides[np.hypot(*sides.T).argmax()]
    return math.atan2(float(y), float(x))


def _centre(shape: shapely.MultiPolygon) -> NDArray[np.float64]:
    centre: NDArray[np.float64] = shapely.get_coordinates(shape.centroid)[0]
    return centre


def _along(shape: shapely.MultiPolygon) -> NDArray[np.float64]:
    outline = shapely.boundary(shape)
    count = int(min(max(outline.length / _SPACING, 8), _MOST_POINTS))
    return shapely.get_coordinates(
        shapely.line_interpolate_point(outline, np.linspace(0, outline.length, count, endpoint=False))
    )


def _distance(shape: shapely.MultiPolygon, other: shapely.MultiPolygon) -> float:
    away = shapely.distance(shapely.points(_along(shape)), shapely.boundary(other))
    return float(np.sqrt((away**2).mean()))
