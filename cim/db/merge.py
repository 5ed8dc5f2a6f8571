"""What rows carry for a feature table, and the statements that bring staged rows into it.

MERGE compares all columns and touches only rows that differ, so delivering the same again records nothing. The
capture triggers see its effect like anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from cim.db.script import query

REVISION = sa.table(
    "revision",
    *(sa.column(n, sa.Text) for n in ("type", "code", "op", "dataset")),
    sa.column("rev", sa.BigInteger),
    sa.column("body", JSONB),
    schema="cim",
)
_EMPTY = sa.cast(sa.literal("{}", sa.Text), JSONB)


@dataclass(frozen=True, slots=True)
class AttributeField:
    """A column of the rows that goes into `attributes` under `key`; `is_json` says its text is JSON.

    What is `of_geometry` goes with the geometry: where that is not carried, it stays as it is, too.
    """

    column: str
    key: str
    is_json: bool = False
    of_geometry: bool = False


@dataclass(frozen=True, slots=True)
class Carried:
    """What rows say about their objects, besides `code`.

    Attributes
    ----------
    columns : what the source says; on update they replace what was there, null too.
    filled : what was derived; on update null leaves what was there.
    attributes : on update these keys are replaced, others stay.
    geometry : whether `geom` is carried; if not, it stays as it is.
    """

    columns: Sequence[str]
    filled: Sequence[str]
    attributes: Sequence[AttributeField]
    geometry: bool

    def without_geometry(self) -> Carried:
        """Return what is carried but geometry."""
        return replace(self, attributes=[a for a in self.attributes if not a.of_geometry], geometry=False)

    def names(self) -> list[str]:
        """Return the columns of the feature table that are carried, `code` first."""
        names = ["code", *self.columns, *self.filled]
        return names + ["attributes"] * bool(self.attributes) + ["geom"] * self.geometry


def lock_types(connection: sa.Connection, types: Sequence[str]) -> None:
    """Wait until no other merge writes these types, and keep others off until this transaction ends.

    MERGE does not wait for a concurrent insert of the same code, it fails. Locks are taken in name order, so that two
    callers cannot wait for each other.
    """
    for name in sorted(set(types)):
        connection.execute(query("ingest/lock_type"), {"type": name})


class Merge(sa.Executable, ClauseElement):
    """MERGE INTO target USING staged: SQLAlchemy has no construct for it.

    With `insert_only`, objects that are there stay as they are.
    """

    inherit_cache = False

    def __init__(self, target: sa.Table, staged: sa.Table, carried: Carried, *, insert_only: bool = False) -> None:
        self.target = target
        self.staged = staged
        self.updates = {} if insert_only else _updates(target, staged, carried)
        self.inserts: dict[str, sa.ColumnElement[Any]] = {name: as_is(staged.c[name]) for name in carried.names()}
        self.inserts["rev"] = _first_rev(target, staged)


@compiles(Merge, "postgresql")
def _compile_merge(element: Merge, compiler: SQLCompiler, **kwargs: Any) -> str:
    def write(part: ClauseElement) -> str:
        return str(compiler.process(part, **kwargs))

    quote = compiler.preparer.quote
    target, staged = element.target, element.staged
    into, using = (compiler.preparer.format_table(table) for table in (target, staged))
    clauses = ["MERGE INTO", into, "USING", using, "ON", write(target.c.code == staged.c.code)]
    if element.updates:
        changes = ", ".join(f"{quote(name)} = {write(value)}" for name, value in element.updates.items())
        differ = write(_differ(target, element.updates))
        clauses += ["WHEN MATCHED AND", differ, "THEN UPDATE SET", changes]
    names = ", ".join(map(quote, element.inserts))
    values = ", ".join(map(write, element.inserts.values()))
    clauses.append(f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})")  # noqa: S608 - quoted and compiled
    return " ".join(clauses)


def differ(target: sa.Table, staged: sa.Table, carried: Carried) -> sa.ColumnElement[bool]:
    """Return whether merging a staged row would change the target's."""
    return _differ(target, _updates(target, staged, carried))


def _differ(target: sa.Table, updates: Mapping[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[bool]:
    if not updates:
        return sa.false()
    old = sa.tuple_(*(as_is(target.c[name]) for name in updates))
    return old.is_distinct_from(sa.tuple_(*updates.values()))


def _updates(target: sa.Table, staged: sa.Table, carried: Carried) -> dict[str, sa.ColumnElement[Any]]:
    """Return the new value of each column of an object that is there already."""
    updates: dict[str, sa.ColumnElement[Any]] = {name: staged.c[name] for name in carried.columns}
    updates |= {name: sa.func.coalesce(staged.c[name], target.c[name]) for name in carried.filled}
    if carried.geometry:
        updates["geom"] = as_is(staged.c.geom)
    if carried.attributes:
        keys = sa.cast([item.key for item in carried.attributes], ARRAY(sa.Text))
        kept = sa.func.coalesce(target.c.attributes, _EMPTY).op("-")(keys)
        joined = kept.op("||")(sa.func.coalesce(staged.c.attributes, _EMPTY))
        updates["attributes"] = sa.func.nullif(joined, _EMPTY, type_=JSONB)
    return updates


def _first_rev(target: sa.Table, staged: sa.Table) -> sa.ColumnElement[Any]:
    """Return 1 for a code that was never recorded, null for one the database is to number itself."""
    # As text: of a column SQLAlchemy would put the table into the subquery once more, and ask of all rows at once, by a
    # walk through all revisions of the type.
    code: sa.ColumnElement[str] = sa.literal_column(f'"{staged.name}".code', sa.Text)
    known = sa.exists().where(REVISION.c.type == target.name, REVISION.c.code == code)
    return sa.case((known, None), else_=1)


def as_is(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Keep geometry from being wrapped in a conversion for the client."""
    return sa.type_coerce(column, sa.types.NullType()) if column.name == "geom" else column
