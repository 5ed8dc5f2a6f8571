"""Rule packs: every threshold and convention of a number, as data with its clause and how sure it is.

A pack is a file `rules/<name>.json` of the published dictionary or of a city's own (`CIM_DICTIONARY`). Its digest,
SHA-256 of its JCS bytes (RFC 8785), stands in every seal. A rule marked (unsure) ships switched off: it is no
default until a person has read the official print and switched it on in a pack of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
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
    """One rule. `limit` holds its parameters: a number, a list, or several by name."""

    id: str
    clause: str
    text: str
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
    packs: dict[str, RulePack] = {}
    try:
        for folder in (schemas.V1, *folders):
            for path, document in schemas.documents(folder / "rules"):
                pack = _pack(path, document)
                if pack.name in packs:
                    raise InvalidData(f"{path}: rule pack {pack.name!r} is defined already; give it another name")
                packs[pack.name] = pack
    except ValueError as error:
        raise InvalidData(str(error)) from error
    return dict(sorted(packs.items()))


def rule_pack(name: str, *folders: Path) -> RulePack:
    """Return the pack of that name; NotFound lists the ones there are."""
    packs = rule_packs(*folders)
    if name not in packs:
        raise NotFound(f"no rule pack {name!r}; there are {', '.join(packs)}")
    return packs[name]


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
    wanted = {f.name for f in fields(Rule)}
    if entry.keys() != wanted:
        raise InvalidData(
            f"{path}: rule {entry.get('id')!r} must have exactly {', '.join(sorted(wanted))}; "
            f"differs in {', '.join(sorted(wanted ^ entry.keys()))}"
        )
    rule = Rule(**entry)
    if rule.confidence not in CONFIDENCES:
        raise InvalidData(
            f"{path}: confidence of rule {rule.id} must be one of {', '.join(CONFIDENCES)}, got {rule.confidence!r}"
        )
    return rule
