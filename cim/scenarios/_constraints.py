"""Constraints on sums over the whole scope: demolition, 拆建比, rehousing, rent, parking, facilities, consent.

A limit is tested by integer cross-multiplication at both ends of what is unknown: pass or fail only where the whole
interval agrees. See `_constraints_land.py` for those on parcels and buildings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import sqlalchemy as sa

from cim.errors import InvalidData
from cim.scenarios import _indicator as indicator
from cim.scenarios import _stock as stock
from cim.scenarios._branch import Made
from cim.scenarios._indicator import DECIMALS, SQUARE_CENTIMETRES, Indicator, Ratio, step
from cim.scenarios._proposal import Intervention
from cim.scenarios._rules import Rule
from cim.scenarios._state import State
from cim.scenarios._stock import Stock
from cim.scenarios._why import Opened, Sum, Term, shown, unknowns

PASS, FAIL, EXEMPT, NOT_ASSESSED, UNDEFINED = STATUSES = ("pass", "fail", "exempt", "not_assessed", "undefined")
PERCENT = 100


@dataclass(frozen=True, slots=True)
class Case:
    """What constraints are checked on: a state, what a proposal makes of it, and facts that no city data holds.

    `before` and `after` are the existing buildings by code; without a proposal they are the same. `explain` asks for
    what is on a parcel as well.
    """

    state: State
    made: Made | None
    before: Stock
    after: Stock
    facts: Mapping[str, Any]
    explain: bool = False

    @property
    def read(self) -> State:
        """The state as it will be."""
        return self.state.through(self.made)

    def acted(self, actions: Iterable[str]) -> list[tuple[sa.Row[Any], Intervention]]:
        """Return the existing buildings that an action of these is for, with the intervention, by code."""
        wanted = set(actions)
        on = {} if self.made is None else self.made.on
        return [
            (self.before[code], one)
            for code in sorted(on)
            for one in on[code]
            if one.action in wanted and code in self.before
        ]

    def added(self) -> list[tuple[sa.Row[Any], Intervention]]:
        """Return the buildings that the proposal adds to the scope, with the intervention, by code."""
        new = {} if self.made is None else self.made.new
        return [
            (self.after[code], one) for (kind, code), one in new.items() if kind == "building" and code in self.after
        ]


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one rule: what it measured against which limit, and what that rests on.

    Attributes
    ----------
    limit : the number it is held to; None where each offender has its own
    offenders : objects that fail, or that nobody can judge, each with its own value, limit, margin and status
    sums : what the value is made of
    why : the numbers of the check opened, as they stand beneath it
    """

    status: str
    value: Indicator | None = None
    limit: float | int | None = None
    margin: float | int | None = None
    reason: str | None = None
    offenders: Sequence[Mapping[str, Any]] = ()
    sums: Sequence[Sum] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    unknown: Sequence[Mapping[str, Any]] | None = None
    why: Sequence[Opened] = ()

    def unknowns(self) -> list[Mapping[str, Any]]:
        """Return what is unknown in it."""
        return list(unknowns(*self.sums)) if self.unknown is None else list(self.unknown)


Checker = Callable[[Rule, Case], Check]


def exact(number: Any) -> Fraction:
    """Return a limit exactly as it is written: 20, 0.35, or a fraction such as "2/3"."""
    return Fraction(str(number))


def verdict(bounds: Iterable[Ratio], limit: Fraction, *, at_most: bool) -> str:
    """Return pass or fail where every end of an interval agrees, else not_assessed. A limit is inclusive."""
    agreed = set()
    for num, den in bounds:
        if den <= 0:
            return NOT_ASSESSED
        left, right = num * limit.denominator, limit.numerator * den
        agreed.add(left <= right if at_most else left >= right)
    if len(agreed) != 1:
        return NOT_ASSESSED
    return PASS if agreed.pop() else FAIL


def margin(value: Ratio, limit: Fraction, *, at_most: bool) -> float | int | None:
    """Return how far a value keeps from its limit, negative where it is beyond; None where it is undefined."""
    num, den = value
    if den <= 0:
        return None
    room = limit - Fraction(num, den) if at_most else Fraction(num, den) - limit
    return indicator.decimal(room.numerator, room.denominator, DECIMALS)


def number(limit: Fraction) -> float | int:
    """Return a limit as it is shown."""
    return indicator.decimal(limit.numerator, limit.denominator, 0 if limit.denominator == 1 else DECIMALS)


def share(
    rule: Rule,
    value: Ratio,
    bounds: Sequence[Ratio],
    counted: tuple[int, int],
    of: tuple[Sum, Sum],
    *,
    at_most: bool,
    **rest: Any,
) -> Check:
    """Return the check of a ratio against `limit.max` or `limit.min`; `counted` is n and n_known, `of` opens it."""
    limit = exact(rule.limit["max" if at_most else "min"])
    n, n_known = counted
    if value[1] == 0 and all(den == 0 for _, den in bounds):
        status = UNDEFINED
    else:
        status = verdict(bounds, limit, at_most=at_most)
    shown = indicator.ratio(rule.unit, value, bounds, n=n, n_known=n_known)
    return Check(
        status=rest.pop("status", status),
        value=shown,
        limit=number(limit),
        margin=None if shown["value"] is None else margin(value, limit, at_most=at_most),
        why=[opened(rule, "/value", *of), *rest.pop("more", ())],
        **rest,
    )


def opened(rule: Rule, at: str, num: Sum, den: Sum | None = None) -> Opened:
    """Return a number of a rule opened; percents are of a hundred."""
    return Opened(at, rule.formula, [rule], num, den, PERCENT if rule.unit == "%" else 1)


def demolition(rule: Rule, case: Case) -> Check:
    """Check R1: floor area demolished ÷ existing, with and without what is exempt."""
    existing = stock.floor_area("gross_floor_area of the existing", case.before.values())
    rows = case.acted(rule.limit["actions"])
    demolished = stock.floor_area("gross_floor_area of the demolished", [row for row, _ in rows])
    exempt = {row.code for row, one in rows if _exempt(row, one)}
    counting = stock.floor_area("gross_floor_area demolished, not exempt", [r for r, _ in rows if r.code not in exempt])
    counted = len(existing.terms), existing.n_known
    known, most = existing.known, existing.most  # added up once: they are all buildings of the scope
    limit = exact(rule.limit["max"])

    def measure(part: Sum) -> tuple[Ratio, list[Ratio]]:
        # An unknown area of the demolished stands above and below the line at once; the share grows with it.
        low = part.known * PERCENT, known + most - part.most
        high = (part.known + part.most) * PERCENT, known + part.most
        return (part.known * PERCENT, known), [low, high]

    value, bounds = measure(demolished)
    without, without_bounds = measure(counting)
    variants = {
        "with_exempt": indicator.ratio(rule.unit, value, bounds, n=counted[0], n_known=counted[1]),
        "without_exempt": indicator.ratio(rule.unit, without, without_bounds, n=counted[0], n_known=counted[1]),
        "exempt": sorted(exempt),
    }
    more = [
        opened(rule, f"/{name}", num, existing)
        for name, num in (("with_exempt", demolished), ("without_exempt", counting))
    ]
    rest: dict[str, Any] = {"sums": [demolished, existing], "extra": variants, "more": more}
    if exempt and not rule.limit["exempt_in_ratio"]:
        within = verdict(bounds, limit, at_most=True)
        alone = verdict(without_bounds, limit, at_most=True)
        if within == FAIL:
            rest["status"] = EXEMPT if alone == PASS else alone
        if rest.get("status") == EXEMPT:
            rest["reason"] = "above the limit only with the exempt buildings counted"
    unproved = [row.code for row, one in rows if one.params.get("exemption") and row.code not in exempt]
    if unproved:
        rest["reason"] = f"no certificate, so not exempt: {', '.join(unproved)}"
    return share(rule, value, bounds, counted, (demolished, existing), at_most=True, **rest)


def _exempt(row: sa.Row[Any], one: Intervention) -> bool:
    """Tell whether an intervention claims exemption, and has the certificate that a dangerous building needs."""
    match one.params.get("exemption"):
        case "illegal":
            return True
        case "dangerous":
            return bool(one.params.get("certificate") or row.danger_certificate)
        case _:
            return False


def rebuilding(rule: Rule, case: Case) -> Check:
    """Check R2 拆建比: added ÷ demolished floor area, public facilities left out."""
    demolished = stock.floor_area(
        "gross_floor_area of the demolished", [row for row, _ in case.acted(rule.limit["actions"])]
    )
    public = set(rule.limit["public_usage"])
    terms = [
        Term("building", row.code, row.leaf, row.gfa, row.gfa_most)
        for row, _ in case.added()
        if row.usage not in public
    ]
    terms += [
        Term("building", row.code, row.leaf, _extension(row, case.after.get(row.code), one))
        for row, one in case.acted(["extend"])
        if row.usage not in public
    ]
    added = Sum("gross_floor_area added", "m2", tuple(terms))
    net = rule.limit["formula"] == "net_added_over_demolished"

    def at(unknown: int) -> Ratio:
        area = demolished.known + unknown
        return added.known - (area if net else 0), area

    ends = [at(0), at(demolished.most)]
    return share(
        rule,
        ends[0],
        ends,
        (len(demolished.terms), demolished.n_known),
        (added.less(demolished, "net added") if net else added, demolished),
        at_most=True,
        sums=[added, demolished],
        reason=None if demolished.terms else "nothing is demolished",
    )


def _extension(before: sa.Row[Any], after: sa.Row[Any] | None, one: Intervention) -> int:
    """Return what an extension adds in the scope, in square centimetres."""
    if after is None or before.gfa is None or after.gfa is None:
        added: float = one.params["added_floor_area"]
        return round(added * SQUARE_CENTIMETRES)
    return cast("int", after.gfa - before.gfa)


def rehousing(rule: Rule, case: Case) -> Check:
    """Check R3: households rehoused on the site or nearby ÷ households displaced."""
    displaced_terms, rehoused_terms = [], []
    for row, one in case.acted(rule.limit["actions"]):
        if not row.counted:
            continue
        displaced = one.params.get("displaced_households", row.households)
        most = row.households_most if displaced is None else displaced
        rehoused = one.params.get("rehoused_households", 0 if displaced == 0 else None)
        if displaced is not None and (rehoused or 0) > displaced:
            raise InvalidData(
                f"proposal: {one.id!r} rehouses {rehoused} of {displaced} households; displaced_households may say more"
            )
        most = max(most, rehoused or 0)
        displaced_terms.append(Term("building", row.code, row.leaf, displaced, most))
        rehoused_terms.append(Term("building", row.code, row.leaf, rehoused, most))
    gone = Sum("households displaced", "{household}", tuple(displaced_terms))
    back = Sum("households rehoused", "{household}", tuple(rehoused_terms))
    pairs = list(zip(gone.terms, back.terms, strict=True))
    # Least where all that may leave does and none returns; most where nobody else leaves, and all that may return do.
    low = back.known, sum(d.most if d.amount is None else d.amount for d, _ in pairs)
    high = (
        sum(r.most if r.amount is None else r.amount for _, r in pairs),
        sum((r.most if r.amount is None else r.amount) if d.amount is None else d.amount for d, r in pairs),
    )
    value = back.known * PERCENT, gone.known
    known = sum(d.amount is not None and r.amount is not None for d, r in pairs)
    return share(
        rule,
        value,
        [(low[0] * PERCENT, low[1]), (high[0] * PERCENT, high[1])],
        (len(pairs), known),
        (back, gone),
        at_most=False,
        sums=[back, gone],
        reason=None if pairs else "nobody is displaced",
    )


def rent(rule: Rule, case: Case) -> Check:
    """Check R4: growth of rent over a year."""
    given = case.facts.get("rent")
    if given is None:
        return Check(NOT_ASSESSED, limit=number(exact(rule.limit["max"])), reason="facts.rent is not given")
    previous, current = exact(given["previous"]), exact(given["current"])
    if previous == 0:
        return Check(UNDEFINED, limit=number(exact(rule.limit["max"])), reason="there was no rent a year before")
    growth = (current - previous) / previous * PERCENT
    value = growth.numerator, growth.denominator
    before = Sum.fact("rent.previous", previous, "1")
    grown = Sum.fact("rent.current", current, "1").less(before, "growth of rent")
    return share(rule, value, [value], (1, 1), (grown, before), at_most=True)


def consent(rule: Rule, case: Case) -> Check:
    """Check R15: turnout and approval, each by head and by area; the tightest of the four is the value."""
    given = case.facts.get("consent")
    if given is None:
        return Check(NOT_ASSESSED, reason="facts.consent is not given")
    votes = []
    for whose, among, limit in (("participating", "all", "participating"), ("in_favour", "participating", "in_favour")):
        for kind, unit in (("owners", "{owner}"), ("area", "m2")):
            scale = SQUARE_CENTIMETRES if unit == "m2" else 1
            ratio = round(given[whose][kind] * scale), round(given[among][kind] * scale)
            if ratio[0] > ratio[1]:
                raise InvalidData(f"facts.consent: {kind} of {whose} is more than of {among}")
            bar = exact(rule.limit[limit])
            parts = [
                Sum.fact(f"consent.{who}.{kind}", Fraction(part, scale), unit)
                for who, part in zip((whose, among), ratio, strict=True)
            ]
            votes.append((ratio, bar, f"{whose} {kind}", parts))
    if any(den == 0 for (_, den), *_ in votes):
        return Check(UNDEFINED, reason="there are no owners, or nobody took part")
    judged: list[dict[str, Any]] = [
        {
            "vote": name,
            "value": indicator.ratio(rule.unit, ratio, [ratio], n=1, n_known=1),
            "limit": number(bar),
            "margin": margin(ratio, bar, at_most=False),
            "status": verdict([ratio], bar, at_most=False),
        }
        for ratio, bar, name, _ in votes
    ]
    (*_, of), tightest = min(zip(votes, judged, strict=True), key=lambda pair: Fraction(*pair[0][0]) - pair[0][1])
    failed = [one for one in judged if one["status"] == FAIL]
    return Check(
        FAIL if failed else PASS,
        value=tightest["value"],
        limit=tightest["limit"],
        margin=tightest["margin"],
        offenders=failed,
        extra={"votes": judged},
        why=[opened(rule, "/value", *of)]
        + [
            opened(rule, step(f"/{part}", name), *parts)
            for part in ("votes", "offenders")
            for _, _, name, parts in votes
        ],
    )


def parking(rule: Rule, case: Case) -> Check:
    """Check R12: spaces ÷ the demand of dwellings and floor area."""
    after = list(case.after.values())
    homes = stock.dwellings("dwellings", after)
    per_dwelling = exact(rule.limit["per_dwelling"])
    weighed, sums = [(per_dwelling, homes)], [homes]
    for usage, ratio in sorted(rule.limit["per_100_m2"].items()):
        area = stock.floor_area(f"gross_floor_area of {usage}", [row for row in after if row.usage == usage])
        each = exact(ratio) / (100 * SQUARE_CENTIMETRES)
        weighed.append((each, area))
        sums.append(area)
    demand = Sum.weighted("demand", "{space}", *weighed)
    demand_known, demand_most = (Fraction(amount, demand.per_unit) for amount in (demand.known, demand.most))
    spaces = _spaces(case, rule.limit["unknown_capacity_max"])

    def at(supply: int, demand: Fraction) -> Ratio:
        return supply * demand.denominator, demand.numerator

    known = all(one.n_known == len(one.terms) for one in (*sums, spaces))
    return share(
        rule,
        at(spaces.known, demand_known),
        [at(spaces.known, demand_known + demand_most), at(spaces.known + spaces.most, demand_known)],
        (1, int(known)),
        (spaces, demand),
        at_most=False,
        sums=[spaces, *sums],
        extra={"demand": number(demand_known)},
    )


def _spaces(case: Case, most: int) -> Sum:
    """Return the parking spaces of the scope: those of its parking facilities, and those the proposal adds."""
    terms = [
        Term("facility", row.code, row.leaf, row.capacity, most, of="capacity") for row in case.read.rows("parking")
    ]
    ones = [] if case.made is None else case.made.proposal.interventions
    terms += [
        Term("intervention", one.id, None, one.params["parking_spaces"])
        for one in ones
        if "parking_spaces" in one.params
    ]
    return Sum("parking spaces", "{space}", tuple(terms))


def facilities(rule: Rule, case: Case) -> Check:
    """Check R13: floor area of public facilities per head."""
    after = list(case.after.values())
    homes = stock.households("households", after)
    usage = set(rule.limit["usage"])
    area = stock.floor_area("gross_floor_area of public facilities", [row for row in after if row.usage in usage])
    per = exact(rule.limit["persons_per_household"])

    def at(floor: int, people: int) -> Ratio:
        persons = per * people * SQUARE_CENTIMETRES
        return floor * persons.denominator, persons.numerator

    known = all(one.n_known == len(one.terms) for one in (homes, area))
    return share(
        rule,
        at(area.known, homes.known),
        [at(area.known, homes.known + homes.most), at(area.known + area.most, homes.known)],
        (1, int(known)),
        (area, Sum.weighted("persons", "{person}", (per, homes))),
        at_most=False,
        sums=[area, homes],
        extra={"facility_area": shown(area.known, "m2")},
    )
