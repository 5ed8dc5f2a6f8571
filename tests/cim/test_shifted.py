from __future__ import annotations

import numpy as np
import pytest

from cim import shifted
from cim.errors import CrsError

# (longitude, latitude) of one place in the three systems, as the package eviltransform publishes them.
WGS84 = np.array([[116.39089, 39.90734]])
GCJ02 = np.array([[116.397131048052, 39.908741093115]])
BD09 = np.array([[116.403504309940, 39.915083485622]])
# 1e-9 degrees are 0.1 mm.
CLOSE = {"rtol": 0, "atol": 1e-9}


def test_forward_gives_the_published_values() -> None:
    np.testing.assert_allclose(shifted.to_gcj02(WGS84), GCJ02, **CLOSE)
    np.testing.assert_allclose(shifted.to_bd09(WGS84), BD09, **CLOSE)


def test_back_gives_the_place_itself() -> None:
    np.testing.assert_allclose(shifted.to_wgs84(GCJ02, "gcj-02"), WGS84, **CLOSE)
    np.testing.assert_allclose(shifted.to_wgs84(BD09, "bd-09"), WGS84, **CLOSE)


def test_the_way_there_and_back_ends_where_it_began_all_over_china() -> None:
    rng = np.random.default_rng(1)
    places = rng.uniform((74.0, 4.0), (135.0, 53.0), (10_000, 2))
    np.testing.assert_allclose(shifted.to_wgs84(shifted.to_gcj02(places), "gcj-02"), places, **CLOSE)
    np.testing.assert_allclose(shifted.to_wgs84(shifted.to_bd09(places), "bd-09"), places, **CLOSE)


@pytest.mark.parametrize("system", ["gcj-02", "bd-09"])
def test_outside_china_nothing_moves(system: str) -> None:
    london = np.array([[-0.12, 51.5]])
    assert shifted.to_wgs84(london, system).tolist() == london.tolist()


def test_a_place_on_the_edge_is_refused_and_not_left_where_it_was() -> None:
    # Places east of 72.004 E are shifted 360 m east, those west of it not at all.
    for x in (72.004, 72.0045):
        with pytest.raises(CrsError, match="on the edge of what GCJ-02 shifts"):
            shifted.to_wgs84(np.array([[110.0, 40.0], [x, 40.0]]), "gcj-02")


def test_nothing_to_turn_back_stays_nothing() -> None:
    assert shifted.to_wgs84(np.zeros((0, 2)), "gcj-02").shape == (0, 2)
    np.testing.assert_array_equal(shifted.to_wgs84(np.full((1, 2), np.nan), "bd-09"), [[np.nan, np.nan]])


def test_metres_and_unknown_systems_are_refused() -> None:
    with pytest.raises(CrsError, match="GCJ-02 is in degrees"):
        shifted.to_wgs84(np.array([[421_000.0, 4_318_000.0]]), "gcj-02")
    with pytest.raises(CrsError, match="'mapbar' is no shifted system; there are gcj-02, bd-09"):
        shifted.to_wgs84(WGS84, "mapbar")
