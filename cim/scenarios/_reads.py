"""What a scenario read: every object that could have entered its result, by the leaf that holds its state.

Read are the objects of the types it names that meet its land, or lie within its reach of it; those without geometry
that name a parcel or building which is read; the targets of a proposal; and the record of the land itself. Whatever
is added to, changed in or taken from that set makes an assessment stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from cim.db.engine import Database
from cim.db.spatial import from_wkb, postgis
from cim.scenarios._state import Scope, State

if TYPE_CHECKING:  # the base of all scenarios seals with this
    from cim.scenarios._base import Scenario

# Parents before children: what has no geometry stands where the parent lies that it names, by column and type.
PARENTS: Mapping[str, tuple[str, str] | None] = {
    "parcel": None,
    "building": ("parcel_code", "parcel"),
    "unit": ("building_code", "building"),
}
RECORDED = ("renewal_district", "division")  # land that has a record of its own
_REVISION = sa.table("revision", *map(sa.column, ("id", "type", "code", "rev")), schema="cim")
_LEAF = sa.table("leaf", *map(sa.column, ("idx", "prev", "revision_id")), schema="cim")


@dataclass(frozen=True, slots=True)
class Reading:
    """Feature types that are read, on which land, how far beyond it, in metres by type, and which by their codes."""

    types: Sequence[str]
    scope: Scope
    reach: Mapping[str, int]
    named: Mapping[str, Sequence[str]]


def reading(scenario: Scenario, state: State) -> Reading:
    """Return what a scenario reads in a state."""
    reach: dict[str, int] = {}
    for pack in filter(None, (state.pack, state.compared)):
        reach |= {name: max(metres, reach.get(name, 0)) for name, metres in scenario.reach(pack).items()}
    return Reading(sorted(scenario.reads), state.scope, reach, scenario.named())


def seal_reading(state: State, read: Reading) -> dict[str, Any]:
    """Return the read set as a seal holds it: `objects`, `sha256`, and `leaves` as runs `[first, last]`."""
    found = _objects(state.database, read, state.size, "read")
    line = sa.func.concat(found.c.type, " ", found.c.code, " ", found.c.idx, "\n")
    ordered = aggregate_order_by(sa.literal(""), found.c.type.collate("C"), found.c.code.collate("C"))
    lines = sa.func.coalesce(sa.func.string_agg(line, ordered), "")
    row = state.connection.execute(
        sa.select(
            sa.func.count().label("objects"),
            sa.func.encode(sa.func.sha256(sa.func.convert_to(lines, "UTF8")), "hex").label("sha256"),
            sa.func.array_agg(found.c.idx).label("leaves"),
        )
    ).one()
    return {"objects": row.objects, "sha256": row.sha256, "leaves": runs(sorted(row.leaves or []))}


def runs(indexes: Iterable[int]) -> list[list[int]]:
    """Return ascending integers as runs of neighbours, `[first, last]` each."""
    found: list[list[int]] = []
    for index in indexes:
        if found and index <= found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found


def changes(database: Database, connection: sa.Connection, read: Reading, then: int, now: int) -> list[dict[str, Any]]:
    """Return what became of a read set between two tree sizes, by type and code.

    Each is `{type, code, change, leaf, superseded_by}`: `superseded` (its record changed, and it is still read),
    `gone` (deleted, or moved away), `new` (it was not read then). `leaf` is the one that was read, None for a new
    object; `superseded_by` the object's leaf at `now`.
    """
    before, after = _objects(database, read, then, "before"), _objects(database, read, now, "after")
    same = sa.and_(before.c.type == after.c.type, before.c.code == after.c.code)
    kind, code = (sa.func.coalesce(before.c[name], after.c[name]) for name in ("type", "code"))
    latest = (
        sa.select(sa.func.max(_LEAF.c.idx))
        .join_from(_REVISION, _LEAF, _LEAF.c.revision_id == _REVISION.c.id)
        .where(_REVISION.c.type == kind, _REVISION.c.code == code, _LEAF.c.idx < now)
        .scalar_subquery()
        .label("latest")
    )
    statement = (
        sa.select(kind.label("type"), code.label("code"), before.c.idx.label("leaf"), after.c.idx.label("now"), latest)
        .select_from(before.join(after, same, full=True))
        .where(before.c.idx.is_distinct_from(after.c.idx))
        .order_by(kind.collate("C"), code.collate("C"))
    )
    return [
        {
            "type": found.type,
            "code": found.code,
            "change": "new" if found.leaf is None else "gone" if found.now is None else "superseded",
            "leaf": found.leaf,
            "superseded_by": found.latest,
        }
        for found in connection.execute(statement)
    ]


def _objects(database: Database, read: Reading, size: int | None, name: str) -> sa.CTE:
    """Return type, code and leaf index of every object read at a tree size; None reads the live tables."""
    land = from_wkb(sa.literal(read.scope.wkb), database.settings.srid)
    own = read.scope.type if read.scope.type in RECORDED else None
    by_type: dict[str, sa.CTE] = {}
    for type_name in [*PARENTS, *sorted({*read.types, *read.named, *filter(None, [own])} - PARENTS.keys())]:
        source = _source(database, type_name, size)
        columns = sa.literal(type_name, sa.Text).label("type"), source.c.code, source.c.rev
        # As-of functions forget in which order codes are; no index on them serves without it.
        code = source.c.code.collate("C")
        found = []
        if type_name in read.types:
            metres = read.reach.get(type_name, 0)
            relation = ("ST_DWithin", metres) if metres else ("ST_Intersects",)
            near = postgis(relation[0], source.c.geom, land, *relation[1:], type_=sa.Boolean())
            found.append(sa.select(*columns).where(near))
            reference, parent = PARENTS.get(type_name) or ("", "")
            if parent in by_type:
                of = by_type[parent]
                child = sa.select(*columns).join_from(of, source, source.c[reference] == of.c.code)
                found.append(child.where(source.c.geom.is_(None)))
        if read.named.get(type_name):
            found.append(sa.select(*columns).where(code.in_(read.named[type_name])))
        if type_name == own:
            found.append(sa.select(*columns).where(code.in_(read.scope.codes)))
        if found:
            # MATERIALIZED: beside the stated cost of ST_Intersects the planner takes a good and a bad join for equals.
            by_type[type_name] = sa.union(*found).cte(f"{name}_{type_name}").prefix_with("MATERIALIZED")
    objects = sa.union_all(*(sa.select(each) for each in by_type.values())).subquery()
    of_object = (_REVISION.c[column] == objects.c[column] for column in ("type", "code", "rev"))
    return (
        sa.select(objects.c.type, objects.c.code, _LEAF.c.idx)
        .join(_REVISION, sa.and_(*of_object))
        .join(_LEAF, _LEAF.c.revision_id == _REVISION.c.id)
        .cte(name)
    )


def _source(database: Database, type_name: str, size: int | None) -> Any:
    columns = [sa.column(c.name, c.type) for c in database.table(type_name).columns]
    function = getattr(sa.func.city, f"{type_name}_at")
    return function(sa.cast(sa.literal(size), sa.BigInteger)).table_valued(*columns).alias(type_name)
