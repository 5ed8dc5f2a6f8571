"""Proposal evaluation 方案评估: what each proposal takes away and adds, before, after, and the difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import sqlalchemy as sa

from cim.db.engine import Database
from cim.errors import InvalidData
from cim.scenarios import _indicator as indicator
from cim.scenarios import _proposal
from cim.scenarios._base import Example, Outcome, Scenario, parameter, table
from cim.scenarios._branch import Made, lay
from cim.scenarios._indicator import DECIMALS, Indicator, step
from cim.scenarios._proposal import from_document
from cim.scenarios._recorded import read_proposal
from cim.scenarios._state import State
from cim.scenarios._stock import ADDITIVE, BOUNDS, Stock, amount, formula, read_stock, rules_of, summed
from cim.scenarios._why import Opened, Sum, Term, shown
from cim.scenarios.density_indicators import DENSITIES, densities, open_densities, read_densities

RATIOS = ("far", "gsi", "storeys", "osr", "green_ratio")
PERCENT = 100

_NUMBER = {"type": ["number", "null"]}
_BALANCE = {
    name: table(
        {
            **{part: indicator.schema(unit, title, title_zh) for part in ("before", "removed", "added", "after")},
            "change": indicator.schema(unit, f"{title}, change", f"{title_zh}变化"),
            "change_percent": {**_NUMBER, "description": "Change in percent of before; null where before is nothing"},
        },
        title=title,
        **{"x-cim-title-zh": title_zh},
    )
    for name, (_, _, unit, title, title_zh, _) in ADDITIVE.items()
}
_PAIRS = {name: table({"before": DENSITIES[name], "after": DENSITIES[name], "change": _NUMBER}) for name in RATIOS}
OUTPUTS = table(
    {
        "proposals": {
            "type": "array",
            "items": table(
                {
                    "name": {"type": "string"},
                    "sha256": {"type": "string"},
                    "interventions": {"type": "integer", "minimum": 0},
                    "balance": table(_BALANCE, description="after = before - removed + added, exactly"),
                    "ratios": table(_PAIRS),
                    "objects": {
                        "type": "array",
                        "description": "The buildings that the proposal changes, by code, with what each contributes",
                        "items": {"type": "object"},
                    },
                }
            ),
        }
    }
)

P1 = "130629001001GB00001"
LOT = "POLYGON((500000 4320000,500100 4320000,500100 4320100,500000 4320100,500000 4320000))"
HOUSE = "POLYGON((500005 4320005,500015 4320005,500015 4320017,500005 4320017,500005 4320005))"
BARN = "POLYGON((500045 4320005,500055 4320005,500055 4320015,500045 4320015,500045 4320005))"
EXAMPLE = Example(
    text=(
        "On a lot of 10,000 m² stand a house of 360 m² on 120 m² and a barn of 100 m² on as much. One proposal "
        "demolishes the barn, another also adds a storey of 120 m² to the house. Floor area goes from 460 to 360, and "
        "from 460 by -100 +120 to 480 m²: FAR 0.046 to 0.036 and to 0.048."
    ),
    objects={
        "parcel": [{"code": P1, "geom": LOT}],
        "building": [
            {
                "code": f"{P1}F00010000",
                "parcel_code": P1,
                "status": "in_use",
                "storeys_above": 3,
                "gross_floor_area": 360.0,
                "dwellings": 6,
                "households": 6,
                "geom": HOUSE,
            },
            {
                "code": f"{P1}F00020000",
                "parcel_code": P1,
                "status": "in_use",
                "storeys_above": 1,
                "gross_floor_area": 100.0,
                "dwellings": 0,
                "households": 0,
                "geom": BARN,
            },
        ],
    },
    inputs={
        "scope": [P1],
        "reference_date": "2026-06-30",
        "proposals": [
            {"name": "clear", "interventions": [{"target": f"{P1}F00020000", "action": "demolish"}]},
            {
                "name": "raise",
                "interventions": [
                    {"target": f"{P1}F00020000", "action": "demolish"},
                    {
                        "target": f"{P1}F00010000",
                        "action": "extend",
                        "params": {"added_floor_area": 120.0, "storeys_above": 4, "added_dwellings": 2},
                    },
                ],
            },
        ],
    },
    result={
        "proposals": [
            {
                "name": "clear",
                "balance": {
                    "gfa": {
                        "before": {"value": 460.0},
                        "removed": {"value": 100.0},
                        "added": {"value": 0.0},
                        "after": {"value": 360.0},
                        "change": {"value": -100.0},
                    },
                    "footprint": {"after": {"value": 120.0}},
                },
                "ratios": {"far": {"before": {"value": 0.046}, "after": {"value": 0.036}, "change": -0.01}},
            },
            {
                "name": "raise",
                "balance": {
                    "gfa": {"removed": {"value": 100.0}, "added": {"value": 120.0}, "after": {"value": 480.0}},
                    "dwellings": {"after": {"value": 8}},
                    "n": {"before": {"value": 2}, "after": {"value": 1}},
                },
                "ratios": {"far": {"after": {"value": 0.048}}},
            },
        ]
    },
)


@dataclass(frozen=True, kw_only=True)
class EvaluateProposal(Scenario):
    """Compare proposals with the city as it is, and with each other."""

    name: ClassVar[str] = "evaluate-proposal"
    version: ClassVar[str] = "1.3.0"
    title: ClassVar[str] = "Proposal evaluation"
    title_zh: ClassVar[str] = "方案评估"
    description: ClassVar[str] = (
        "What each of several proposals makes of a district: buildings, footprint, floor area, dwellings, households "
        "before, removed, added, after, and the change; floor area ratio, density, storeys, spaciousness and green "
        "ratio before and after; and the same for every building that a proposal changes. after = before - removed + "
        "added holds exactly, for each building and in sum."
    )
    description_zh: ClassVar[str] = (
        "多方案对比:建筑数量、占地、建筑面积、套数和户数的现状、拆除、新增、建成后及变化量,容积率、建筑密度、"
        "平均层数、开敞空间率和绿地率的前后对比,并逐栋列出变化。现状减拆除加新增恒等于建成后。"
    )
    reads: ClassVar[tuple[str, ...]] = ("building", "green_space", "parcel", "road")
    queries: ClassVar[tuple[str, ...]] = ("building_stock", "density_indicators", "acted_on")
    outputs: ClassVar[Mapping[str, Any]] = OUTPUTS
    example: ClassVar[Example] = EXAMPLE

    proposals: Sequence[str | Mapping[str, Any]] = parameter(
        {
            "type": "array",
            "minItems": 1,
            "items": {
                **_proposal.SCHEMA,
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 100},
                    **_proposal.SCHEMA["properties"],
                },
                "required": ["name", "interventions"],
            },
        },
        "方案集",
        "The proposals to compare: recorded ones by code, or interventions with a name. `proposal` is not for this "
        "scenario.",
    )

    def compute(self, state: State) -> Outcome:
        """Read the stock and the densities as they are, then through each proposal."""
        if self.proposal is not None:
            raise InvalidData("evaluate-proposal compares: give each proposal in `proposals`, with a name")
        items = [item for item in self.proposals if isinstance(item, Mapping)]  # `resolved` left no other
        names = [item["name"] for item in items]
        if len(set(names)) != len(names):
            raise InvalidData(f"input proposals: two have one name: {', '.join(sorted(names))}")
        before, density = read_stock(state, self.membership), self._densities(state)
        compared, targets = [], set[str]()
        for item in items:
            made = _laid(state, item)
            targets |= made.on.keys()
            through = state.through(made)
            after = read_stock(through, self.membership)
            ratios = _pairs(density, self._densities(through))
            compared.append(
                {
                    "name": item["name"],
                    "sha256": made.proposal.sha256,
                    "interventions": len(made.proposal.interventions),
                    "balance": {name: _balance(name, before, after) for name in ADDITIVE},
                    "ratios": ratios,
                    "objects": list(_objects(before, after, made)),
                }
            )
        coverage = {
            "scope": state.described(),
            "building": {"members": len(before)},
            "targets_outside": sorted(targets - before.keys()),
        }
        return Outcome({"proposals": compared}, coverage, lambda: self._why(state, items))

    def _why(self, state: State, items: Sequence[Mapping[str, Any]]) -> Iterator[Opened]:
        """Open the balance of each proposal into buildings, and the ratios before and after."""
        before, rules = read_stock(state, self.membership), rules_of(state.pack, *BOUNDS)
        for item in items:
            at, through = step("/proposals", item["name"]), state.through(_laid(state, item))
            after = read_stock(through, self.membership)
            for name in ADDITIVE:
                for part, total in parts(name, before, after).items():
                    yield Opened(f"{at}/balance/{name}/{part}", formula(name, self.membership), rules, total)
            for end, side in (("before", state), ("after", through)):
                for one in open_densities(side, self.membership, "above_ground"):
                    way, _, name = one.at.rpartition("/")
                    if way == "/gross" and name in RATIOS:
                        yield replace(one, at=f"{at}/ratios/{name}/{end}")

    def named(self) -> Mapping[str, Sequence[str]]:
        """Return the targets of all proposals, by type."""
        documents = [item for item in self.proposals if isinstance(item, Mapping)]
        return _proposal.targets({"interventions": [one for item in documents for one in item["interventions"]]})

    def resolved(self, connection: sa.Connection, database: Database) -> Self:
        """Return it with recorded proposals read out; unless `as_of` says otherwise they must lie on one state."""
        recorded = [
            read_proposal(connection, database, item) if isinstance(item, str) else None for item in self.proposals
        ]
        bases = {one.base for one in recorded if one is not None}
        if len(bases) > 1 and self.as_of is None:
            raise InvalidData(
                f"the proposals lie on tree sizes {', '.join(map(str, sorted(bases)))}; rebase them on one of these, "
                "or give as_of"
            )
        items = [
            item if one is None else {"name": one.record["name"], **one.document}
            for item, one in zip(self.proposals, recorded, strict=True)
        ]
        as_of = next(iter(bases), None) if self.as_of is None else self.as_of
        return replace(self, proposals=items, as_of=as_of)

    def _densities(self, state: State) -> dict[str, Indicator]:
        rows = read_densities(state, membership=self.membership, gfa_rule="above_ground", level="district")
        return densities(next(row for row in rows if row.extent == "gross"))


@dataclass(frozen=True, kw_only=True)
class _Before13(EvaluateProposal):
    """As it was when it did not name the targets off its land."""

    version: ClassVar[str] = "1.2.0"

    def compute(self, state: State) -> Outcome:
        outcome = super().compute(state)
        del outcome.coverage["targets_outside"]
        return outcome


def _laid(state: State, item: Mapping[str, Any]) -> Made:
    """Return a proposal of the input laid over a state."""
    document = {name: value for name, value in item.items() if name != "name"}
    return lay(state, from_document(document, state.database.settings.srid))


def parts(name: str, before: Stock, after: Stock) -> dict[str, Sum]:
    """Return before, removed, added, after and change of an additive indicator; they balance in integers."""
    unit = ADDITIVE[name][2]
    changes = [change for code in sorted(before.keys() | after.keys()) for change in _terms(name, code, before, after)]
    removed = Sum("removed", unit, tuple(term for sign, term in changes if sign < 0))
    added = Sum("added", unit, tuple(term for sign, term in changes if sign > 0))
    return {
        "before": summed(name, before.values()),
        "removed": removed,
        "added": added,
        "after": summed(name, after.values()),
        "change": added.less(removed, "change"),
    }


def _balance(name: str, before: Stock, after: Stock) -> dict[str, Any]:
    sums = parts(name, before, after)
    shown_as = {part: one.indicator() for part, one in sums.items() if part != "change"}
    first, last = sums["before"].known, sums["after"].known
    percent = indicator.decimal((last - first) * PERCENT, first, DECIMALS) if first > 0 else None
    return shown_as | {
        "change": indicator.change(ADDITIVE[name][2], shown_as["added"], shown_as["removed"]),
        "change_percent": percent,
    }


def _terms(name: str, code: str, before: Stock, after: Stock) -> Iterable[tuple[int, Term]]:
    """Yield what a building takes from an indicator (-1) and what it brings (+1).

    What is unknown before and after alike is no change. Where only one side is known, the unknown one goes or comes.
    """
    first, last = amount(name, before.get(code)), amount(name, after.get(code))
    if first == last:
        return
    leaf = before[code].leaf if code in before else after[code].leaf
    if first[0] is None or last[0] is None:
        if first != (0, 0):
            yield -1, Term("building", code, leaf, *first)
        if last != (0, 0):
            yield 1, Term("building", code, leaf, *last)
    elif first[0] > last[0]:
        yield -1, Term("building", code, leaf, first[0] - last[0])
    else:
        yield 1, Term("building", code, leaf, last[0] - first[0])


def _pairs(before: Mapping[str, Indicator], after: Mapping[str, Indicator]) -> dict[str, Any]:
    return {
        name: {"before": before[name], "after": after[name], "change": _difference(before[name], after[name])}
        for name in RATIOS
    }


def _difference(before: Indicator, after: Indicator) -> float | int | None:
    if before["value"] is None or after["value"] is None:
        return None
    num = after["num"] * before["den"] - before["num"] * after["den"]
    return indicator.decimal(num, before["den"] * after["den"], DECIMALS)


def _objects(before: Stock, after: Stock, made: Made) -> Iterable[dict[str, Any]]:
    """Yield the buildings acted on or made, by code, with the interventions and what changes of each."""
    new = {code: one for (kind, code), one in made.new.items() if kind == "building"}
    for code in sorted({*made.on, *new} & (before.keys() | after.keys())):
        ones = made.on.get(code) or (new[code],)
        line: dict[str, Any] = {
            "code": code,
            "leaf": before[code].leaf if code in before else None,
            "interventions": [one.id for one in ones],
            "actions": [one.action for one in ones],
        }
        for name, (_, _, unit, _, _, _) in ADDITIVE.items():
            first, last = amount(name, before.get(code))[0], amount(name, after.get(code))[0]
            changes = list(_terms(name, code, before, after))
            line[name] = {
                "before": shown(first, unit),
                "removed": shown(sum(term.amount or 0 for sign, term in changes if sign < 0), unit),
                "added": shown(sum(term.amount or 0 for sign, term in changes if sign > 0), unit),
                "after": shown(last, unit),
                "measured_in": unit,
            }
        yield line


SCENARIO = EvaluateProposal
