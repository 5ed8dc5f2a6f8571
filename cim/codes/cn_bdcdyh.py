"""Real-estate unit code 不动产单元代码: 28 places, of which the first 19 are the parcel's.

Whether a whole building ends in 0000 or 0001 is not known to us: both are taken, 0000 is what we mint, and
0001 may stand for a unit as well. A building's children are found by its first 24 places, which serves both.
Building 9999 stands for a whole project in a deployed product; it is taken and never minted.
"""

from __future__ import annotations

import re

import numpy as np

from cim.codes._base import (
    CodeScheme,
    Invalid,
    Layout,
    Mask,
    Numbering,
    Places,
    Problem,
    Segment,
    Valid,
    among,
    number_at,
)
from cim.errors import InvalidCode

PARCEL = 19
BUILDING = 24
UNIT = 28
OWNERS = "GJZ"
RIGHTS = "ABSXCDEFLNHGWY"
LAST_PARCEL = 99999
LAST_BUILDING = 9998
LAST_UNIT = 9999
WHOLE_BUILDING = ("0000", "0001")
# Parcels are numbered within a sub-zone, for each owner and right by itself.
_NUMBERING_AREA = re.compile(f"[0-9]{{12}}[{OWNERS}][{RIGHTS}]")


def _rules(code: str) -> list[Problem]:
    problems = []
    owner, right = code[12], code[13]
    if code[14:PARCEL] == "00000":
        problems.append(Problem("rule", 15, "parcel sequence runs from 00001"))
    if right in "AC" and owner != "J":
        problems.append(Problem("rule", 13, f"right {right} is for collective land: owner must be J, is {owner}"))
    if right not in "HG":
        problems += [
            Problem("rule", first, f"{name} 000 is for sea areas and islands (right H or G), right is {right}")
            for name, first in (("cadastral zone", 7), ("sub-zone", 10))
            if code[first - 1 : first + 2] == "000"
        ]
    if len(code) == UNIT:
        problems += _fixture_rules(code)
    return problems


def _fixture_rules(code: str) -> list[Problem]:
    fixture, number = code[19], code[20:]
    numbered = number != "00000000"
    if fixture == "W" and numbered:
        place = 21 + len(number) - len(number.lstrip("0"))
        return [Problem("rule", place, "W means no fixture: places 21-28 must be zeros")]
    if fixture != "W" and not numbered:
        return [Problem("rule", 20, f"fixture {fixture} needs a number in places 21-28; without a fixture it is W")]
    return []


def _warnings(code: str) -> list[Problem]:
    problems = []
    if code[13] in "LN":
        problems.append(Problem("warning", 14, f"right {code[13]} came in 2019 and its meaning is unsure"))
    if code[19:BUILDING] == "F0000":
        problems.append(Problem("warning", 21, "buildings are usually numbered from 0001"))
    return problems


def _levels_of(code: str) -> tuple[str, ...]:
    if len(code) == PARCEL:
        return ("parcel",)
    if code[19] == "F":
        return {"0000": ("building",), "0001": ("unit", "building")}.get(code[BUILDING:], ("unit",))
    return ("land",) if code[19] == "W" else ("fixture",)


def _suspects(places: Places, level: str | None) -> Mask:
    inland = ~among(places[:, 13], "HG")
    found: Mask = number_at(places, 15, 19) == 0
    found |= among(places[:, 13], "AC") & ~among(places[:, 12], "J")
    found |= inland & ((number_at(places, 7, 9) == 0) | (number_at(places, 10, 12) == 0))
    if places.shape[1] == PARCEL:
        return found if level in (None, "parcel") else np.ones(len(places), dtype=bool)
    bare = number_at(places, 21, 28) == 0
    found |= among(places[:, 19], "W") != bare
    unit = number_at(places, 25, 28)
    of_building = among(places[:, 19], "F")
    match level:
        case "building":
            found |= ~of_building | (unit > 1)
        case "unit":
            found |= ~of_building | (unit == 0)
        case "land":
            found |= ~bare
        case "fixture":
            found |= ~among(places[:, 19], "LQ")
        case "parcel":
            found[:] = True
    return found


def _parent_of(code: str) -> str | None:
    if len(code) == PARCEL:
        return None
    in_building = code[19] == "F" and code[BUILDING:] != "0000" and code[20:BUILDING] != "0000"
    return code[:BUILDING] + "0000" if in_building else code[:PARCEL]


def _prefix_of(code: str) -> str:
    return code[:BUILDING] if len(code) == UNIT and code[19] == "F" and code[BUILDING:] in WHOLE_BUILDING else code


def _numbering_of(parent: str) -> Numbering:
    if _NUMBERING_AREA.fullmatch(parent):
        return Numbering(parent, parent, 5, LAST_PARCEL)
    if SCHEME.validate(parent, level="parcel") == []:
        return Numbering(parent, parent + "F", 4, LAST_BUILDING, complete=lambda code: code + "0000")
    if SCHEME.validate(parent, level="building") == []:
        # The building itself may be called …0001, and then its first unit may not.
        return Numbering(parent, parent[:BUILDING], 4, LAST_UNIT, used=int(parent[BUILDING:]))
    raise InvalidCode(
        f"cn-bdcdyh numbers parcels under 14 places (sub-zone, owner, right), buildings under a parcel, "
        f"units under a building; {parent!r} is none of these"
    )


SCHEME = CodeScheme(
    name="cn-bdcdyh",
    title="Real-estate unit code",
    title_zh="不动产单元代码",
    source="GB/T 37346-2019",
    version="2019",
    confidence="confirmed",
    issuer="the real-estate registry",
    layout=Layout(
        (
            Segment("county", 6),
            Segment("cadastral zone", 3),
            Segment("sub-zone", 3),
            Segment("owner", 1, OWNERS),
            Segment("right", 1, RIGHTS),
            Segment("sequence", 5),
            Segment("fixture", 1, "FLQW"),
            Segment("building", 4),
            Segment("unit", 4),
        ),
        lengths=(PARCEL, UNIT),
    ),
    levels=("parcel", "land", "building", "unit", "fixture"),
    rules=_rules,
    warnings=_warnings,
    suspects=_suspects,
    levels_of=_levels_of,
    parent_of=_parent_of,
    prefix_of=_prefix_of,
    numbering_of=_numbering_of,
    examples_valid=(
        Valid("340123002004GB00011", "parcel"),
        Valid("340123002004GB00011W00000000", "land"),
        Valid("440101001001GB00001F00010001", "unit"),
        Valid("440101001001GB00001F00010000", "building"),
        Valid("440101001001GB00001F99990001", "unit"),
        Valid("440101001001GB00001L00000001", "fixture"),
        Valid("340123002004JA00007W00000000", "land"),
        Valid("340123002004JE00007W00000000", "land"),
        Valid("340123002004JF00007W00000000", "land"),
        Valid("340123002004GD00007", "parcel"),
        Valid("340123000000GH00007", "parcel"),
        Valid("340123000000GG00007", "parcel"),
        Valid("340123 002004 gb00011 f00010001", "unit"),
        Valid("３４０１２３００２００４ＧＢ０００１１", "parcel"),
    ),
    examples_invalid=(
        Invalid("34012300200GB00011W00000000", "shape", 12),
        Invalid("340123002004HA00001F00010001", "shape", 13),
        Invalid("340123002004GI00001", "shape", 14),
        Invalid("340123002004GB00011F0001", "shape", 25),
        Invalid("340123002004GB00011F000100010", "shape", 29),
        Invalid("340123002004GB00000F00010001", "rule", 15),
        Invalid("340123002004GC00011F00010001", "rule", 13),
        Invalid("340123002004GA00011F00010001", "rule", 13),
        Invalid("340123000004GB00011", "rule", 7),
        Invalid("340123002000GB00011", "rule", 10),
        Invalid("340123002004GB00011W00000001", "rule", 28),
        Invalid("340123002004GB00011F00000000", "rule", 20),
        Invalid("340123002004GB00011L00000000", "rule", 20),
    ),
)
