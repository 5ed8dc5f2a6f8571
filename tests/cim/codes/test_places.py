"""Identifiers that are computed from a place, against published values."""

from __future__ import annotations

import pytest

from cim.codes import jp_spatialid, olc, ubid
from cim.errors import InvalidCode, InvalidData


def test_open_location_code_of_a_place() -> None:
    assert olc.of(23.1291, 113.2642) == "7PMM47H7+JMW"
    with pytest.raises(InvalidData, match="in degrees"):
        olc.of(2559024.7, 424654.9)
    with pytest.raises(InvalidData, match="not 9"):
        olc.of(0, 0, 9)


def test_an_open_location_code_lies_in_the_next_larger_cell() -> None:
    chain = ["7PMM47H7+JMW"]
    while (parent := olc.SCHEME.parent(chain[-1])) is not None:
        chain.append(parent)
    assert chain == ["7PMM47H7+JMW", "7PMM47H7+JM", "7PMM47H7+", "7PMM4700+", "7PMM0000+", "7P000000+"]


def test_ubid_of_a_footprint() -> None:
    box, centre = (113.2640, 23.1290, 113.2644, 23.1292), (113.2642, 23.1291)
    assert ubid.of(box, centre) == "7PMM47H7+JMW-4-6-4-6"
    assert ubid.of(box, centre, 10) == "7PMM47H7+JM-1-2-0-1"
    with pytest.raises(InvalidData, match="the centre must lie in the box"):
        ubid.of(box, (113.3, 23.1291))


def test_overlap_of_two_ubids() -> None:
    first, second = "849VQJH6+95J-51-58-42-50", "849VQJH6+95J-51-58-42-51"
    assert round(ubid.overlap(first, second), 4) == 0.9909
    assert ubid.overlap(first, "7PMM47H7+JMW-4-6-4-6") == 0.0
    with pytest.raises(InvalidCode, match="ubid refuses"):
        ubid.overlap(first, "7PMM47H7+JMW-4-6-4")


@pytest.mark.parametrize(
    ("place", "zoom", "code"),
    [
        ((139.73785400390625, 35.675705221389876, 0), 16, "16/0/58206/25807"),
        ((113.2644, 23.1291, 600), 16, "16/1/53387/28438"),
    ],
)
def test_spatial_id_of_a_place(place: tuple[float, float, float], zoom: int, code: str) -> None:
    assert jp_spatialid.of(*place, zoom) == code


def test_spatial_id_below_ground_and_beyond_the_grid() -> None:
    assert jp_spatialid.of(0, 0, -1, 25).split("/")[1] == "-1"
    with pytest.raises(InvalidData, match="Web Mercator"):
        jp_spatialid.of(0, 86, 0, 10)
    with pytest.raises(InvalidData, match="zoom is 0 to 35"):
        jp_spatialid.of(0, 0, 0, 36)


def test_a_box_in_space_has_eight_children() -> None:
    import re

    pattern = jp_spatialid.SCHEME.children_pattern("16/-1/53387/28438")
    assert jp_spatialid.SCHEME.parent("17/-2/106775/56876") == "16/-1/53387/28438"
    inside = [f"17/{f}/{x}/{y}" for f in (-2, -1) for x in (106774, 106775) for y in (56876, 56877)]
    assert all(re.fullmatch(pattern, code) for code in inside)
    assert not re.fullmatch(pattern, "17/0/106774/56876")
