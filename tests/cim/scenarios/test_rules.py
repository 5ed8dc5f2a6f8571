from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import rfc8785

import schemas
from cim.errors import InvalidData, NotFound
from cim.scenarios._rules import DEFAULT, RulePack, rule_pack, rule_packs

PACKS = rule_packs()


@pytest.mark.parametrize("name", PACKS)
def test_the_digest_is_over_the_jcs_bytes(name: str) -> None:
    document = json.loads((schemas.V1 / "rules" / f"{name}.json").read_text(encoding="utf-8"))
    assert PACKS[name].sha256 == hashlib.sha256(rfc8785.dumps(document)).hexdigest()


@pytest.mark.parametrize("name", PACKS)
def test_an_unsure_rule_ships_switched_off(name: str) -> None:
    unsure = [rule for rule in PACKS[name].rules.values() if rule.confidence == "unsure"]
    assert not [rule.id for rule in unsure if rule.enabled]


@pytest.mark.parametrize("name", PACKS)
def test_every_rule_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    for rule in PACKS[name].rules.values():
        assert rule.text, rule.id
        assert rule.source, rule.id
        assert rule.confidence == "design" or rule.clause, rule.id


def test_the_first_rule_switched_on_counts() -> None:
    pack = rule_pack(DEFAULT)
    assert not pack.rules["residential_height_classes"].enabled
    classes = pack.limit("residential_height_classes", "storey_classes")
    assert classes == pack.rules["storey_classes"].limit
    assert len(classes["from"]) == len(classes["labels"])
    with pytest.raises(InvalidData, match=r"no rule residential_height_classes .* switched on"):
        pack.limit("residential_height_classes")


def write(folder: Path, **changes: object) -> Path:
    document = json.loads((schemas.V1 / "rules" / f"{DEFAULT}.json").read_text(encoding="utf-8"))
    (folder / "rules").mkdir()
    path = folder / "rules" / "ours.json"
    path.write_text(json.dumps(document | changes), encoding="utf-8")
    return folder


def test_a_city_brings_its_own_pack(tmp_path: Path) -> None:
    ours: RulePack = rule_pack("ours", write(tmp_path, name="ours"))
    assert ours.sha256 != PACKS[DEFAULT].sha256


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="defined already"):
        rule_packs(write(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": [{"id": "a"}]}, "rule 'a' must have exactly"),
        ({"rules": None}, "a rule pack needs"),
        ({"rules": [dict.fromkeys(PACKS[DEFAULT].rules["year_bins"].__slots__, "x")]}, "confidence of rule x"),
    ],
)
def test_what_is_no_rule_pack_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        rule_packs(write(tmp_path, name="ours", **changes))


def test_an_unknown_pack_names_the_known() -> None:
    with pytest.raises(NotFound, match=DEFAULT):
        rule_pack("nowhere")
