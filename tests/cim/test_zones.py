from __future__ import annotations

import numpy as np
import pytest

from cim import crs, zones

# From STANDARDS of the field: zone, width, meridian, EPSG code of CGCS2000 with the zone in the easting.
ZONES = [(25, 3, 75, 4513), (38, 3, 114, 4526), (39, 3, 117, 4527), (45, 3, 135, 4533), (13, 6, 75, 4491),
         (20, 6, 117, 4498), (23, 6, 135, 4501)]  # fmt: skip


@pytest.mark.parametrize(("number", "width", "meridian", "epsg"), ZONES)
def test_a_zone_number_tells_width_meridian_and_system(number: int, width: int, meridian: int, epsg: int) -> None:
    found = zones.zone(number)
    assert found == zones.Zone(number, width, meridian, epsg)
    operation = crs.parse(epsg).coordinate_operation
    assert operation is not None
    stated = {p.name: p.value for p in operation.params}
    assert stated["Longitude of natural origin"] == meridian
    assert stated["False easting"] == number * 1e6 + 500_000
    assert zones.zone_in(number * 1e6 + 424_654.893) == found


@pytest.mark.parametrize("easting", [0.0, -1.0, 424_654.893, 12_500_000.0, 24_500_000.0, 46_000_000.0, np.nan, np.inf])
def test_other_eastings_carry_no_zone(easting: float) -> None:
    assert zones.zone_in(easting) is None


@pytest.mark.parametrize(
    ("system", "easting", "expected"),
    [
        (4548, 39_424_654.893, -39e6),  # 3 degrees, meridian 117
        (4548, 20_424_654.893, -20e6),  # the zone of 6 degrees with that meridian is the same projection
        (4548, 424_654.893, 0),
        (4548, 38_424_654.893, 0),  # another meridian: another system, not another habit
        (4527, 424_654.893, 39e6),
        (4527, 39_424_654.893, 0),
        (2384, 39_424_654.893, -39e6),  # Xian 1980 has the same zones
        (32650, 39_424_654.893, 0),  # UTM has other zones
        (4490, 39_424_654.893, 0),
        (3857, 39_424_654.893, 0),
    ],
)
def test_eastings_are_brought_to_the_habit_of_the_system(system: int, easting: float, expected: float) -> None:
    given = np.array([easting, np.nan])
    assert zones.corrections(given, given, crs.parse(system)).tolist() == [expected, 0]


def test_an_object_across_two_zones_is_left_alone() -> None:
    assert zones.corrections(np.array([39_999_999.0]), np.array([40_000_001.0]), crs.parse(4548)).tolist() == [0]
