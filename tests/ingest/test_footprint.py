from __future__ import annotations

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from ingest import footprint, linework

FACES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def box(x: float, y: float, z: float, dx: float, dy: float, dz: float) -> NDArray[np.float64]:
    corners = np.array([(x + i * dx, y + j * dy, z + k * dz) for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    return np.array([corners[[a, b, c]] for a, b, c, d in FACES] + [corners[[a, c, d]] for a, b, c, d in FACES])


def ring(x: float, y: float, dx: float, dy: float, height: float, wall: float = 0.3) -> NDArray[np.float64]:
    """Four walls whose outer faces are a rectangle."""
    return np.concatenate(
        [
            box(x, y, 0, dx, wall, height),
            box(x, y + dy - wall, 0, dx, wall, height),
            box(x, y + wall, 0, wall, dy - 2 * wall, height),
            box(x + dx - wall, y + wall, 0, wall, dy - 2 * wall, height),
        ]
    )


def test_eaves_and_terrace_lie_outside() -> None:
    house = [ring(0, 0, 12, 10, 3), box(-0.5, -0.5, 3, 13, 11, 0.2), box(-4, 0, -0.2, 16, 10, 0.2)]
    plan = footprint.Fabric(np.concatenate(house)).plan(0.0)
    assert plan.outline.equals(shapely.box(0, 0, 12, 10))
    assert plan.covered_area == pytest.approx(
        13 * 11 + 3.5 * 10, rel=0.02
    )  # the roof, and the terrace beyond the eaves


def test_courtyard_stays_open() -> None:
    outer, inner = ring(0, 0, 20, 20, 3), ring(5.7, 5.7, 8.6, 8.6, 3)
    slabs = [box(0, 0, 3, 20, 6, 0.2), box(0, 14, 3, 20, 6, 0.2), box(0, 6, 3, 6, 8, 0.2), box(14, 6, 3, 6, 8, 0.2)]
    plan = footprint.Fabric(np.concatenate([outer, inner, *slabs])).plan(0.0)
    assert plan.outline.area == pytest.approx(400 - 64)
    assert [len(part.interiors) for part in plan.outline.geoms] == [1]


def test_balcony_canopy_and_basement_add_nothing_to_the_footprint_and_the_roof_outline_holds_the_first_two() -> None:
    house = [ring(0, 0, 12, 10, 6), box(0, 0, 6, 12, 10, 0.2), box(0, 0, 3, 12, 10, 0.2), box(0, 0, -0.2, 12, 10, 0.2)]
    balcony = [box(2, -1.5, 3, 4, 1.5, 0.2), box(2, -1.5, 3.2, 4, 0.1, 1.0)]  # with a parapet
    canopy = [box(12, 2, 2.6, 3, 4, 0.2), *(box(14.6, y, -0.2, 0.2, 0.2, 2.8) for y in (2.2, 5.6))]  # on two posts
    basement = [box(-4, -3, -3.2, 20, 16, 0.2), *(box(x, -3, -3, 0.3, 16, 2.7) for x in (-4, 15.7))]
    fabric = footprint.Fabric(np.concatenate([*house, *balcony, *canopy, *basement]))
    plan = fabric.plan(0.0)
    assert plan.outline.equals(shapely.box(0, 0, 12, 10))
    roof = fabric.roof(plan.outline, 0.0)
    assert roof is not None
    above = shapely.union_all([shapely.box(0, 0, 12, 10), shapely.box(2, -1.5, 6, 0), shapely.box(12, 2, 15, 6)])
    assert roof.outline.symmetric_difference(above).area < 1e-6


def test_joints_between_panels_are_closed_and_do_not_shift_the_outline() -> None:
    # Panels of 2.9 m with joints of 10 cm all round; the slab under them ends at their outer face.
    panels = [box(3 * i, y, 0, 2.9, 0.1, 3) for i in range(4) for y in (0.0, 8.9)]
    panels += [box(x, 0.2 + 3 * i, 0, 0.1, 2.8, 3) for i in range(3) for x in (0.0, 11.8)]
    roof = box(0, 0, 3, 11.9, 9, 0.2)
    plan = footprint.Fabric(np.concatenate([*panels, roof])).plan(0.0)
    assert plan.outline.bounds == pytest.approx((0, 0, 11.9, 9))
    assert plan.outline.area == pytest.approx(11.9 * 9, rel=0.0032)


def test_walls_without_thickness_enclose() -> None:
    sides = [(0, 0, 8, 0), (8, 0, 8, 6), (8, 6, 0, 6), (0, 6, 0, 0)]
    walls = [[[(a, b, 0), (c, d, 0), (c, d, 3)], [(a, b, 0), (c, d, 3), (a, b, 3)]] for a, b, c, d in sides]
    roof = [[(0, 0, 3), (8, 0, 3), (8, 6, 3)], [(0, 0, 3), (8, 6, 3), (0, 6, 3)]]
    triangles = np.array([t for wall in walls for t in wall] + roof, dtype=np.float64)
    assert footprint.Fabric(triangles).plan(0.0).outline.area == pytest.approx(48)


def test_open_hall_is_told_by_slab_and_roof() -> None:
    columns = [box(x, y, 0, 0.4, 0.4, 4) for x in (0, 9.6) for y in (0, 19.6)]
    hall = np.concatenate([*columns, box(0, 0, -0.2, 10, 20, 0.2), box(0, 0, 4, 10, 20, 0.3)])
    assert footprint.Fabric(hall).plan(0.0).outline.area == pytest.approx(200)


def test_nothing_stands_on_the_floor() -> None:
    plan = footprint.Fabric(box(0, 0, 10, 5, 5, 1)).plan(0.0)
    assert plan.outline.is_empty
    assert plan.covered_area == pytest.approx(25, rel=0.02)


def test_two_blocks_are_two_parts_and_crumbs_are_dropped() -> None:
    blocks = [box(0, 0, 0, 5, 5, 3), box(10, 0, 0, 5, 5, 3), box(7, 0, 0, 0.5, 0.5, 3)]
    plan = footprint.Fabric(np.concatenate(blocks)).plan(0.0)
    assert len(plan.outline.geoms) == 2
    assert plan.outline.area == pytest.approx(50)


@pytest.mark.parametrize(("height", "length"), [(-0.1, 0), (0.0, 0), (1.0, 10), (2.0, 10), (2.1, 0)])
def test_section_through_vertices_counts_them_once(height: float, length: float) -> None:
    lines = linework.section(box(0, 0, 0, 4, 1, 2), height)
    assert sum(np.hypot(*(end - start)) for start, end in lines) == pytest.approx(length)


def test_outline_far_from_the_origin_keeps_its_millimetres() -> None:
    far = footprint.Fabric(box(500_000.123, 4_320_000.456, 0, 5, 5, 3)).plan(0.0).outline
    assert far.bounds == pytest.approx((500_000.123, 4_320_000.456, 500_005.123, 4_320_005.456), abs=1e-6)


def test_room_without_area_is_none() -> None:
    assert footprint.room(np.zeros((1, 3, 3))) is None
    outline = footprint.room(box(0, 0, 0, 4, 3, 2.5))
    assert outline is not None
    assert outline.area == pytest.approx(12)


def gable(width: float, length: float, eaves: float, ridge: float, overhang: float) -> NDArray[np.float64]:
    """A saddle roof without thickness, its ridge along x."""
    fall = (ridge - eaves) / (width / 2) * overhang
    profile = ((-overhang, eaves - fall), (width / 2, ridge), (width + overhang, eaves - fall))
    corners = [(x, y, z) for x in (-overhang, length + overhang) for y, z in profile]
    faces = [(0, 3, 4), (0, 4, 1), (1, 4, 5), (1, 5, 2)]
    return np.array([[corners[i] for i in face] for face in faces])


def test_heights_of_a_saddle_roof() -> None:
    fabric = footprint.Fabric(np.concatenate([ring(0, 0, 12, 10, 3), gable(10, 12, 3.2, 6.2, 0.5)]))
    roof = fabric.roof(fabric.plan(0.0).outline, 0.0)
    assert roof is not None
    assert roof.outline.symmetric_difference(shapely.box(-0.5, -0.5, 12.5, 10.5)).area < 1e-6
    # The slope is 3 m on 5 m; the outer wall meets the roof at 3.2 m, 5 cm within it at 3.23 m.
    assert roof.eaves == pytest.approx(3.23, abs=0.01)
    assert roof.ridge == pytest.approx(6.2, abs=0.07)
    ((lowest, middle, block, highest),) = roof.parts
    # Heights are spread evenly between eaves and ridge, and looked up every 0.2 m on a slope of 3 in 5.
    assert (lowest, middle, block, highest) == pytest.approx((3.2, 4.7, 5.3, 6.2), abs=0.13)


def test_roof_of_a_building_with_a_courtyard_keeps_it_open() -> None:
    walls = np.concatenate([ring(0, 0, 20, 20, 3), ring(5.7, 5.7, 8.6, 8.6, 3)])
    slabs = [box(0, 0, 3, 20, 6, 0.2), box(0, 14, 3, 20, 6, 0.2), box(0, 6, 3, 6, 8, 0.2), box(14, 6, 3, 6, 8, 0.2)]
    fabric = footprint.Fabric(np.concatenate([walls, *slabs]))
    roof = fabric.roof(fabric.plan(0.0).outline, 0.0)
    assert roof is not None
    assert roof.outline.area == pytest.approx(400 - 64)
    assert roof.parts == [pytest.approx((3.2, 3.2, 3.2, 3.2))]


def test_a_footprint_under_the_sky_has_no_roof() -> None:
    low = footprint.Fabric(box(0, 0, 0, 5, 5, 1))
    assert low.roof(shapely.MultiPolygon([shapely.box(0, 0, 5, 5)]), 0.0) is None


def rafters(
    width: float, length: float, eaves: float, ridge: float, overhang: float, thick: float
) -> NDArray[np.float64]:
    """A saddle roof of some thickness (measured upright), its ridge along x; heights are those of its lower face."""
    lower = gable(width, length, eaves, ridge, overhang)
    up = np.array((0, 0, thick))
    # The corners of each slope, and the upright faces between lower and upper; both slopes have one at the ridge.
    rings = [[tri[i] for tri, i in ((lower[k], 0), (lower[k], 1), (lower[k], 2), (lower[k + 1], 2))] for k in (0, 2)]
    edges = [(a, b) for ring in rings for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]
    sides = [face for a, b in edges for face in ((a, b, b + up), (a, b + up, a + up))]
    return np.concatenate([lower, lower + up, np.array(sides)])


def test_what_a_roof_has_beside_an_attic_is_no_part_of_the_storey() -> None:
    # The attic of a house of 12 x 10 m: cut at 0.5, 1.0 and 1.5 m, the overhanging roof is there, too.
    attic = [box(0, 0, -0.2, 12, 10, 0.2), ring(0, 0, 12, 10, 0.3), rafters(10, 12, 0.1, 5.1, 0.6, 0.3)]
    gables = [box(x, 0.3, 0, 0.3, 9.4, 0.4) for x in (0, 11.7)]
    fabric = footprint.Fabric(np.concatenate([*attic, *gables]))
    assert fabric.plan(0.0).outline.area > 121
    assert fabric.storey(0.0, np.inf).equals(shapely.box(0, 0, 12, 10))


def test_a_storey_whose_walls_begin_above_its_level_is_its_plan() -> None:
    raised = ring(0, 0, 12, 10, 3) + np.array((0, 0, 0.4))
    fabric = footprint.Fabric(np.concatenate([raised, box(0, 0, 3.4, 12, 10, 0.2)]))
    assert fabric.storey(0.0, np.inf).equals(shapely.box(0, 0, 12, 10))
