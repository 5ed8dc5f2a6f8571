"""Bring many rows into a feature table at once: binary COPY into a temporary table, then one MERGE.

MERGE compares all columns and touches only rows that differ, so delivering the same again records nothing. The
capture triggers see its effect like anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pgpq
import psycopg
import pyarrow as pa
import sqlalchemy as sa
from geoalchemy2 import Geometry
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import Subquery

from cim.db.script import query

_REVISION = sa.table("revision", sa.column("type", sa.Text), sa.column("code", sa.Text), schema="cim")
# jsonb_build_object takes at most 100 arguments, as every function does.
_PAIRS = 50
_ATTRIBUTE_TYPES: Mapping[pa.DataType, sa.types.TypeEngine[Any]] = MappingProxyType(
    {pa.string(): sa.Text(), pa.int64(): sa.BigInteger(), pa.float64(): sa.Double(), pa.bool_(): sa.Boolean()}
)


@dataclass(frozen=True, slots=True)
class AttributeField:
    """A column of the rows that goes into `attributes` under `key`; `is_json` says its text is JSON."""

    column: str
    key: str
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows for one feature type, no code twice.

    Attributes
    ----------
    table : `code`, the columns named below in the Arrow types of the dictionary, `geom` as ISO WKB in the storage CRS.
    columns : what the source says; on update they replace what was there, null too.
    filled : what was derived; on update null leaves what was there.
    attributes : on update these keys are replaced, others stay.
    geometry : whether `geom` is carried; if not, it stays as it is.
    """

    table: pa.Table
    columns: Sequence[str]
    filled: Sequence[str]
    attributes: Sequence[AttributeField]
    geometry: bool


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """How many objects were recorded as new and as changed; the rest was as delivered."""

    inserted: int
    updated: int


def lock_types(connection: sa.Connection, types: Sequence[str]) -> None:
    """Wait until no other merge writes these types, and keep others off until this transaction ends.

    MERGE does not wait for a concurrent insert of the same code, it fails. Locks are taken in name order, so that two
    callers cannot wait for each other.
    """
    for name in sorted(set(types)):
        connection.execute(query("ingest/lock_type"), {"type": name})


def merge(connection: sa.Connection, target: sa.Table, rows: Rows) -> MergeCounts:
    """Insert and update so that the table holds the rows; columns they do not carry stay as they are."""
    before = connection.execute(query("ingest/last_revision")).scalar_one()
    staged = _stage(connection, target, rows)
    connection.execute(_merge_statement(target, staged, rows))
    staged.drop(connection)
    recorded = connection.execute(query("ingest/count_revisions"), {"type": target.name, "after": before})
    counts: dict[str, int] = {row.op: row.number for row in recorded}
    return MergeCounts(counts.get("insert", 0), counts.get("update", 0))


def _stage(connection: sa.Connection, target: sa.Table, rows: Rows) -> sa.Table:
    """Copy the rows into a temporary table that looks like the target."""
    types: dict[str, sa.types.TypeEngine[Any]] = {"code": sa.Text(collation="C")}
    types |= {name: target.c[name].type for name in (*rows.columns, *rows.filled)}
    for item in rows.attributes:
        types[item.column] = JSONB() if item.is_json else _ATTRIBUTE_TYPES[rows.table.schema.field(item.column).type]
    if rows.geometry:
        kind = target.c.geom.type
        assert isinstance(kind, Geometry)
        types["geom"] = Geometry(kind.geometry_type, kind.srid, spatial_index=False)
    staged = sa.Table(
        f"staged_{target.name}",
        sa.MetaData(),
        *(sa.Column(name, kind) for name, kind in types.items()),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )
    staged.create(connection)
    _copy(connection, staged, rows.table.select(list(types)))
    return staged


def _copy(connection: sa.Connection, staged: sa.Table, table: pa.Table) -> None:
    table = table.combine_chunks()
    encoders = {field.name: pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in table.schema}
    for column in staged.columns:
        if isinstance(column.type, JSONB):
            encoders[column.name] = StringEncoderBuilder.new_with_output(table.schema.field(column.name), Jsonb())
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(table.schema, encoders)
    driver: psycopg.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    name = psycopg.sql.Identifier(staged.name)
    columns = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, table.column_names))
    with driver.cursor() as cursor:
        statement = psycopg.sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(name, columns)
        with cursor.copy(statement) as copy:
            copy.write(encoder.write_header())
            for batch in table.to_batches(max_chunksize=65_536):
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())
        # Without it the planner takes the table for empty and the join for a nested loop.
        cursor.execute(psycopg.sql.SQL("ANALYZE {}").format(name))


class _Merge(sa.Executable, ClauseElement):
    """MERGE INTO target USING source: SQLAlchemy has no construct for it."""

    inherit_cache = False

    def __init__(
        self,
        target: sa.Table,
        source: Subquery,
        updates: Mapping[str, sa.ColumnElement[Any]],
        inserts: Sequence[str],
    ) -> None:
        self.target = target
        self.source = source
        self.updates = updates
        self.inserts = inserts


@compiles(_Merge, "postgresql")
def _compile_merge(element: _Merge, compiler: SQLCompiler, **kwargs: Any) -> str:
    def write(part: ClauseElement) -> str:
        return str(compiler.process(part, **kwargs))

    quote = compiler.preparer.quote
    target, source = element.target, element.source
    into = compiler.preparer.format_table(target)
    using = compiler.process(source, asfrom=True, **kwargs)
    clauses = ["MERGE INTO", into, "USING", using, "ON", write(target.c.code == source.c.code)]
    if element.updates:
        old = sa.tuple_(*(target.c[name] for name in element.updates))
        new = sa.tuple_(*element.updates.values())
        changes = ", ".join(f"{quote(name)} = {write(value)}" for name, value in element.updates.items())
        clauses += ["WHEN MATCHED AND", write(old), "IS DISTINCT FROM", write(new), "THEN UPDATE SET", changes]
    names = ", ".join(quote(name) for name in element.inserts)
    values = ", ".join(write(source.c[name]) for name in element.inserts)
    clauses.append(f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})")  # noqa: S608 - quoted and compiled
    return " ".join(clauses)


def _merge_statement(target: sa.Table, staged: sa.Table, rows: Rows) -> _Merge:
    plain = ["code", *rows.columns, *rows.filled, *(["geom"] if rows.geometry else [])]
    selected: list[sa.ColumnElement[Any]] = [staged.c[name] for name in plain]
    if rows.attributes:
        selected.append(_attributes(staged, rows.attributes).label("attributes"))
    selected.append(_first_rev(target, staged))
    source = sa.select(*(_as_is(c) for c in selected)).subquery("source")
    updates: dict[str, sa.ColumnElement[Any]] = {name: source.c[name] for name in rows.columns}
    updates |= {name: sa.func.coalesce(source.c[name], target.c[name]) for name in rows.filled}
    if rows.geometry:
        updates["geom"] = source.c.geom
    if rows.attributes:
        keys = sa.cast([item.key for item in rows.attributes], ARRAY(sa.Text))
        kept = sa.func.coalesce(target.c.attributes, _EMPTY).op("-")(keys)
        joined = kept.op("||")(sa.func.coalesce(source.c.attributes, _EMPTY))
        updates["attributes"] = sa.func.nullif(joined, _EMPTY, type_=JSONB)
    return _Merge(target, source, updates, [*plain, "rev", *(["attributes"] if rows.attributes else [])])


_EMPTY = sa.cast(sa.literal("{}", sa.Text), JSONB)


def _first_rev(target: sa.Table, staged: sa.Table) -> sa.ColumnElement[Any]:
    """Return 1 for a code that was never recorded, null for one the database is to number itself."""
    known = sa.exists().where(_REVISION.c.type == target.name, _REVISION.c.code == staged.c.code)
    return sa.case((known, None), else_=1).label("rev")


def _as_is(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Keep geometry from being wrapped in a conversion for the client."""
    return sa.type_coerce(column, sa.types.NullType()).label(column.name) if column.name == "geom" else column


def _attributes(staged: sa.Table, items: Sequence[AttributeField]) -> sa.ColumnElement[Any]:
    """Return the object of the attribute columns that are not null, null where all are."""
    plain = [item for item in items if not item.is_json]
    built: list[sa.ColumnElement[Any]] = []
    for start in range(0, len(plain), _PAIRS):
        pairs = [(item.key, staged.c[item.column]) for item in plain[start : start + _PAIRS]]
        built.append(sa.func.jsonb_strip_nulls(_object(pairs)))
    # Stripping goes deep: the nulls inside a nested value are the source's own and stay.
    built += [
        sa.case((staged.c[item.column].is_(None), _EMPTY), else_=_object([(item.key, staged.c[item.column])]))
        for item in items
        if item.is_json
    ]
    whole = built[0]
    for part in built[1:]:
        whole = whole.op("||")(part)
    return sa.func.nullif(whole, _EMPTY, type_=JSONB)


def _object(pairs: Sequence[tuple[str, sa.ColumnElement[Any]]]) -> sa.ColumnElement[Any]:
    arguments: list[sa.ColumnElement[Any]] = []
    for key, value in pairs:
        arguments += [sa.cast(sa.literal(key, sa.Text), sa.Text), value]
    return sa.func.jsonb_build_object(*arguments, type_=JSONB)
