from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from shapely.affinity import rotate, translate

from ingest.fit import fit, from_points

ANGLE = shapely.MultiPolygon([shapely.Polygon([(0, 0), (20, 0), (20, 8), (8, 8), (8, 15), (0, 15)])])
SQUARE = shapely.MultiPolygon([shapely.box(0, 0, 10, 10)])
COURT = shapely.MultiPolygon([shapely.box(0, 0, 30, 20) - shapely.box(5, 4, 15, 16)])


def moved(shape: shapely.MultiPolygon, degrees: float) -> shapely.MultiPolygon:
    return translate(rotate(shape, degrees, origin=(0, 0)), 500_000, 4_320_000)


@pytest.mark.parametrize("shape", [ANGLE, COURT])
@pytest.mark.parametrize("degrees", [0.0, 37.0, 90.0, 200.0])
def test_a_shape_without_symmetry_is_found_from_any_side(shape: shapely.MultiPolygon, degrees: float) -> None:
    found = fit(shape, moved(shape, degrees), 0.0)
    assert math.remainder(math.degrees(found.angle) - degrees, 360) == pytest.approx(0, abs=0.05)
    assert found.overlap > 0.998
    assert found.residual < 0.02
    assert not found.ambiguous


@pytest.mark.parametrize(("hint", "degrees"), [(0, 20), (90, 110), (-160, -160)])
def test_north_decides_how_a_square_is_turned(hint: float, degrees: float) -> None:
    found = fit(SQUARE, moved(SQUARE, 20), math.radians(hint))
    assert math.degrees(found.angle) == pytest.approx(degrees, abs=0.05)
    assert found.ambiguous


def test_a_wider_building_leaves_a_residual() -> None:
    # Half a metre wider all round: the outlines are half a metre apart, a little more at the corners.
    found = fit(SQUARE, moved(shapely.MultiPolygon([shapely.box(-0.5, -0.5, 10.5, 10.5)]), 0), 0.0)
    assert found.overlap == pytest.approx(100 / 121, abs=0.001)
    assert found.residual == pytest.approx(0.5, abs=0.02)


def test_points_on_a_line_turn_and_move() -> None:
    matrix, residual = from_points(np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([[5.0, 5.0], [5.0, 8.0]]))
    assert matrix == pytest.approx((0, -1, 1, 0, 5, 5))
    assert residual == pytest.approx(0, abs=1e-12)
