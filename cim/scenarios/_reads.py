"""What a scenario read: every object that could have entered its result, by the leaf that holds its state.

Read are the objects of the types it names that meet its land, or lie within its reach of it; those without geometry
that name a parcel or building which is read; the targets of a proposal; and the record of the land itself. Whatever
is added to, changed in or taken from that set makes an assessment stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by

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
PARCEL_OF = {"parcel": "code", "building": "parcel_code"}  # what is kept added up by parcel, and what names that
_REVISION = sa.table("revision", *map(sa.column, ("id", "type", "code", "rev")), schema="cim")
_LEAF = sa.table("leaf", *map(sa.column, ("idx", "prev", "revision_id")), schema="cim")


@dataclass(frozen=True, slots=True)
class Reading:
    """Feature types that are read, on which land, how far beyond it, in metres by type, and which by their codes."""

    types: Sequence[str]
    scope: Scope
    reach: Mapping[str, int]
    named: Mapping[str, Sequence[str]]

    @property
    def own(self) -> str | None:
        """The type of the land's own record, if it has one."""
        return self.scope.type if self.scope.type in RECORDED else None

    def given(self, name: str, size: int | None, since: int | None = None) -> dict[str, Any]:
        """Return the parameters of `_objects`."""
        return {
            f"{name}_size": size,
            f"{name}_since": since,
            "land": self.scope.wkb,
            "own": list(self.scope.codes),
            **{f"reach_{type_name}": metres for type_name, metres in self.reach.items() if metres},
            **{f"named_{type_name}": list(codes) for type_name, codes in self.named.items() if codes},
        }


@dataclass(frozen=True, slots=True)
class _Shape:
    """What of a reading makes its query another one: types read, read beyond the land, named, and of the land."""

    types: frozenset[str]
    reaching: frozenset[str]
    named: frozenset[str]
    own: str | None

    @classmethod
    def of(cls, read: Reading) -> _Shape:
        reaching, named = (frozenset(name for name, far in by.items() if far) for by in (read.reach, read.named))
        return cls(frozenset(read.types), reaching & frozenset(read.types), named, read.own)


def reading(scenario: Scenario, state: State) -> Reading:
    """Return what a scenario reads in a state."""
    reach: dict[str, int] = {}
    for pack in filter(None, (state.pack, state.compared)):
        reach |= {name: max(metres, reach.get(name, 0)) for name, metres in scenario.reach(pack).items()}
    return Reading(sorted(scenario.types_read(state.pack)), state.scope, reach, scenario.named())


def seal_reading(state: State, read: Reading) -> dict[str, Any]:
    """Return the read set as a seal holds it: `objects`, `sha256`, and `leaves` as runs `[first, last]`."""
    statement = _sealing(state.database, _Shape.of(read), state.live, state.unwritten_since != 0)
    row = state.connection.execute(statement, read.given("read", state.size, state.unwritten_since)).one()
    return {"objects": row.objects, "sha256": row.sha256, "leaves": row.leaves}


# Making a statement takes longer than a small district takes to read.
@lru_cache(maxsize=64)
def _sealing(database: Database, shape: _Shape, live: bool, kept: bool) -> sa.Select[Any]:
    found = _objects(database, shape, "read", live=live, use_kept=kept)
    # One key is sorted in half the time of two, in the same order: the space stands before all that types are made of.
    named = sa.select((found.c.type + " " + found.c.code).collate("C").label("name"), found.c.idx).subquery("named")
    line = named.c.name + " " + sa.cast(named.c.idx, sa.Text) + "\n"
    lines = sa.func.coalesce(sa.func.string_agg(line, aggregate_order_by(sa.literal(""), named.c.name)), "")
    # Neighbours are as far from their places in order as each other: what is left are the runs.
    placed = sa.select(
        found.c.idx, (found.c.idx - sa.func.row_number().over(order_by=found.c.idx)).label("run")
    ).subquery("placed")
    first, last = sa.func.min(placed.c.idx).label("first"), sa.func.max(placed.c.idx).label("last")
    run = sa.select(first, last).group_by(placed.c.run).subquery("run")
    first_last = sa.func.jsonb_build_array(run.c.first, run.c.last)
    runs = sa.func.jsonb_agg(aggregate_order_by(first_last, run.c.first), type_=JSONB)
    return sa.select(
        sa.func.count().label("objects"),
        sa.func.encode(sa.func.sha256(sa.func.convert_to(lines, "UTF8")), "hex").label("sha256"),
        sa.select(sa.func.coalesce(runs, sa.literal_column("'[]'::jsonb"))).scalar_subquery().label("leaves"),
    ).select_from(named)


def changes(database: Database, connection: sa.Connection, read: Reading, then: int, now: int) -> list[dict[str, Any]]:
    """Return what became of a read set between two tree sizes, by type and code.

    Each is `{type, code, change, leaf, superseded_by}`: `superseded` (its record changed, and it is still read),
    `gone` (deleted, or moved away), `new` (it was not read then). `leaf` is the one that was read, None for a new
    object; `superseded_by` the object's leaf at `now`.
    """
    shape = _Shape.of(read)
    before, after = (_objects(database, shape, name, live=False, use_kept=False) for name in ("before", "after"))
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
        for found in connection.execute(statement, read.given("before", then) | read.given("after", now))
    ]


def _objects(database: Database, shape: _Shape, name: str, *, live: bool, use_kept: bool) -> sa.CTE:
    """Return type, code and leaf index of every object read: of the live tables, or at the tree size `<name>_size`.

    With `use_kept` those of parcels that are kept added up, and unwritten since `<name>_since`, are taken from there.
    """
    land = from_wkb(sa.bindparam("land", type_=sa.LargeBinary), database.settings.srid)
    size = sa.cast(sa.bindparam(f"{name}_size"), sa.BigInteger)
    whole = _whole_parcels(land, name)
    kept = _kept(whole, shape) if use_kept else {}
    by_type: dict[str, sa.CTE] = {}
    for type_name in [*PARENTS, *sorted({*shape.types, *shape.named, *filter(None, [shape.own])} - PARENTS.keys())]:
        columns = [sa.column(c.name, c.type) for c in database.table(type_name).columns]
        called = (
            getattr(sa.func.city, f"{type_name}_now")() if live else getattr(sa.func.city, f"{type_name}_logged")(size)
        )
        source = called.table_valued(*columns).alias(type_name)
        chosen = sa.select(sa.literal(type_name, sa.Text).label("type"), source.c.code, source.c.rev)
        if type_name in kept:
            parcel = source.c[PARCEL_OF[type_name]]
            chosen = chosen.where(sa.func.coalesce(parcel.not_in(sa.select(whole.c.code)), sa.true()))
        # As-of functions forget in which order codes are; no index on them serves without it.
        code = source.c.code.collate("C")
        found = []
        if type_name in shape.types:
            near = postgis("ST_Intersects", source.c.geom, land, type_=sa.Boolean())
            if type_name in shape.reaching:
                metres = sa.bindparam(f"reach_{type_name}", type_=sa.BigInteger)
                near = postgis("ST_DWithin", source.c.geom, land, metres, type_=sa.Boolean())
            found.append(chosen.where(near))
            reference, parent = PARENTS.get(type_name) or ("", "")
            # On a parcel that is kept added up stands no building without geometry.
            parents = [by[parent] for by in (by_type, {} if type_name in kept else kept) if parent in by]
            child = chosen.where(source.c.geom.is_(None))
            found += [child.join(of, source.c[reference] == of.c.code) for of in parents]
        if type_name in shape.named:
            found.append(chosen.where(code == sa.any_(sa.bindparam(f"named_{type_name}", type_=ARRAY(sa.Text)))))
        if type_name == shape.own:
            found.append(chosen.where(code == sa.any_(sa.bindparam("own", type_=ARRAY(sa.Text)))))
        if found:
            # MATERIALIZED: beside the stated cost of ST_Intersects the planner takes a good and a bad join for equals.
            by_type[type_name] = sa.union(*found).cte(f"{name}_{type_name}").prefix_with("MATERIALIZED")
    objects = sa.union_all(*(sa.select(each) for each in by_type.values())).subquery()
    of_object = (_REVISION.c[column] == objects.c[column] for column in ("type", "code", "rev"))
    looked_up = (
        sa.select(objects.c.type, objects.c.code, _LEAF.c.idx)
        .join(_REVISION, sa.and_(*of_object))
        .join(_LEAF, _LEAF.c.revision_id == _REVISION.c.id)
    )
    ready = [sa.select(sa.literal(type_name, sa.Text), k.c.code, k.c.leaf) for type_name, k in kept.items()]
    return sa.union_all(looked_up, *ready).cte(name)


def _whole_parcels(land: Any, name: str) -> sa.CTE:
    """Return the parcels that lie on the land with all their buildings, and are kept added up."""
    columns: list[sa.ColumnClause[Any]] = [
        sa.column("code", sa.Text),
        sa.column("leaf", sa.BigInteger),
        sa.column("building_codes", ARRAY(sa.Text)),
        sa.column("building_leaves", ARRAY(sa.BigInteger)),
    ]
    called = (
        sa.func.cim.whole_parcels(sa.cast(sa.bindparam(f"{name}_since"), sa.BigInteger), land)
        .table_valued(*columns)
        .alias("whole_parcel")
    )
    return sa.select(*called.c).cte(f"{name}_whole").prefix_with("MATERIALIZED")


def _kept(whole: sa.CTE, shape: _Shape) -> dict[str, sa.CTE]:
    """Return code and leaf of what need not be looked for, by type: whole parcels and what stands on them."""
    called = sa.func.unnest(whole.c.building_codes, whole.c.building_leaves)
    standing = called.table_valued("code", "leaf").render_derived()
    of_type = {
        "parcel": sa.select(whole.c.code, whole.c.leaf),
        "building": sa.select(standing.c.code, standing.c.leaf).join_from(whole, standing, sa.true()),
    }
    return {name: of_type[name].cte(f"{whole.name}_{name}") for name in PARCEL_OF if name in shape.types}
