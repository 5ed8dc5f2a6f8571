"""Building code of JGJ/T 246-2012: division, completion year, building, unit, check; 23 places.

The standard was repealed on 2022-07-01 by JGJ/T 496-2022 (`cn-jgjt496`) and is still widely deployed. Division and year
are those of the day of issue: a code is not changed when they do, and when they were wrong it is superseded.

The check character is ISO/IEC 7064 MOD 11-2 over the first 22 places. Value 10 prints as `*` in the draft (confirmed)
and as `X` in ISO (likely): both are read, `X` is written; `scheme("*")` makes one that writes the star. A place of the
body may hold `*`, worth 10 (confirmed).

11 is prime and no weight is 0 modulo 11, so every wrong character is found: 100 %. The weights are powers of 2, whose
order modulo 11 is 10, so they differ but for places 10 or 20 apart: swapped neighbours are found, 100 %, and of all
pairs of places 237 in 253, 93.7 %. Of other errors one in 11 passes.

Variants exist (confirmed): 26 digits in Nanjing, 25 in Shenzhen, 27 characters in Zhejiang. They are refused here; each
needs a scheme of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from cim.codes._base import (
    DIGITS,
    CodeScheme,
    Invalid,
    Layout,
    Mask,
    Numbering,
    Places,
    Problem,
    Segment,
    Valid,
    number_at,
    translated,
)
from cim.errors import InvalidCode, InvalidData

BUILDING: Final = 17
BODY: Final = 22
CODE: Final = 23
LOGICAL: Final = 25
WEIGHTS: Final = tuple(pow(2, CODE - place, 11) for place in range(1, CODE))
"""Of places 1 to 22: powers of two modulo 11, the check character itself weighing one (ISO/IEC 7064, MOD 11-2)."""
_WITHOUT_UNIT = "00000"
_TENS = "*X"


def check_character(body: str, ten: str = "X") -> str:
    """Return the check character of the first 22 places."""
    values = (10 if character == "*" else int(character) for character in body)
    check = (1 - sum(value * weight for value, weight in zip(values, WEIGHTS, strict=True))) % 11
    return ten if check == 10 else str(check)


def scheme(ten: str = "X", *, logical_buildings: bool = False) -> CodeScheme:
    """Return the scheme as a city has it.

    Parameters
    ----------
    ten : how a check of value 10 is written, X or *; both are read
    logical_buildings : take two more digits for a logical building 逻辑幢, as Beijing may append (confirmed)

    Raises
    ------
    InvalidData : `ten` is neither.
    """
    if ten not in ("X", "*"):
        raise InvalidData(f"a check of value 10 is written X or *, not {ten!r}")
    variant = _Variant(ten, logical_buildings)
    return CodeScheme(
        name="cn-jgjt246",
        title="Building code of 2012",
        title_zh="房屋代码（JGJ/T 246-2012）",
        source="JGJ/T 246-2012, draft and Beijing's practice; the check at place 23 of the final text is unsure",
        version="2012, repealed 2022-07-01",
        confidence="confirmed",
        issuer="the housing authority",
        layout=variant.layout(),
        levels=("building", "unit"),
        rules=variant.rules,
        suspects=variant.suspects,
        canonical=variant.canonical,
        levels_of=lambda code: ("building",) if _is_building(code) else ("unit",),
        parent_of=variant.parent_of,
        prefix_of=lambda code: code[:BUILDING] if _is_building(code) else code,
        numbering_of=variant.numbering_of,
        examples_valid=(
            Valid("11010101020200009000003", "building"),
            Valid("11010101020200009100012", "unit"),
            Valid("11010101020190009000007", "building"),
            Valid("32050800220150012000006", "building"),
            Valid("1101010102020000700000X", "building"),
            Valid("1101010102020000700000*", "building"),
        ),
        examples_invalid=(
            Invalid("11010101020200009000004", "rule", 23),
            Invalid("11011001020200009000003", "rule", 23),
            Invalid("1101010102020000900000", "shape", 23),
            Invalid("4403030070020300006000002", "shape", 24),
            Invalid("110101010202000090000X3", "shape", 22),
        ),
    )


def _is_building(code: str) -> bool:
    return code[BUILDING:BODY] == _WITHOUT_UNIT


@dataclass(frozen=True, slots=True)
class _Variant:
    """What depends on how a city has the scheme."""

    ten: str
    logical_buildings: bool

    def layout(self) -> Layout:
        body = DIGITS + "*"
        return Layout(
            (
                Segment("division", 9, body),
                Segment("year", 4, body),
                Segment("building", 4, body),
                Segment("unit", 5, body),
                Segment("check", 1, DIGITS + self.ten),
                *([Segment("logical building", 2)] if self.logical_buildings else []),
            ),
            lengths=(CODE, LOGICAL) if self.logical_buildings else (CODE,),
        )

    def canonical(self, text: str) -> str:
        code = translated(text)
        return f"{code[:BODY]}{self.ten}{code[CODE:]}" if code[BODY:CODE] in _TENS and len(code) > BODY else code

    def rules(self, code: str) -> list[Problem]:
        expected = check_character(code[:BODY], self.ten)
        if code[BODY] == expected:
            return []
        message = f"check character is {code[BODY]}, the places before it give {expected}: one is wrong or two swapped"
        return [Problem("rule", CODE, message)]

    def parent_of(self, code: str) -> str | None:
        return None if _is_building(code) else self.complete(code[:BUILDING])

    def complete(self, beginning: str) -> str:
        body = beginning.ljust(BODY, "0")
        return body + check_character(body, self.ten)

    def numbering_of(self, parent: str) -> Numbering:
        if len(parent) == 13 and all(character in DIGITS for character in parent):
            return Numbering(parent, parent, 4, 9999, self.complete)
        if scheme(self.ten, logical_buildings=self.logical_buildings).validate(parent, level="building") == []:
            return Numbering(parent, parent[:BUILDING], 5, 99999, self.complete)
        raise InvalidCode(
            f"cn-jgjt246 numbers buildings under 13 digits (division, year), units under a building; "
            f"{parent!r} is neither"
        )

    def suspects(self, places: Places, level: str | None) -> Mask:
        values = np.where(places[:, :BODY] == ord("*"), 10, places[:, :BODY].astype(np.int64) - ord("0"))
        check = (1 - values @ np.array(WEIGHTS)) % 11
        found: Mask = places[:, BODY] != np.frombuffer((DIGITS + self.ten).encode(), np.uint8)[check]
        if level is not None:
            whole = number_at(places, BUILDING + 1, BODY) == 0
            found |= ~whole if level == "building" else whole
        return found


SCHEME = scheme()
