"""Municipal component code 城市管理部件代码: county, class, sequence; 16 digits.

Classes are those of the codelist `component_class`. Main classes from 21 up are each city's own: its dictionary extends
the codelist by them. Numberings differ between standards, so a component keeps the name of its class scheme beside its
code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache

import numpy as np

import schemas
from cim.codes._base import CodeScheme, Invalid, Layout, Mask, Numbering, Places, Problem, Segment, Valid, number_at
from cim.errors import InvalidCode

COUNTY = 6
CLASS = 10
CODELIST = "component_class"
LAST_SEQUENCE = 999_999


@cache
def published_classes() -> frozenset[str]:
    """Return the four-digit classes of the published codelist."""
    document = json.loads((schemas.V1 / "codelists" / f"{CODELIST}.json").read_text(encoding="utf-8"))
    return frozenset(entry["value"] for entry in document["values"])


def _with_classes(classes: Collection[str]) -> CodeScheme:
    return replace(SCHEME, rules=_rules(lambda: classes), suspects=_suspects(lambda: classes))


def _rules(classes: Callable[[], Collection[str]]) -> Callable[[str], list[Problem]]:
    def rules(code: str) -> list[Problem]:
        found = code[COUNTY:CLASS]
        if found in classes():
            return []
        main = found[:2]
        if any(other.startswith(main) for other in classes()):
            return [Problem("rule", 9, f"main class {main} has no sub-class {found[2:]}")]
        return [Problem("rule", 7, f"no main class {main}; one of the city's own is to be in its {CODELIST}")]

    return rules


def _suspects(classes: Callable[[], Collection[str]]) -> Callable[[Places, str | None], Mask]:
    def suspects(places: Places, _level: str | None) -> Mask:
        unknown = np.ones(10_000, dtype=bool)
        unknown[[int(known) for known in classes()]] = False
        # What is no digit is out of place already; here it must only stay within the table.
        found: Mask = unknown[number_at(places, COUNTY + 1, CLASS) % len(unknown)]
        return found

    return suspects


def _numbering_of(parent: str) -> Numbering:
    if not re.fullmatch("[0-9]{10}", parent):
        raise InvalidCode(f"cn-component16 numbers under ten digits, county and class; got {parent!r}")
    return Numbering(parent, parent, 6, LAST_SEQUENCE)


SCHEME = CodeScheme(
    name="cn-component16",
    title="Municipal component code",
    title_zh="城市管理部件代码",
    source="CJ/T 214-2007 as read in a deployed city system; GB/T 30428.2-2013 may number otherwise",
    version="2007",
    confidence="confirmed",
    issuer="the city's management centre",
    layout=Layout(
        (Segment("county", 6), Segment("main class", 2), Segment("sub-class", 2), Segment("sequence", 6)),
        lengths=(16,),
    ),
    rules=_rules(published_classes),
    suspects=_suspects(published_classes),
    codelist=CODELIST,
    with_values=_with_classes,
    # The county is a code of cn-div6.
    parent_of=lambda code: code[:COUNTY],
    numbering_of=_numbering_of,
    examples_valid=(
        Valid("3205080101000001"),
        Valid("3205080217000012"),
        Valid("3205080110000003"),
        Valid("320508 0404 000001"),
    ),
    examples_invalid=(
        Invalid("3205080605000001", "rule", 9),
        Invalid("3205082133000001", "rule", 7),
        Invalid("32050801010001", "shape", 15),
        Invalid("32050801010000010", "shape", 17),
        Invalid("32050801O1000001", "shape", 9),
    ),
)
