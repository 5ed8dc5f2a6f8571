"""What stands against laying a recorded proposal over a newer state: targets that changed, and rules that now fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import shapely
import sqlalchemy as sa

from cim.db.engine import Database
from cim.scenarios._proposal import targets
from cim.scenarios._recorded import Recorded
from cim.scenarios._seal import assess
from cim.scenarios._state import State, plain_state, snapshot
from cim.scenarios.check_constraints import CheckConstraints

PASSED, FAILED = "pass", "fail"


def moved(recorded: Recorded, base: State, onto: State) -> list[dict[str, Any]]:
    """Return a conflict for each target that is another in the newer state, by type and code.

    Each is `{kind: "object", type, code, leaf, now, fields}`: `leaf` it was on, `now` it is on (None: gone), and the
    names of what differs.
    """
    before, after = _targets(recorded, base), _targets(recorded, onto)
    return [
        {
            "kind": "object",
            "type": kind,
            "code": code,
            "leaf": was.leaf,
            "now": after[kind, code].leaf if (kind, code) in after else None,
            "fields": sorted(differing(was.object, after[kind, code].object)) if (kind, code) in after else [],
        }
        for (kind, code), was in sorted(before.items())
        if (kind, code) not in after or after[kind, code].leaf != was.leaf
    ]


def broken(database: Database, recorded: Recorded, onto: int, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a conflict for each rule that the proposal passed on its base, and fails at a newer tree size.

    Each is `{kind: "rule", rule, clause, value, limit, margin, now}`. `inputs` are more of `check-constraints`'s. The
    land is the proposal's scope, or the parcels it touches on its base; without either nothing is checked.
    """
    scope = inputs.get("scope") or recorded.record["scope"] or _parcels(database, recorded)
    if not scope:
        return []
    told = ("rule", "clause", "value", "limit", "margin")
    entries = []
    for size in (recorded.base, onto):
        asked = {**inputs, "scope": scope, "proposal": recorded.document, "as_of": size}
        entries.append(assess(database, CheckConstraints.from_inputs(asked))["result"]["rules"])
    return [
        {"kind": "rule", "now": onto, **{name: now[name] for name in told}}
        for was, now in zip(*entries, strict=True)
        if was["status"] == PASSED and now["status"] == FAILED
    ]


def differing(was: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    """Return what differs between two rows, by name: what was, and what is; geometry as WKT, whole numbers as such."""
    old, new = was or {}, now or {}
    found = {}
    for name in sorted((old.keys() | new.keys()) - {"code", "rev"}):
        pair = [old.get(name), new.get(name)]
        if pair[0] != pair[1]:
            found[name] = [shapely.from_wkb(value).wkt if name == "geom" and value else _whole(value) for value in pair]
    return found


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _targets(recorded: Recorded, state: State) -> dict[tuple[str, str], sa.Row[Any]]:
    """Return the objects that a proposal acts on, by type and code, as they are in a state."""
    named = targets(recorded.document)
    rows = state.rows("targets", buildings=named.get("building", []), parcels=named.get("parcel", []))
    return {(row.type, row.code): row for row in rows}


def _parcels(database: Database, recorded: Recorded) -> list[str]:
    """Return the codes of the parcels that a proposal touches on its base."""
    with snapshot(database) as connection:
        found = _targets(recorded, plain_state(connection, database, recorded.base))
    codes = {code if kind == "parcel" else row.object["parcel_code"] for (kind, code), row in found.items()}
    return sorted(code for code in codes if code is not None)
