"""Rule packs: every threshold and convention of a number, as data with its clause and how sure it is.

A pack is a file `rules/<name>.json` of the published dictionary or of a city's own (`CIM_DICTIONARY`). One that
`extends` another holds only what is otherwise: rules by their ids, each with the members that differ. Its digest,
SHA-256 of the JCS bytes (RFC 8785) of the pack in full, stands in every seal.

A rule marked (unsure) ships switched off: it is no default until a person has read the official print and switched it
on in a pack of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import schemas
from cim.errors import InvalidData, NotFound
from cim.log.entry import canonicalize

DEFAULT = "cn-renewal"
CONFIDENCES = ("confirmed", "likely", "unsure", "design")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `limit` holds its parameters: a number, a list, or several by name. `text_zh` may be empty."""

    id: str
    clause: str
    text: str
    text_zh: str
    source: str
    formula: str
    limit: Any
    unit: str
    scope: str
    force: str
    exempt: str
    confidence: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class RulePack:
    """A named, versioned set of rules and its digest (hex)."""

    name: str
    version: str
    title: str
    title_zh: str
    rules: Mapping[str, Rule]
    sha256: str

    def named(self) -> dict[str, str]:
        """Return what a seal says of it."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}

    def limit(self, *rule_ids: str) -> Any:
        """Return the parameters of the first of these rules that is switched on.

        Raises
        ------
        InvalidData : the pack lacks them all, or all are switched off.
        """
        for rule_id in rule_ids:
            rule = self.rules.get(rule_id)
            if rule is not None and rule.enabled:
                return rule.limit
        raise InvalidData(
            f"rule pack {self.name} {self.version} has no rule {' or '.join(rule_ids)} that is switched on; "
            "add it, or set its `enabled`"
        )


def rule_packs(*folders: Path) -> dict[str, RulePack]:
    """Read the packs of `schemas/v1/rules` and of the `rules` folder in each of `folders`, by name, sorted.

    Raises
    ------
    InvalidData : a file is no rule pack, or a name is taken.
    """
    files = ((path, path.stat()) for folder in (schemas.V1, *folders) for path in (folder / "rules").glob("*.json"))
    # Every scenario asks for one, so they are read again only when a file has come, gone or changed.
    return dict(_packs(folders, tuple(sorted((path, stat.st_mtime_ns, stat.st_size) for path, stat in files))))


@lru_cache(maxsize=8)
def _packs(folders: tuple[Path, ...], _as_of: tuple[tuple[Path, int, int], ...]) -> Mapping[str, RulePack]:
    found: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    try:
        for folder in (schemas.V1, *folders):
            for path, document in schemas.documents(folder / "rules"):
                name = document.get("name")
                if not isinstance(name, str) or not name:
                    raise InvalidData(f"{path}: a rule pack needs a name")
                if name in found:
                    raise InvalidData(f"{path}: rule pack {name!r} is defined already; give it another name")
                found[name] = path, document
    except ValueError as error:
        raise InvalidData(str(error)) from error
    return {name: _pack(found[name][0], _whole(name, found, ())) for name in sorted(found)}


def differences(one: RulePack, other: RulePack) -> list[dict[str, Any]]:
    """Return the rules that two packs do not have alike, by id: `{rule, fields: {name: [one's, other's]}}`.

    A rule that one of them lacks differs in all its fields, with None on that side.
    """
    lines = []
    for rule_id in sorted(one.rules.keys() | other.rules.keys()):
        sides = [asdict(pack.rules[rule_id]) if rule_id in pack.rules else {} for pack in (one, other)]
        names = [f.name for f in fields(Rule) if f.name != "id"]
        differing = {name: [side.get(name) for side in sides] for name in names}
        differing = {name: pair for name, pair in differing.items() if pair[0] != pair[1]}
        if differing:
            lines.append({"rule": rule_id, "fields": differing})
    return lines


def rule_pack(name: str, *folders: Path) -> RulePack:
    """Return the pack of that name; NotFound lists the ones there are."""
    packs = rule_packs(*folders)
    if name not in packs:
        raise NotFound(f"no rule pack {name!r}; there are {', '.join(packs)}")
    return packs[name]


def _whole(name: str, found: Mapping[str, tuple[Path, Mapping[str, Any]]], above: tuple[str, ...]) -> dict[str, Any]:
    """Return a pack's document with the rules that it has from the pack it extends."""
    path, document = found[name]
    if "extends" not in document:
        return dict(document)
    base = document["extends"]
    if base in (*above, name):
        raise InvalidData(f"{path}: rule packs extend each other in a circle: {' → '.join((*above, name, base))}")
    if base not in found:
        raise InvalidData(f"{path}: extends {base!r}, which is no rule pack; there are {', '.join(sorted(found))}")
    try:
        rules = {rule["id"]: rule for rule in _whole(base, found, (*above, name))["rules"]}
        if len({rule["id"] for rule in document["rules"]}) < len(document["rules"]):
            raise InvalidData(f"{path}: two rules carry one id")
        for rule in document["rules"]:
            # A text that says something else has not been translated.
            untold = {"text-zh": ""} if "text" in rule else {}
            rules[rule["id"]] = rules.get(rule["id"], {}) | untold | rule
    except (KeyError, TypeError) as error:
        raise InvalidData(f"{path}: a rule pack that extends another needs rules, each with its id: {error}") from error
    return {key: value for key, value in document.items() if key != "extends"} | {"rules": list(rules.values())}


def _pack(path: Path, document: Mapping[str, Any]) -> RulePack:
    try:
        rules = [_rule(path, entry) for entry in document["rules"]]
        pack = RulePack(
            name=document["name"],
            version=document["version"],
            title=document["title"],
            title_zh=document["title-zh"],
            rules=MappingProxyType({rule.id: rule for rule in rules}),
            sha256=hashlib.sha256(canonicalize(dict(document))).hexdigest(),
        )
    except (KeyError, TypeError) as error:
        raise InvalidData(f"{path}: a rule pack needs name, version, title, title-zh, rules: {error}") from error
    if len(pack.rules) != len(rules):
        raise InvalidData(f"{path}: two rules carry one id")
    return pack


def _rule(path: Path, entry: Mapping[str, Any]) -> Rule:
    wanted = {f.name.replace("_zh", "-zh") for f in fields(Rule)}
    if entry.keys() != wanted:
        raise InvalidData(
            f"{path}: rule {entry.get('id')!r} must have exactly {', '.join(sorted(wanted))}; "
            f"differs in {', '.join(sorted(wanted ^ entry.keys()))}"
        )
    rule = Rule(**{name.replace("-zh", "_zh"): value for name, value in entry.items()})
    if rule.confidence not in CONFIDENCES:
        raise InvalidData(
            f"{path}: confidence of rule {rule.id} must be one of {', '.join(CONFIDENCES)}, got {rule.confidence!r}"
        )
    return rule
