"""Constraints on parcels and buildings: floor area ratio, height, density, green, heritage, access.

With a proposal they judge what it touches: the parcels it acts on and the buildings it changes; without one, all of
the scope. Each offender carries its own value, limit and status. Nothing is presumed: where no zone in force states a
limit, the object is not assessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from cim.scenarios import _indicator as indicator
from cim.scenarios._constraints import FAIL, NOT_ASSESSED, PASS, Case, Check, exact, margin, number, opened, verdict
from cim.scenarios._indicator import Indicator, Ratio, half_even, step
from cim.scenarios._rules import Rule
from cim.scenarios._stock import stock_parameters
from cim.scenarios._why import Opened, Sum, Term

MILLIMETRES = 1000


class Judged:
    """One object held to its own limit: its value, the ends of that, and the limit, None where nothing states one."""

    def __init__(self, kind: str, row: Any, value: Indicator, ratio: Ratio, ends: Sequence[Ratio], **more: Any) -> None:
        self.kind, self.row, self.value, self.ratio, self.ends, self.more = kind, row, value, ratio, ends, more

    def against(self, limit: Fraction | None, *, at_most: bool) -> dict[str, Any]:
        """Return the object's line of the report."""
        line = {"type": self.kind, "code": self.row.code, "leaf": self.row.leaf, "value": self.value, **self.more}
        if limit is None:
            return line | {
                "limit": None,
                "margin": None,
                "status": NOT_ASSESSED,
                "reason": "no zone in force limits it",
            }
        return line | {
            "limit": number(limit),
            "margin": margin(self.ratio, limit, at_most=at_most),
            "status": verdict(self.ends, limit, at_most=at_most),
        }


def _collect(
    rule: Rule,
    lines: Sequence[Mapping[str, Any]],
    sums: Sequence[Sum],
    nothing: str,
    of: Mapping[str, tuple[Sum, Sum | None]],
) -> Check:
    """Return the check of many objects: it fails where one fails, and passes where all pass.

    `of` opens the value of each object, by its code, as far as somebody asks.
    """
    statuses = {line["status"] for line in lines}
    assessed = [line for line in lines if line["margin"] is not None]
    tightest = min(assessed, key=lambda line: (line["margin"], line["code"]), default=None)
    status = FAIL if FAIL in statuses else NOT_ASSESSED if statuses != {PASS} else PASS
    open_ones = sum(line["status"] == NOT_ASSESSED for line in lines)
    return Check(
        status,
        value=tightest["value"] if tightest else None,
        limit=tightest["limit"] if tightest else None,
        margin=tightest["margin"] if tightest else None,
        reason=nothing if not lines else f"{open_ones} of {len(lines)} cannot be judged" if open_ones else None,
        offenders=[line for line in lines if line["status"] != PASS],
        sums=sums,
        extra={"judged": len(lines), "tightest": tightest["code"] if tightest else None},
        why=[opened(rule, at, *of[code]) for at, code in _places(tightest, of)],
    )


def _places(tightest: Mapping[str, Any] | None, codes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield where the values of objects stand in the outcome of a rule; the tightest is that of the rule as well."""
    for code in codes:
        yield f"{step('/offenders', code)}/value", code
        if tightest is not None and tightest["code"] == code:
            yield "/value", code


def _parcels(case: Case) -> Sequence[sa.Row[Any]]:
    """Return the parcels that the proposal touches, as they will be; all of the scope without one."""
    zones = case.state.pack.limit("zone_of_parcel")
    touched, greens = _touched(case)
    return case.read.rows(
        "check_constraints",
        **stock_parameters(case.state.pack),
        parcels=touched,
        greens=greens,
        zone_kinds=zones["zone_kind"],
        overlap_percent=zones["overlap_percent"],
        reach=_reach(case),
        explain=case.explain,
    )


def _reach(case: Case) -> int:
    """Return how far beyond the scope is read, in metres."""
    return int(case.state.pack.limit("zone_of_parcel")["reach_m"])


def _touched(case: Case) -> tuple[list[str] | None, list[str]]:
    """Return the codes of the parcels that the proposal acts on or builds on, and those of its new green spaces."""
    if case.made is None:
        return None, []
    acting = {code for code, ones in case.made.on.items() if any(one.action != "keep" for one in ones)}
    rows = [stock[code] for stock in (case.before, case.after) for code in acting if code in stock]
    rows += [case.after[code] for kind, code in case.made.new if kind == "building" and code in case.after]
    built_on = {one.target for (_, _), one in case.made.new.items() if one.action != "rebuild"}
    parcels = built_on | {row.parcel_code for row in rows if row.parcel_code is not None}
    return sorted(parcels), sorted(code for kind, code in case.made.new if kind == "green_space")


def _on_parcels(rule: Rule, case: Case, column: str, counts: tuple[str, str], title: str, *, at_most: bool) -> Check:
    """Check a share of the land of each parcel against the column of its zone that `limit` names."""
    lines, terms, land = [], [], []
    of: dict[str, tuple[Sum, Sum | None]] = {}
    for row in _parcels(case):
        if not row.within:
            lines.append(_beyond(row))
            continue
        known, most = getattr(row, column), getattr(row, f"{column}_most")
        ratio, ends = (known, row.land), [(known, row.land), (known + most, row.land)]
        n, n_known = (getattr(row, name) for name in counts)
        value = indicator.ratio(rule.unit, ratio, ends, n=n, n_known=n_known)
        cap = getattr(row, rule.limit)
        judged = Judged("parcel", row, value, ratio, ends, zones=list(row.zones))
        lines.append(judged.against(None if cap is None else exact(cap), at_most=at_most))
        # What is known of a parcel in part still leaves its sum unknown.
        terms.append(Term("parcel", row.code, row.leaf, known if n == n_known else None, known + most))
        land.append(Term("parcel", row.code, row.leaf, row.land))
        if case.explain:
            lot = Sum("land of the parcel", "m2", (land[-1],))
            of[row.code] = Sum(title, "m2", tuple(_on_it(case, row, column))), lot
    sums = [Sum(title, "m2", tuple(terms)), Sum("land of the parcel", "m2", tuple(land))]
    return _collect(rule, lines, sums, "no parcel is touched", of)


def _on_it(case: Case, row: sa.Row[Any], column: str) -> Iterator[Term]:
    """Yield what each object on a parcel adds to a sum of it."""
    if column == "green":
        for code, leaf, counts, area in row.planted or ():
            known = area if counts else 0 if counts is False else None
            yield Term("green_space", code, leaf, known, area, of="counts_as_green")
        return
    footprint_most = stock_parameters(case.state.pack)["footprint_max"]
    for code, leaf, footprint, gfa, gfa_most in row.stock or ():
        if column == "footprint":
            yield Term("building", code, leaf, footprint, footprint_most, of="footprint_area")
        else:
            yield Term("building", code, leaf, gfa, gfa_most, of="gross_floor_area")


def _beyond(row: sa.Row[Any]) -> dict[str, Any]:
    """Return the line of a parcel that reaches beyond what is read: nobody can tell what else is on it."""
    open_ends = {"value": None, "limit": None, "margin": None, "status": NOT_ASSESSED}
    reason = "the parcel reaches beyond the scope; widen the scope"
    return {"type": "parcel", "code": row.code, "leaf": row.leaf, **open_ends, "reason": reason}


def floor_area_ratio(rule: Rule, case: Case) -> Check:
    """Check R5: floor area ratio of each parcel; and tell what plans leave of floor area, over all of them."""
    counts = ("buildings", "gfa_known")
    check = _on_parcels(rule, case, "gfa", counts, "gross_floor_area on the parcel", at_most=True)
    left = Sum("floor area left", "m2", tuple(_left(rule, row) for row in _limited(rule, case)))
    why = Opened("/capacity_left", "Σ of the parcels: max(0, far_cap × land - Σ gfa)", [rule], left)
    return replace(check, extra={**check.extra, "capacity_left": left.indicator()}, why=[*check.why, why])


def _limited(rule: Rule, case: Case) -> Iterator[sa.Row[Any]]:
    """Yield the parcels that a zone in force limits, and of which all is read."""
    return (row for row in _parcels(case) if row.within and getattr(row, rule.limit) is not None)


def _left(rule: Rule, row: sa.Row[Any]) -> Term:
    """Return what a parcel may still take, in square centimetres: the least where all that is unknown stands there."""
    cap = exact(getattr(row, rule.limit)) * row.land
    allowed = half_even(cap.numerator, cap.denominator)
    most, least = (max(0, allowed - built) for built in (row.gfa, row.gfa + row.gfa_most))
    return Term("parcel", row.code, row.leaf, most if most == least else None, most, least=least)


def density(rule: Rule, case: Case) -> Check:
    """Check R7: building density of each parcel."""
    counts = ("buildings", "footprint_known")
    return _on_parcels(rule, case, "footprint", counts, "footprint on the parcel", at_most=True)


def green(rule: Rule, case: Case) -> Check:
    """Check R8: green ratio of each parcel."""
    counts = ("greens", "greens_known")
    return _on_parcels(rule, case, "green", counts, "counted green land on the parcel", at_most=False)


def height(rule: Rule, case: Case) -> Check:
    """Check R6: height of each building against the lowest cap of the zones it stands in."""
    return _heights(rule, case, rule.limit["zone_kind"], unlimited=True)


def _heights(rule: Rule, case: Case, kinds: Sequence[str], *, unlimited: bool) -> Check:
    """Check heights; `unlimited` counts buildings that no zone limits as not assessed, else they are passed over."""
    caps: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    codes = _raised(case)
    for zone in case.read.rows("building_zones", codes=codes, zone_kinds=list(kinds), reach=_reach(case)):
        if zone.height_cap is not None:
            caps[zone.code].append((zone.height_cap, zone.zone))
    lines, terms = [], []
    for code in codes:
        row = case.after[code]
        if not (caps[code] or unlimited):
            continue
        low, high = _height_bounds(case, row)
        known = row.height if row.height is not None else low
        ratio, ends = (known, MILLIMETRES), [(low, MILLIMETRES), (high, MILLIMETRES)]
        value = indicator.ratio("m", ratio, ends, n=1, n_known=int(row.height is not None))
        limit = Fraction(min(caps[code])[0], MILLIMETRES) if caps[code] else None
        judged = Judged("building", row, value, ratio, ends, zones=sorted(zone for _, zone in caps[code]))
        lines.append(judged.against(limit, at_most=True))
        terms.append(Term("building", code, row.leaf, row.height, high, of="height", least=low))
    of: dict[str, tuple[Sum, Sum | None]] = {term.code: (Sum("height", "m", (term,)), None) for term in terms}
    return _collect(rule, lines, [Sum("height", "m", tuple(terms))], "no building is built or raised", of)


def _raised(case: Case) -> list[str]:
    """Return the codes of the buildings that the proposal builds or changes in shape; all without a proposal."""
    if case.made is None:
        return sorted(case.after)
    shaped = {code for code, ones in case.made.on.items() if any(one.action == "extend" for one in ones)}
    shaped |= {code for kind, code in case.made.new if kind == "building"}
    return sorted(shaped & case.after.keys())


def _height_bounds(case: Case, row: sa.Row[Any]) -> tuple[int, int]:
    """Return the least and the greatest height of a building, in millimetres."""
    if row.height is not None:
        return row.height, row.height
    unknown = case.state.pack.limit("unknown_height")
    if row.storeys_above is None:
        return 0, int(unknown["height_max_mm"])
    return row.storeys_above * unknown["storey_height_min_mm"], row.storeys_above * unknown["storey_height_max_mm"]


def heritage(rule: Rule, case: Case) -> Check:
    """Check R9: what is done in heritage zones and to protected buildings, and heights in control zones."""
    limit = rule.limit
    done = (
        []
        if case.made is None
        else [
            (case.before[code], one)
            for code, ones in sorted(case.made.on.items())
            if code in case.before
            for one in ones
        ]
    )
    done += case.added()
    core: defaultdict[str, list[str]] = defaultdict(list)
    codes = sorted({row.code for row, _ in done})
    for zone in case.read.rows("building_zones", codes=codes, zone_kinds=limit["core_kind"], reach=_reach(case)):
        core[zone.code].append(zone.zone)
    lines: list[dict[str, Any]] = []
    for row, one in done:
        status, reason = PASS, None
        if core[row.code] and one.action not in limit["core_actions"]:
            status, reason = FAIL, f"{one.action} in a heritage core zone"
        elif one.action in limit["demolishing"] and row.code == one.target:
            missing = "none" if limit["missing_heritage"] == "none" else None
            listed = row.heritage or missing
            if listed is None:
                status, reason = NOT_ASSESSED, "nobody has said whether it is protected"
            elif listed in limit["never_demolished"]:
                status, reason = FAIL, f"{one.action} of a building that is {listed}"
        if status != PASS:
            lines.append(
                {
                    "type": "building",
                    "code": row.code,
                    "leaf": row.leaf,
                    "intervention": one.id,
                    "zones": core[row.code],
                    "status": status,
                    "reason": reason,
                }
            )
    heights = _heights(rule, case, limit["control_kind"], unlimited=False)
    lines += [dict(line) for line in heights.offenders]
    statuses = {line["status"] for line in lines}
    failed = sum(line["status"] == FAIL for line in lines)
    unknown = [
        {"type": line["type"], "code": line["code"], "leaf": line["leaf"], "of": "heritage"}
        for line in lines
        if line["status"] == NOT_ASSESSED and "intervention" in line
    ]
    n = len(done) + heights.extra["judged"]
    offences = (
        Term(line["type"], line["code"], line["leaf"], 1 if line["status"] == FAIL else None, 1) for line in lines
    )
    return Check(
        FAIL if FAIL in statuses else NOT_ASSESSED if statuses else PASS,
        value=indicator.count("{offence}", failed, len(lines) - failed, n=n, n_known=n - len(unknown)),
        limit=0,
        margin=-failed,
        reason=f"{len(unknown)} buildings of unknown protection" if unknown else None,
        offenders=lines,
        sums=heights.sums,
        unknown=[*unknown, *heights.unknowns()],
        why=[
            opened(rule, "/value", Sum("offences", "{offence}", tuple(offences))),
            *(one for one in heights.why if one.at != "/value"),
        ],
    )


def access(rule: Rule, case: Case) -> Check:
    """Check R14: the widest road that each parcel touches."""
    roads = case.state.pack.limit("existing_road")
    rows = case.read.rows(
        "parcel_access",
        parcels=_touched(case)[0],
        tolerance=rule.limit["tolerance_m"],
        unknown_width=rule.limit["unknown_width_max_m"],
        road_status=roads["status"],
        road_missing=roads["missing"],
        reach=_reach(case),
        explain=case.explain,
    )
    limit = exact(rule.limit["min"])
    lines, terms = [], []
    of: dict[str, tuple[Sum, Sum | None]] = {}
    for row in rows:
        if not row.within:
            lines.append(_beyond(row))
            continue
        known = row.width or 0
        high = max(known, rule.limit["unknown_width_max_m"] * MILLIMETRES) if row.unknown else known
        ratio, ends = (known, MILLIMETRES), [(known, MILLIMETRES), (high, MILLIMETRES)]
        value = indicator.ratio("m", ratio, ends, n=1, n_known=int(not row.unknown))
        lines.append(Judged("parcel", row, value, ratio, ends).against(limit, at_most=False))
        terms.append(Term("parcel", row.code, row.leaf, None if row.unknown else known, high, of="width", least=known))
        if case.explain:
            widest = terms[-1]
            if row.widest and not row.unknown:
                widest = Term("road", row.widest[0], row.widest[1], known)
            of[row.code] = Sum("width of the widest road", "m", (widest,)), None
    return _collect(rule, lines, [Sum("width of the widest road", "m", tuple(terms))], "no parcel is touched", of)
