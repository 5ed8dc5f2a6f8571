"""What a scenario read: every object that could have entered its result, by the leaf that holds its state.

Read are the objects of the types it names that meet its land, or lie within its reach of it; those without geometry
that name a parcel or building which is read; the targets of a proposal; and the record of the land itself. Whatever
is added to, changed in or taken from that set makes an assessment stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, JSONB, aggregate_order_by, distinct_on

from cim.db.engine import Database
from cim.db.script import query
from cim.db.spatial import from_wkb, postgis
from cim.scenarios._state import RECORDED, SNAPSHOT_OF, Scope, State, snapshot

if TYPE_CHECKING:  # the base of all scenarios seals with this
    from cim.scenarios._base import Scenario

# Parents before children: what has no geometry stands where the parent lies that it names, by column and type.
PARENTS: Mapping[str, tuple[str, str] | None] = {
    "parcel": None,
    "building": ("parcel_code", "parcel"),
    "unit": ("building_code", "building"),
}
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
            "land": [part.wkb for part in self.scope.parts or (self.scope,)],
            "own": list(self.scope.codes),
            **{f"reach_{type_name}": metres for type_name, metres in self.reach.items() if metres},
            **{f"named_{type_name}": list(codes) for type_name, codes in self.named.items() if codes},
        }


@dataclass(frozen=True, slots=True)
class _Shape:
    """What of a reading makes its query another one: types read, read beyond the land, named, and of the land.

    `several` : the land has parts, and what lies in two of them is found twice.
    """

    types: frozenset[str]
    reaching: frozenset[str]
    named: frozenset[str]
    own: str | None
    several: bool

    @classmethod
    def of(cls, read: Reading) -> _Shape:
        reaching, named = (frozenset(name for name, far in by.items() if far) for by in (read.reach, read.named))
        return cls(frozenset(read.types), reaching & frozenset(read.types), named, read.own, bool(read.scope.parts))


def reading(scenario: Scenario, state: State) -> Reading:
    """Return what a scenario reads in a state."""
    reach: dict[str, int] = {}
    for pack in filter(None, (state.pack, state.compared)):
        reach |= {name: max(metres, reach.get(name, 0)) for name, metres in scenario.reach(pack).items()}
    return Reading(sorted(scenario.types_read(state.pack)), state.scope, reach, scenario.named())


@contextmanager
def seal_beside(state: State, read: Reading) -> Iterator[Callable[[], dict[str, Any]]]:
    """Have the read set made while the result is, and give what waits for it and returns it as a seal holds it.

    Where it is not kept and a connection is free, it is read there, in the same snapshot; else when it is waited for.
    """
    read = _narrowed(state, read)
    if state.connection.get_execution_options().get(SNAPSHOT_OF) is not state.database or state.has(*_told(read)):
        yield lambda: _sealed(state, read)
        return
    name = state.connection.execute(query("scenarios/snapshot")).scalar_one()

    def beside() -> dict[str, Any] | None:
        try:
            with snapshot(state.database, of=name) as connection:
                return _sealed(replace(state, connection=connection), read)
        except sa.exc.TimeoutError:
            return None
        except sa.exc.OperationalError as error:
            if error.statement is None:  # the server takes no connection more
                return None
            raise

    with ThreadPoolExecutor(1) as threads:
        begun = threads.submit(beside)
        yield lambda: begun.result() or _sealed(state, read)


def _narrowed(state: State, read: Reading) -> Reading:
    """Leave out of what is named what meets the land: one proposal after the other on it has one read set."""
    if state.made is None or read.scope.parts:
        return read
    meeting = {(kind, code) for kind, code in state.made.meeting if kind in read.types}
    named = {kind: [code for code in codes if (kind, code) not in meeting] for kind, codes in read.named.items()}
    return replace(read, named=named)


def _told(read: Reading) -> tuple[object, ...]:
    """Return what an answer is kept by."""
    return "read", _Shape.of(read), read.given("read", None)


def _sealed(state: State, read: Reading) -> dict[str, Any]:
    """Return the read set: `objects`, `sha256`, and `leaves` as runs `[first, last]`."""

    def ask() -> Sequence[sa.Row[Any]]:
        statement = _sealing(state.database, _Shape.of(read), state.live, state.unwritten_since != 0)
        return state.connection.execute(statement, read.given("read", state.size, state.unwritten_since)).all()

    (row,) = state.answer(ask, lambda rows: 2 * len(rows[0].leaves), *_told(read))
    return {"objects": row.objects, "sha256": row.sha256, "leaves": [list(run) for run in row.leaves]}


# Making a statement takes longer than a small district takes to read.
@lru_cache(maxsize=64)
def _sealing(database: Database, shape: _Shape, live: bool, kept: bool) -> sa.Select[Any]:
    land = _land(database, "read")
    whole = _whole_parcels(land, shape, "read") if kept else None
    found = _objects(database, shape, "read", land, live=live, whole=whole)
    pieces = _pieces(found, whole, shape)
    apart = sa.func.lead(pieces.c.first).over(order_by=pieces.c.first) <= pieces.c.last
    placed = sa.select(pieces, apart.label("apart")).subquery("placed")
    lines = _in_order(placed.c.text, placed.c.first)
    if whole is not None and "building" in shape.types:
        each = _apart(pieces, whole)
        apart_lines = sa.select(_in_order(each.c.text, each.c.name)).scalar_subquery()
        lines = sa.case((sa.func.bool_or(placed.c.apart), apart_lines), else_=lines)
    run = sa.func.unnest(_leaves(found, whole, shape)).column_valued("run")
    first_last = sa.func.jsonb_build_array(sa.func.lower(run), sa.func.upper(run) - 1)
    runs = sa.func.jsonb_agg(aggregate_order_by(first_last, sa.func.lower(run)), type_=JSONB)
    return sa.select(
        sa.func.coalesce(sa.func.sum(placed.c.objects), 0).label("objects"),
        sa.func.encode(sa.func.sha256(sa.func.convert_to(lines, "UTF8")), "hex").label("sha256"),
        sa.select(sa.func.coalesce(runs, sa.literal_column("'[]'::jsonb"))).scalar_subquery().label("leaves"),
    ).select_from(placed)


def _in_order(text: Any, name: Any) -> Any:
    return sa.func.coalesce(sa.func.string_agg(text, aggregate_order_by(sa.literal(""), name)), "")


def _line(name: Any, idx: Any) -> Any:
    """Return what a seal hashes of an object that is called "type code"."""
    return name + " " + sa.cast(idx, sa.Text) + "\n"


def _named(type_name: Any, code: Any) -> Any:
    """Return "type code": one key is sorted in half the time of two, in the same order, since no type has a space."""
    return (type_name + " " + code).collate("C")


def _pieces(found: sa.CTE, whole: sa.CTE | None, shape: _Shape) -> sa.CTE:
    """Return the lines of the read set in pieces: `first` and `last` name in it, how many `objects`, their `text`.

    A piece is an object, or the buildings of a parcel that is kept added up.
    """

    def one(name: Any, idx: Any) -> sa.Select[Any]:
        columns = name.label("first"), name.label("last"), sa.literal(1).label("objects"), _line(name, idx)
        return sa.select(*columns[:-1], columns[-1].label("text"))

    parts = [one(_named(found.c.type, found.c.code), found.c.idx)]
    if whole is not None and "parcel" in shape.types:
        parts.append(one(_named(sa.literal("parcel", sa.Text), whole.c.code), whole.c.leaf))
    if whole is not None and "building" in shape.types:
        codes, objects = whole.c.building_codes, sa.func.cardinality(whole.c.building_codes)
        first, last = (_named(sa.literal("building", sa.Text), codes[end]) for end in (1, objects))
        parts.append(sa.select(first, last, objects, whole.c.building_lines).where(objects > 0))
    return sa.union_all(*parts).cte("piece")


def _apart(pieces: sa.CTE, whole: sa.CTE) -> sa.Subquery:
    """Return the name and line of each object: for where the codes of one parcel's buildings lie between another's."""
    called = sa.func.unnest(whole.c.building_codes, whole.c.building_leaves)
    standing = called.table_valued("code", "leaf").render_derived()
    name = _named(sa.literal("building", sa.Text), standing.c.code)
    several = sa.func.cardinality(whole.c.building_codes) > 1
    return sa.union_all(
        sa.select(pieces.c.first.label("name"), pieces.c.text).where(pieces.c.first == pieces.c.last),
        sa.select(name, _line(name, standing.c.leaf)).join_from(whole, standing, sa.true()).where(several),
    ).subquery("each")


def _leaves(found: sa.CTE, whole: sa.CTE | None, shape: _Shape) -> Any:
    """Return the leaves of the read set as a multirange."""

    def gathered(ranges: Any) -> Any:
        empty = sa.literal_column("'{}'::int8multirange", INT8MULTIRANGE)
        return sa.select(sa.func.coalesce(sa.func.range_agg(ranges, type_=INT8MULTIRANGE), empty)).scalar_subquery()

    singles = [sa.select(found.c.idx.label("idx"))]
    if whole is not None and "parcel" in shape.types:
        singles.append(sa.select(whole.c.leaf))
    single = sa.union_all(*singles).subquery("single")
    leaves = gathered(sa.func.int8range(single.c.idx, single.c.idx + 1))
    if whole is not None and "building" in shape.types:
        leaves = leaves + gathered(whole.c.building_runs)
    return leaves


def changes(database: Database, connection: sa.Connection, read: Reading, then: int, now: int) -> list[dict[str, Any]]:
    """Return what became of a read set between two tree sizes, by type and code.

    Each is `{type, code, change, leaf, superseded_by}`: `superseded` (its record changed, and it is still read),
    `gone` (deleted, or moved away), `new` (it was not read then). `leaf` is the one that was read, None for a new
    object; `superseded_by` the object's leaf at `now`.
    """
    shape = _Shape.of(read)
    before, after = (_objects(database, shape, name, _land(database, name), live=False) for name in ("before", "after"))
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


def _objects(
    database: Database, shape: _Shape, name: str, land: sa.CTE, *, live: bool, whole: sa.CTE | None = None
) -> sa.CTE:
    """Return type, code and leaf index of every object read: of the live tables, or at the tree size `<name>_size`.

    Left out are the parcels of `whole`, and the buildings that name them.
    """
    size = sa.cast(sa.bindparam(f"{name}_size"), sa.BigInteger)
    kept = {} if whole is None else {kind: of for kind, of in PARCEL_OF.items() if kind in shape.types}
    by_type: dict[str, sa.CTE] = {}
    for type_name in [*PARENTS, *sorted({*shape.types, *shape.named, *filter(None, [shape.own])} - PARENTS.keys())]:
        columns = [sa.column(c.name, c.type) for c in database.table(type_name).columns]
        called = (
            getattr(sa.func.city, f"{type_name}_now")() if live else getattr(sa.func.city, f"{type_name}_logged")(size)
        )
        source = called.table_valued(*columns).alias(type_name)
        chosen = sa.select(sa.literal(type_name, sa.Text).label("type"), source.c.code, source.c.rev)
        if whole is not None and type_name in kept:
            parcel = source.c[kept[type_name]]
            chosen = chosen.where(sa.func.coalesce(parcel.not_in(sa.select(whole.c.code)), sa.true()))
        # As-of functions forget in which order codes are; no index on them serves without it.
        code = source.c.code.collate("C")
        found = []
        if type_name in shape.types:
            near = postgis("ST_Intersects", source.c.geom, land.c.geom, type_=sa.Boolean())
            if type_name in shape.reaching:
                metres = sa.bindparam(f"reach_{type_name}", type_=sa.BigInteger)
                near = postgis("ST_DWithin", source.c.geom, land.c.geom, metres, type_=sa.Boolean())
            meeting = chosen.join(land, near)
            found.append(meeting.distinct() if shape.several else meeting)
            reference, parent = PARENTS.get(type_name) or ("", "")
            parents: list[sa.CTE | sa.Subquery] = [by_type[parent]] if parent in by_type else []
            # On a parcel that is kept added up stands no building without geometry.
            if whole is not None and parent in kept and type_name not in kept:
                parents.append(_standing(whole))
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
    leaf = sa.select(_LEAF.c.idx).join(_REVISION, _LEAF.c.revision_id == _REVISION.c.id).where(*of_object)
    if whole is not None:
        # Little is left of a large district; the planner, who cannot know, would go through all leaves for it.
        leaf = leaf.offset(0)
    found_leaf = leaf.lateral()
    return sa.select(objects.c.type, objects.c.code, found_leaf.c.idx).join(found_leaf, sa.true()).cte(name)


def _land(database: Database, name: str) -> sa.CTE:
    """Return the parts of the land, each by itself: the bounding box of districts far apart holds the whole city."""
    part = sa.func.unnest(sa.bindparam("land", type_=ARRAY(sa.LargeBinary))).column_valued("part")
    geometry = from_wkb(part, database.settings.srid).label("geom")
    return sa.select(geometry).cte(f"{name}_land").prefix_with("MATERIALIZED")


def _whole_parcels(land: sa.CTE, shape: _Shape, name: str) -> sa.CTE:
    """Return the parcels that lie on the land with all their buildings, and are kept added up.

    Those alone on which nothing was written since the tree size `<name>_since`.
    """
    columns: list[sa.ColumnClause[Any]] = [
        sa.column("code", sa.Text),
        sa.column("leaf", sa.BigInteger),
        sa.column("building_codes", ARRAY(sa.Text)),
        sa.column("building_leaves", ARRAY(sa.BigInteger)),
        sa.column("building_lines", sa.Text),
        sa.column("building_runs", INT8MULTIRANGE),
    ]
    since = sa.cast(sa.bindparam(f"{name}_since"), sa.BigInteger)
    called = sa.func.cim.whole_parcels(since, land.c.geom).table_valued(*columns).lateral("whole_parcel")
    whole = sa.select(*called.c).join_from(land, called, sa.true())
    if shape.several:
        whole = whole.ext(distinct_on(called.c.code))
    return whole.cte(f"{name}_whole").prefix_with("MATERIALIZED")


def _standing(whole: sa.CTE) -> sa.Subquery:
    """Return the codes of the buildings on parcels that are kept added up."""
    return sa.select(sa.func.unnest(whole.c.building_codes).label("code")).subquery()
