from __future__ import annotations

import pytest

from cim.dictionary import load_dictionary
from ingest.ifc import meaning
from ingest.ifc.content import counted_area
from ingest.ifc.meaning import room_use_of, storey_use_of, structure_of


@pytest.mark.parametrize(
    ("names", "use"),
    [
        (("Bathroom 1",), "sanitary"),
        (("Küche",), "kitchen"),
        (("住宅",), "living"),
        (("Room", "Office"), "office"),
        (("Bathurst",), None),
        (("Kitchen and living room",), None),  # two uses
        (("101", None), None),
    ],
)
def test_use_of_a_room_by_its_names(names: tuple[str | None, ...], use: str | None) -> None:
    assert room_use_of(*names) == use


@pytest.mark.parametrize(
    ("materials", "structure"),
    [
        (["Concrete"] * 8 + ["Brick"] * 2, "reinforced_concrete"),
        (["钢筋混凝土"] * 9 + ["Stahl"], "reinforced_concrete"),
        (["Concrete block"] * 6 + ["Stahlbeton"] * 3, "mixed"),
        (["Steel S235"] * 6 + ["C30 concrete"] * 4, "steel_concrete"),
        (["砖"] * 6 + ["混凝土"] * 4, "mixed"),
        (["红砖"] * 6 + ["木"] * 4, "brick_wood"),
        (["Timber"] * 10, "other"),
        (["Brick"] * 10, None),  # what bears the floors is not known
        (["Concrete"] * 4 + ["Default Wall"] * 6, None),  # most are unknown
        ([], None),
    ],
)
def test_structure_by_materials(materials: list[str], structure: str | None) -> None:
    assert structure_of(materials) == structure


@pytest.mark.parametrize(
    ("rooms", "use"),
    [
        ([("living", 60.0), ("office", 15.0), ("kitchen", 12.0), ("circulation", 40.0)], "residential"),  # 60 of 75
        ([("living", 60.0), ("office", 15.1), ("storage", 90.0)], "mixed"),  # less than four fifths, more than a fifth
        ([("living", 79.0), ("office", 10.5), ("retail", 10.5)], None),  # neither four fifths, nor twice a fifth
        ([("storage", 100.0), ("circulation", 20.0), (None, 50.0)], None),  # they serve any use
        ([("teaching", 50.0), ("retail", None)], None),
        ([("retail", 0.0)], None),
        ([], None),
    ],
)
def test_use_of_a_storey_by_its_rooms(rooms: list[tuple[str | None, float | None]], use: str | None) -> None:
    assert storey_use_of(rooms) == use


def test_every_value_is_in_its_codelist() -> None:
    codelists = load_dictionary().codelists
    for words, codelist in ((meaning._BUILDING_WORDS, "building_usage"), (meaning._ROOM_WORDS, "space_usage")):
        assert words.keys() <= codelists[codelist].values.keys()
    assert meaning._USE_BY_ROOM.keys() <= codelists["space_usage"].values.keys()
    assert set(meaning._USE_BY_ROOM.values()) <= codelists["building_usage"].values.keys()


@pytest.mark.parametrize(("height", "counted"), [(2.8, 120.0), (2.2, 120.0), (2.19, 60.0), (None, 120.0)])
def test_low_storeys_count_by_half(height: float | None, counted: float) -> None:
    assert counted_area(120.0, height) == counted
