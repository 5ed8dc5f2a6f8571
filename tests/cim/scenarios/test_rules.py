from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from typer.testing import CliRunner

import schemas
from cim.cli import build
from cim.errors import InvalidData, NotFound
from cim.scenarios._rules import DEFAULT, RulePack, differences, rule_pack, rule_packs

PACKS = rule_packs()
SHIPPED = json.loads((schemas.V1 / "rules" / f"{DEFAULT}.json").read_text(encoding="utf-8"))


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


@pytest.mark.parametrize("name", PACKS)
def test_every_rule_says_the_same_in_both_languages(name: str) -> None:
    """The same numbers and parameters, that is; and Chinese is written in Chinese."""

    def named(text: str) -> set[str]:
        return set(re.findall(r"[0-9]+|[a-z]+_[a-z_]+", text.replace(",", "")))

    for rule in PACKS[name].rules.values():
        assert named(rule.text) == named(rule.text_zh), rule.id
        assert re.search("[\u4e00-\u9fff]{4}", rule.text_zh), rule.id


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
        (
            {"rules": [{**dict.fromkeys(PACKS[DEFAULT].rules["year_bins"].__slots__, "x"), "text-zh": "x"}]},
            "differs in text_zh",
        ),
        ({"rules": [{**SHIPPED["rules"][0], "confidence": "x"}]}, "confidence of rule existing_building"),
    ],
)
def test_what_is_no_rule_pack_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        rule_packs(write(tmp_path, name="ours", **changes))


def test_an_unknown_pack_names_the_known() -> None:
    with pytest.raises(NotFound, match=DEFAULT):
        rule_pack("nowhere")


OURS: dict[str, Any] = {
    "name": "ours",
    "version": "1",
    "title": "Ours",
    "title-zh": "本市",
    "extends": DEFAULT,
    "rules": [
        {"id": "R1", "limit": {"max": 15, "actions": ["demolish", "rebuild"], "exempt_in_ratio": True}},
        {"id": "R12", "enabled": True, "source": "Our parking ordinance"},
    ],
}


def city_pack(folder: Path, **changes: object) -> Path:
    (folder / "rules").mkdir(exist_ok=True)
    document = OURS | changes
    (folder / "rules" / f"{document['name']}.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_a_city_writes_only_what_is_otherwise(tmp_path: Path) -> None:
    ours = rule_pack("ours", city_pack(tmp_path))
    theirs = PACKS[DEFAULT]
    assert ours.rules.keys() == theirs.rules.keys()
    assert ours.rules["R1"].limit["max"] == 15
    assert ours.rules["R1"].clause == theirs.rules["R1"].clause
    assert ours.rules["R2"] == theirs.rules["R2"]
    # The digest is that of the pack as if it were written out in full.
    whole = json.loads((schemas.V1 / "rules" / f"{DEFAULT}.json").read_text(encoding="utf-8"))
    whole["rules"] = [rule | next((r for r in OURS["rules"] if r["id"] == rule["id"]), {}) for rule in whole["rules"]]
    written = {key: value for key, value in OURS.items() if key != "extends"} | {"rules": whole["rules"]}
    assert ours.sha256 == hashlib.sha256(rfc8785.dumps(written)).hexdigest()


def test_two_packs_are_compared(tmp_path: Path) -> None:
    ours = rule_pack("ours", city_pack(tmp_path))
    found = {line["rule"]: line["fields"] for line in differences(PACKS[DEFAULT], ours)}
    assert found.keys() == {"R1", "R12"}
    assert found["R12"]["enabled"] == [False, True]
    assert found["R12"].keys() == {"enabled", "source"}
    assert differences(ours, ours) == []


def test_a_text_that_says_something_else_keeps_no_translation(tmp_path: Path) -> None:
    rules = [{"id": "R1", "text": "Nothing is demolished."}, {"id": "R2", "text": "Little.", "text-zh": "少量。"}]
    ours = rule_pack("ours", city_pack(tmp_path, rules=rules))
    assert [ours.rules[name].text_zh for name in ("R1", "R2")] == ["", "少量。"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extends": "mars"}, "extends 'mars', which is no rule pack"),
        ({"extends": "ours"}, "in a circle"),
        ({"rules": [{"limit": 1}]}, "each with its id"),
        ({"rules": [{"id": "R1", "colour": "red"}]}, "differs in colour"),
        ({"rules": [{"id": "R1", "enabled": False}, {"id": "R1", "enabled": True}]}, "two rules carry one id"),
    ],
)
def test_a_bad_extension_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        rule_packs(city_pack(tmp_path, **changes))


def test_the_command_shows_and_compares_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIM_DICTIONARY", str(city_pack(tmp_path)))
    app = build()

    def cim(*arguments: str) -> str:
        ran = CliRunner().invoke(app, ["rules", *arguments])
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    assert [pack["name"] for pack in json.loads(cim("list", "--json"))] == [DEFAULT, "ours"]
    assert "建科〔2021〕63号" in cim("show", DEFAULT, "R1")
    assert "R15" in cim("show", "ours")
    assert json.loads(cim("compare", DEFAULT, "ours", "--json"))[0]["rule"] == "R1"
    assert "parking ordinance" in cim("compare", DEFAULT, "ours")
    assert isinstance(CliRunner().invoke(app, ["rules", "show", DEFAULT, "R99"]).exception, NotFound)
