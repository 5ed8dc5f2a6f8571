from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

import schemas
from cim.dictionary import load_dictionary

CONFIDENCES = {"confirmed", "likely", "unsure", "design"}
DOCUMENTS = {path.stem: document for path, document in schemas.documents(schemas.V1 / "codelists")}
every_list = pytest.mark.parametrize("name", list(DOCUMENTS))


def mappings(name: str, vocabulary: str) -> dict[str, str]:
    values = load_dictionary().codelists[name].values.values()
    return {v.value: v.mappings[vocabulary] for v in values if vocabulary in v.mappings}


@every_list
def test_it_says_where_it_is_from_and_how_sure_that_is(name: str) -> None:
    document = DOCUMENTS[name]
    assert document["source"]
    assert document["title"]
    assert re.search("[\u4e00-\u9fff]", document["title-zh"])
    stated = [document, *document["values"], *document.get("vocabularies", {}).values()]
    assert {item["confidence"] for item in stated if "confidence" in item} <= CONFIDENCES


@every_list
def test_every_value_has_one_meaning_and_a_label_in_both_languages(name: str) -> None:
    entries: list[dict[str, Any]] = DOCUMENTS[name]["values"]
    for key in ("value", "title", "title-zh"):
        repeated = [text for text, count in Counter(entry[key] for entry in entries).items() if count > 1]
        assert repeated == [], key
    for entry in entries:
        assert re.fullmatch("[a-z]+(_[a-z]+)*|[A-Z]|[0-9]{4}", entry["value"])
        assert entry["title"].isascii()
        assert re.search("[\u4e00-\u9fff]", entry["title-zh"])


@every_list
def test_mappings_lead_to_vocabularies_that_are_described(name: str) -> None:
    document = DOCUMENTS[name]
    described = document.get("vocabularies", {})
    used = {vocabulary for entry in document["values"] for vocabulary in entry.get("mappings", {})}
    assert used == set(described)
    assert all({"title", "source", "confidence"} <= set(entry) for entry in described.values())


@every_list
def test_a_column_uses_it(name: str) -> None:
    columns = [prop for kind in load_dictionary().types.values() for prop in kind.properties]
    assert name in {prop.codelist for prop in columns}


def test_statuses_in_the_words_of_citygml_and_bag() -> None:
    assert mappings("status", "citygml3") == {
        "planned": "projected",
        "under_construction": "underConstruction",
        "in_use": "functional",
        "under_renovation": "functional",
        "disused": "declined",
        "demolition_approved": "functional",
        "ruin": "ruin",
        "demolished": "demolished",
    }
    assert mappings("status", "bag") == {
        "planned": "Bouwvergunning verleend",
        "under_construction": "Bouw gestart",
        "in_use": "Pand in gebruik",
        "under_renovation": "Verbouwing pand",
        "disused": "Pand buiten gebruik",
        "demolition_approved": "Sloopvergunning verleend",
        "demolished": "Pand gesloopt",
        "cancelled": "Niet gerealiseerd pand",
        "recorded_in_error": "Pand ten onrechte opgevoerd",
    }


def test_structures_in_the_digits_of_jgjt246() -> None:
    assert mappings("structure", "jgjt246") == {
        "steel": "1",
        "steel_concrete": "2",
        "reinforced_concrete": "3",
        "mixed": "4",
        "brick_wood": "5",
        "other": "6",
    }


def test_uses_in_the_numbers_of_the_statistics_list() -> None:
    assert mappings("building_usage", "cn-statistics-use") == {
        "residential": "10",
        "commercial": "20",
        "office": "30",
        "education": "40",
        "medical": "40",
        "culture_sport": "50",
        "industrial": "60",
        "warehouse": "70",
        "other": "80",
    }


def test_land_rights_are_the_letters_of_the_parcel_code() -> None:
    rights = load_dictionary().codelists["land_right"].values
    assert "".join(rights) == "ABSXCDEFHGLNWY"
    assert [right for right, value in rights.items() if value.confidence == "unsure"] == ["L", "N"]


def test_component_classes_not_seen_in_use_are_marked() -> None:
    classes = load_dictionary().codelists["component_class"]
    assert classes.confidence == "confirmed"
    assert [code for code, value in classes.values.items() if value.confidence == "likely"] == [
        "0110",
        "0202",
    ]
    assert DOCUMENTS["component_class"]["class-scheme"] == "CJ/T 214"
