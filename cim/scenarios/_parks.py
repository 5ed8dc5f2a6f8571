"""Parks: how much of the residential land of a scope lies within their reach, by their size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from cim.scenarios import _indicator as indicator
from cim.scenarios._base import table
from cim.scenarios._indicator import SQUARE_CENTIMETRES
from cim.scenarios._rules import RulePack
from cim.scenarios._state import State
from cim.scenarios._why import Opened, Sum, Term

RULE = "park_reach"
PERCENT = 100
PARKS = {
    **table(
        {
            "land": indicator.schema("m2", "Residential land", "居住用地面积"),
            "covered": indicator.schema("m2", "Residential land within reach of a park", "公园服务范围内居住用地"),
            "share": indicator.schema("%", "Share of residential land", "公园绿地服务半径覆盖率", fraction=True),
        },
        title="Parks",
        **{"x-cim-title-zh": "公园绿地"},
    ),
    "type": ["object", "null"],
    "description": "Null where no kind asked for is one of parks, or the rule pack has park_reach switched off",
}


def kinds_of_parks(pack: RulePack) -> list[str]:
    """Return the kinds of green space that are parks; none where the rule is switched off."""
    rule = pack.rules.get(RULE)
    return list(rule.limit["kinds"]) if rule is not None and rule.enabled else []


def reach_of(pack: RulePack) -> int:
    """Return how far the largest parks reach, in metres; 0 where the rule is switched off."""
    return max(tier["reach_m"] for tier in pack.limit(RULE)["tiers"]) if kinds_of_parks(pack) else 0


def read_parks(state: State, kinds: Sequence[str], *, explain: bool = False) -> Sequence[sa.Row[Any]]:
    """Return the parcels that are residential, or may be, with their land and what parks of these kinds cover.

    With `explain` also their leaves.
    """
    limit = state.pack.limit(RULE)
    return state.rows(
        "park_coverage",
        kinds=list(kinds),
        land_uses=limit["land_uses"],
        areas=[tier["area_m2"] * SQUARE_CENTIMETRES for tier in limit["tiers"]],
        reaches=[tier["reach_m"] for tier in limit["tiers"]],
        reach=reach_of(state.pack),
        explain=explain,
    )


def coverage(rows: Sequence[sa.Row[Any]]) -> dict[str, Any]:
    """Return land, covered land and their share; land of unknown use moves in both at once."""
    land, covered = _land(rows), _covered(rows)
    known, unknown = ([row for row in rows if row.known is told] for told in (True, False))
    ends = [
        indicator.extreme_mean(
            (sum(getattr(row, column) for row in known), land.known),
            [(getattr(row, column), row.land) for row in unknown],
            highest=highest,
        )
        for column, highest in (("covered", False), ("covered_most", True))
    ]
    counted = {"n": len(rows), "n_known": sum(row.known and row.covered == row.covered_most for row in rows)}
    return {
        "land": land.indicator(),
        "covered": indicator.area(covered.known, covered.most, **counted),
        "share": indicator.ratio(
            "%", (covered.known * PERCENT, land.known), [(num * PERCENT, den) for num, den in ends], **counted
        ),
    }


def opened_parks(pack: RulePack, rows: Sequence[sa.Row[Any]]) -> Iterator[Opened]:
    """Yield the numbers of parks opened into parcels."""
    rules, land, covered = [pack.rules[RULE]], _land(rows), _covered(rows)
    yield Opened("/parks/land", "Σ residential land in the scope", rules, land)
    yield Opened("/parks/covered", "Σ residential land within reach of a park", rules, covered)
    yield Opened("/parks/share", rules[0].formula, rules, covered, land, PERCENT)


def _land(rows: Sequence[sa.Row[Any]]) -> Sum:
    terms = (Term("parcel", row.code, row.leaf, row.land if row.known else None, row.land) for row in rows)
    return Sum("residential land", "m2", tuple(terms))


def _covered(rows: Sequence[sa.Row[Any]]) -> Sum:
    """Return what is surely covered; what more may be is a term of its own."""
    sure = [Term("parcel", row.code, row.leaf, row.covered) for row in rows if row.known]
    open_ones = [
        Term("parcel", row.code, row.leaf, None, row.covered_most - (row.covered if row.known else 0))
        for row in rows
        if not row.known or row.covered < row.covered_most
    ]
    return Sum("residential land within reach", "m2", (*sure, *open_ones))
