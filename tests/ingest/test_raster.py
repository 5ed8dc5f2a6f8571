"""Cells and areas against what GEOS says of the same shapes."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from ingest import linework
from ingest.raster import Grid, over

GRID = Grid(west=-3.0, south=7.0, step=0.25, rows=40, columns=60)


def random_triangles(count: int, seed: int = 7) -> NDArray[np.float64]:
    """Triangles of all sizes, slivers and level edges among them, some over the edge of the grid."""
    random = np.random.default_rng(seed)
    corners = random.uniform((-4, 6), (13, 18), (count, 1, 2)) + random.normal(0, 1, (count, 3, 2)) * random.choice(
        (0.05, 0.4, 3.0), (count, 1, 1)
    )
    corners[::7, 1, 1] = corners[::7, 0, 1]
    return corners.round(3)


def test_cells_of_triangles_are_those_whose_middle_lies_in_them() -> None:
    triangles = random_triangles(300)
    at, which = GRID.cells(GRID.triangles(triangles))
    points = shapely.points(GRID.points)
    expected = {
        (int(i), number)
        for number, triangle in enumerate(shapely.polygons(triangles))
        for i in np.flatnonzero(shapely.intersects(triangle, points))
    }
    assert set(zip(at.tolist(), which.tolist(), strict=True)) == expected


def test_cells_of_polygons_leave_out_their_holes() -> None:
    shapes = [shapely.box(0, 8, 8, 15).difference(shapely.Point(4, 11).buffer(2)), shapely.Point(9, 12).buffer(1.7)]
    runs = GRID.polygons(np.array(shapes, dtype=object))
    chosen = GRID.points[:, 0].reshape(40, 60) < 4
    points, hits = GRID.counts(runs, chosen, len(shapes))
    for shape, count, hit in zip(shapes, points.tolist(), hits.tolist(), strict=True):
        inside = shapely.contains_xy(shape, GRID.points)
        assert (count, hit) == (inside.sum(), (inside & chosen.ravel()).sum())
    within = np.logical_or.reduce([shapely.contains_xy(shape, GRID.points) for shape in shapes])
    assert np.array_equal(GRID.covered(runs).ravel(), within)


def test_points_over_triangles() -> None:
    triangles = random_triangles(200)
    points = np.random.default_rng(1).uniform((-4, 6), (13, 18), (300, 2))
    at, which = over(points, triangles)
    expected = shapely.STRtree(shapely.polygons(triangles)).query(shapely.points(points), predicate="intersects")
    assert set(zip(at.tolist(), which.tolist(), strict=True)) == set(zip(*expected.tolist(), strict=True))


@pytest.mark.parametrize("count", [1, 12, 150])
def test_union_of_triangles_is_that_of_geos(count: int) -> None:
    # Twice, turned both ways: neighbours and doubles are what models are made of.
    triangles = random_triangles(count, seed=count)
    triangles = np.concatenate([triangles, triangles[:, ::-1], triangles + 0.5])
    ours = linework.union(triangles)
    theirs = shapely.union_all(shapely.polygons(triangles), grid_size=0.001)
    assert ours.symmetric_difference(theirs).area < 0.001 * theirs.length
    assert shapely.is_valid(ours)


def test_union_of_nothing_is_empty() -> None:
    assert linework.union(np.empty((0, 3, 2))).is_empty
    upright = np.array([[(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)]])
    assert linework.union(upright).is_empty


def test_segments_on_one_line_become_one() -> None:
    lines = [
        [(0, 0), (4, 0)], [(4, 0), (2, 0)], [(4, 0), (6, 0)], [(7, 0), (8, 0)],  # touching, doubled, apart
        [(1, 1), (1, 3)], [(1, 4), (1, 2)], [(0, 0), (3, 1)], [(9, 3), (3, 1)], [(5, 5), (5, 5.0001)],
    ]  # fmt: skip
    far = np.array([500_000.0, 4_320_000.0])
    found = linework.merge(np.array(lines) + far) - far
    expected = {((0, 0), (6, 0)), ((7, 0), (8, 0)), ((1, 1), (1, 4)), ((0, 0), (9, 3))}
    assert {tuple(map(tuple, line)) for line in found.round(6).tolist()} == expected


def test_faces_are_united_without_those_left_out() -> None:
    lines = np.array([[(0, 0), (9, 0)], [(9, 0), (9, 3)], [(9, 3), (0, 3)], [(0, 3), (0, 0)], [(3, 0), (3, 3)]], float)
    faces = linework.Faces.of(lines)
    assert sorted(shapely.area(faces.shapes).tolist()) == [9, 18]
    assert faces.union(np.ones(2, bool)).equals(shapely.box(0, 0, 9, 3))
    assert faces.union(shapely.area(faces.shapes) > 9).equals(shapely.box(3, 0, 9, 3))


def test_crossings_are_moved_to_the_grid_and_leave_no_gap() -> None:
    # Two hundred lines at any angle over a square: whatever they are cut into, nothing of the square is lost.
    random = np.random.default_rng(3)
    square = np.array([[(0, 0), (5, 0)], [(5, 0), (5, 5)], [(5, 5), (0, 5)], [(0, 5), (0, 0)]], float)
    lines = np.concatenate([square, random.uniform(0, 5, (200, 2, 2)).round(3)])
    faces = linework.Faces.of(lines)
    assert len(faces.shapes) > 1000
    corners = shapely.get_coordinates(faces.shapes)
    assert np.array_equal(corners, corners.round(3))
    assert shapely.area(faces.shapes).sum() == pytest.approx(25, abs=1e-6)
    assert shapely.is_valid(faces.shapes).all()
    assert faces.union(np.ones(len(faces.shapes), bool)).area == pytest.approx(25, abs=1e-6)
