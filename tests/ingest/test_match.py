"""Decisions by place: by hand on squares, and measured on deliveries made from real footprints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from benchmarks import identity
from benchmarks._labelled import Delivery, deliver
from ingest.match import Decisions, Pairs, Thresholds, decide, thresholds

LIMITS = thresholds("building", {})


def decided(records: list[shapely.Geometry], objects: list[shapely.Geometry], **limits: Any) -> Decisions:
    shapes = [np.array(list_, dtype=object) for list_ in (objects, records)]
    delivery = Delivery(*shapes, np.array([]), frozenset())
    return decide(identity.pairs_of(delivery), thresholds("building", limits))


def pairs(found: Pairs) -> list[tuple[int, int]]:
    return sorted(zip(found.record.tolist(), found.object.tolist(), strict=True))


def told(found: Decisions) -> dict[str, list[tuple[int, int]]]:
    return {name: p for name in ("same", "split", "merge", "undecided") if (p := pairs(getattr(found, name)))}


def box(x: float, y: float, width: float = 10.0, height: float = 10.0) -> shapely.Polygon:
    return shapely.box(x, y, x + width, y + height)


def test_the_same_place_is_the_same_object_and_an_empty_one_is_new() -> None:
    found = decided([box(0, 0), box(100, 0)], [box(0, 0)])
    assert told(found) == {"same": [(0, 0)]}
    assert found.same.overlap.tolist() == [1.0]


def test_the_scores_are_those_of_a_hand_calculation() -> None:
    # 10 × 10 moved by 2: 80 in common, 120 together.
    found = decided([box(2, 0)], [box(0, 0)])
    assert found.same.overlap[0] == pytest.approx(80 / 120)
    assert found.same.of_record[0] == found.same.of_object[0] == pytest.approx(0.8)
    assert found.same.aligned[0] == pytest.approx(1.0)


def test_a_far_shift_is_told_by_the_shape() -> None:
    # Moved by 5: 50 in common, 150 together, below `same`; the outline is the very one.
    assert told(decided([box(5, 0)], [box(0, 0)])) == {"same": [(0, 0)]}
    # Another outline that overlaps as much, 75 / 150, is for a person.
    assert told(decided([box(0, -2.5, 5, 25)], [box(0, 0)])) == {"undecided": [(0, 0)]}


def test_two_that_fit_alike_are_for_a_person() -> None:
    row = [box(0, 0), box(10, 0)]
    assert told(decided([box(5, 0)], row)) == {"undecided": [(0, 0), (0, 1)]}


def test_two_parts_of_one_are_a_split_and_the_other_way_round_a_merger() -> None:
    halves = [box(0, 0, 5), box(5, 0, 5)]
    assert told(decided(halves, [box(0, 0)])) == {"split": [(0, 0), (1, 0)]}
    assert told(decided([box(0, 0)], halves)) == {"merge": [(0, 0), (0, 1)]}


def test_a_small_annexe_does_not_end_the_building_it_is_cut_from() -> None:
    found = decided([box(0, 0, 9), box(9, 0, 1)], [box(0, 0)])
    assert told(found) == {"same": [(0, 0)], "split": [(1, 0)]}
    found = decided([box(0, 0)], [box(0, 0, 9), box(9, 0, 1)])
    assert told(found) == {"same": [(0, 0)], "merge": [(0, 1)]}


def test_a_part_alone_and_a_whole_around_are_for_a_person() -> None:
    assert told(decided([box(0, 0, 3)], [box(0, 0)])) == {"undecided": [(0, 0)]}
    assert told(decided([box(0, 0)], [box(0, 0, 3)])) == {"undecided": [(0, 0)]}


def test_a_part_that_has_parts_is_for_a_person() -> None:
    # Two objects became two others, cut the other way.
    objects = [box(0, 0, 10, 5), box(0, 5, 10, 5)]
    records = [box(0, 0, 5, 10), box(5, 0, 5, 10)]
    assert set(told(decided(records, objects))) == {"undecided"}


def test_neighbours_that_touch_a_little_are_new() -> None:
    assert told(decided([box(9, 0)], [box(0, 0)])) == {}


def test_nothing_matches_nothing() -> None:
    assert told(decided([], [])) == {}
    assert told(decided([box(0, 0)], [])) == {}


def test_thresholds_are_data_that_a_mapping_may_change() -> None:
    assert thresholds("building", {"same": 0.9, "geometry": False}) == Thresholds(
        0.9, LIMITS.like, LIMITS.part, LIMITS.cover, LIMITS.touch, LIMITS.margin, geometry=False
    )
    assert told(decided([box(2, 0, 9)], [box(0, 0)])) == {"same": [(0, 0)]}
    assert told(decided([box(2, 0, 9)], [box(0, 0)], same=0.9, like=1.0)) == {"undecided": [(0, 0)]}


@pytest.mark.real
@pytest.mark.parametrize("source", identity.SETS[1:], ids=lambda source: source[0])  # the first is the large one
def test_real_footprints_are_found_as_the_docs_say(shared: Path, source: tuple[Any, ...]) -> None:
    _, file, layer, encoding, srid, most = source
    delivery = deliver(identity.footprints(file, layer, encoding, srid, min(most, 2000)), seed=7)
    precision, recall = identity.measure(delivery, decide(identity.pairs_of(delivery), LIMITS))
    assert precision >= 0.99
    assert recall >= 0.97
