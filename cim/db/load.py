"""Bring many rows into a feature table, batch by batch: binary COPY, then one MERGE.

Rows for a type that has no objects yet go straight into its table, whose key and spatial index are built afterwards.
All other rows wait in a temporary table until the last has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pgpq
import psycopg
import pyarrow as pa
import sqlalchemy as sa
from geoalchemy2 import Geometry
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from cim.db.ending import Delivered
from cim.db.json_text import objects
from cim.db.merge import REVISION, Carried, Merge, as_is, differ
from cim.db.script import query

# Columns of waiting rows beyond those of the feature table: the record's number in its layer, the record that had its
# code before, whether the code is the name of its content, whether it was made here at all, other identifiers by
# scheme, the record as it came, and its digest and traits where it may become familiar (`cim.db.familiar`).
CODE = "code"
RECORD = "record_"
FIRST = "first_"
NAMELESS = "nameless_"
MINTED = "minted_"
IDENTIFIERS = "identifiers_"
SOURCE_ID = "source_id_"
SOURCE = "source_"
DIGEST = "digest_"
TRAITS = "traits_"
_EXTRA: dict[str, sa.types.TypeEngine[Any]] = {
    RECORD: sa.BigInteger(),
    FIRST: sa.BigInteger(),
    NAMELESS: sa.Boolean(),
    MINTED: sa.Boolean(),
    IDENTIFIERS: JSONB(),
    SOURCE_ID: sa.Text(),
    SOURCE: JSONB(),
    DIGEST: sa.Uuid(),
    TRAITS: sa.Integer(),
}


# Fewer rows go the common way: to build an index anew takes its time, too.
_BULK = 4096
# A city with fewer revisions is as good as empty: nobody misses their indexes for the time of a load.
_FEW = 1000
_REJECT = sa.table(
    "reject",
    *(sa.column(n, sa.Text) for n in ("dataset", "layer", "source_id", "reason")),
    sa.column("record", JSONB),
    schema="cim",
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows for one feature type, no code twice.

    Attributes
    ----------
    table : `code`, the columns carried in the Arrow types of the dictionary, `geom` as ISO WKB in the storage CRS.
    """

    table: pa.Table
    carried: Carried


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """How many objects were recorded as new and as changed; the rest was as delivered."""

    inserted: int
    updated: int


@dataclass(frozen=True, slots=True)
class Payload:
    """So many rows in the binary form of COPY, for these columns; `straight` into the feature table or to wait."""

    count: int
    columns: Sequence[str]
    data: bytes
    straight: bool = False


def merge(connection: sa.Connection, target: sa.Table, rows: Rows) -> MergeCounts:
    """Insert and update so that the table holds the rows; columns they do not carry stay as they are."""
    load = Load(connection, target, rows.carried)
    load.copy(load.encode(rows.table))
    counts = load.finish()
    load.close()
    return counts


def encode(table: pa.Table, json_columns: Sequence[str]) -> Payload:
    """Return rows as COPY takes them, text of `json_columns` as JSON."""
    table = table.combine_chunks()
    encoders = {field.name: pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in table.schema}
    for name in json_columns:
        encoders[name] = StringEncoderBuilder.new_with_output(table.schema.field(name), Jsonb())
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(table.schema, encoders)
    parts = [encoder.write_header(), *map(encoder.write_batch, table.to_batches()), encoder.finish()]
    return Payload(table.num_rows, table.column_names, b"".join(parts))


def copy_into(connection: sa.Connection, table: sa.TableClause, payload: Payload) -> None:
    """Copy rows into a table."""
    driver: psycopg.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    columns = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, payload.columns))
    statement = psycopg.sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)")
    name = psycopg.sql.Identifier(*filter(None, (table.schema, table.name)))
    try:
        with driver.cursor() as cursor, cursor.copy(statement.format(name, columns)) as copy:
            copy.write(payload.data)
    except psycopg.Error as error:  # as the rest of this connection raises it
        raise sa.exc.DBAPIError.instance("COPY", None, error, psycopg.Error) from error


def is_new(connection: sa.Connection, target: sa.Table) -> bool:
    """Tell whether there never was an object of the table's type."""
    objects_there = sa.exists(sa.select(sa.literal(1)).select_from(target))
    recorded = sa.exists().where(REVISION.c.type == target.name)
    return not connection.execute(sa.select(objects_there | recorded)).scalar_one()


class Load:
    """One load of rows into the table of a feature type, in the transaction of its connection.

    `encode` may run in another thread than the rest: it does not touch the connection. `insert_only` leaves objects
    alone that are there; `delivered` is where the codes are noted that the rows hold, None where nobody asks. `alone`
    says that this process reads revisions over no other connection meanwhile: it would wait for itself.
    """

    def __init__(
        self,
        connection: sa.Connection,
        target: sa.Table,
        carried: Carried,
        *,
        insert_only: bool = False,
        delivered: Delivered | None = None,
        alone: bool = False,
    ) -> None:
        self.target = target
        self.carried = carried
        self._alone = alone
        self._insert_only = insert_only
        self._delivered = delivered
        self._connection = connection
        self._staged: sa.Table | None = None
        self._repeated: sa.Table | None = None
        self._new = is_new(connection, target)
        self._straight: bool | None = None
        self._copied = 0
        self._dropped: list[sa.Index] = []
        self._keyless = False
        self._of_revisions: list[sa.TextClause] = []

    def encode(self, rows: pa.Table, *, settled: bool = True, **extra: pa.Array) -> Payload:
        """Return rows ready to be copied, with extra columns for those that have to wait.

        `settled` rows keep their code and repeat no other: they need not wait where there is nothing to merge with.
        """
        if self._straight is None:
            self._straight = self._new and rows.num_rows >= _BULK
        straight = self._straight and settled
        fields = self.carried.attributes
        names = [name for name in self.carried.names() if name != "attributes"]
        table = rows.select(names)
        if fields:
            nested = {item.key for item in fields if item.is_json}
            table = table.append_column(
                "attributes", objects({item.key: rows.column(item.column) for item in fields}, nested)
            )
        if straight:
            extra = {"rev": pa.array(np.ones(len(table), np.int64))}
        for name, values in extra.items():
            table = table.append_column(name, values)
        payload = encode(table, [name for name in table.column_names if self._is_json(name)])
        return replace(payload, straight=straight)

    def copy(self, payload: Payload) -> None:
        """Take rows in."""
        if payload.straight:
            if self._copied == 0:
                self._drop_indexes()
            self._copied += payload.count
            copy_into(self._connection, self.target, payload)
            return
        if self._staged is None:
            self._staged = self._waiting("staged")
        copy_into(self._connection, self._staged, payload)

    def repeat(self, payload: Payload) -> None:
        """Keep rows aside whose code another row of this load has; they carry all the extra columns."""
        if self._repeated is None:
            self._repeated = self._waiting("repeated")
        copy_into(self._connection, self._repeated, payload)

    def waiting(self, *, everything: bool = False) -> sa.Table | None:
        """Return the table of rows that wait to be merged into one that has objects already; else None.

        `everything` asks for the rows that wait whether there are objects or not.
        """
        return self._staged if self.had_objects or everything else None

    @property
    def had_objects(self) -> bool:
        """Whether the type had objects before this load."""
        return not self._new

    @property
    def repeated(self) -> sa.Table | None:
        """The table of rows whose code another row of this load has, None where there are none."""
        return self._repeated

    def note_identifiers(self) -> None:
        """Add the other identifiers of the rows that wait to the crosswalk."""
        if self._staged is not None:
            said = {"staged": f'pg_temp."{self._staged.name}"', "type": self.target.name}
            self._connection.execute(query("matching/note_identifiers"), said)

    def shared_names(self) -> list[tuple[int, str, str]]:
        """Return record, code and digest of the content of all rows whose name others of them have, too."""
        if self._repeated is None:
            return []
        shared = sa.select(self._repeated.c[CODE]).where(self._repeated.c[NAMELESS])
        found: list[tuple[int, str, str]] = []
        for table in [t for t in (self._staged, self._repeated) if t is not None]:
            said = sa.select(*(table.c[n] for n in self.carried.names() if n not in (CODE, "geom")), table.c[RECORD])
            content = said.subquery("content")
            text = sa.cast(sa.func.jsonb_strip_nulls(sa.func.to_jsonb(content.table_valued())) - RECORD, sa.Text)
            digest = sa.func.encode(sa.func.sha256(sa.func.convert_to(text, "UTF8")), "hex")
            rows = sa.select(table.c[RECORD], table.c[CODE], digest).join_from(
                table, content, table.c[RECORD] == content.c[RECORD]
            )
            found += [(r, c, d) for r, c, d in self._connection.execute(rows.where(table.c[CODE].in_(shared)))]
        return sorted(found)

    def rename(self, records: Sequence[int], codes: Sequence[str], first: Sequence[int]) -> int:
        """Give rows other codes; return how many, now the first to have theirs, repeat nothing any more."""
        assert self._repeated is not None
        if self._staged is None:
            self._staged = self._waiting("staged")
        given = (
            sa.func.unnest(
                sa.cast(list(records), ARRAY(sa.BigInteger)),
                sa.cast(list(codes), ARRAY(sa.Text)),
                sa.cast(list(first), ARRAY(sa.BigInteger)),
            )
            .table_valued(RECORD, CODE, FIRST, name="given")
            .render_derived()
        )
        for table in (self._staged, self._repeated):
            values = {CODE: given.c[CODE], FIRST: given.c[FIRST], DIGEST: None}
            self._connection.execute(sa.update(table).values(values).where(table.c[RECORD] == given.c[RECORD]))
        settled = self._repeated.c[FIRST] == self._repeated.c[RECORD]
        columns = [column.name for column in self._staged.columns]
        moved = sa.select(*(as_is(self._repeated.c[name]) for name in columns)).where(settled)
        self._connection.execute(sa.insert(self._staged).from_select(columns, moved, include_defaults=False))
        return self._connection.execute(sa.delete(self._repeated).where(settled)).rowcount

    def finish(self, *, geometry: bool = True) -> MergeCounts:
        """Merge what has been copied; without `geometry` the rows carried none after all."""
        if not geometry:
            self.carried = self.carried.without_geometry()
        merged = MergeCounts(0, 0)
        if self._keyless:
            self._connection.execute(sa.schema.AddConstraint(self.target.primary_key, isolate_from_table=False))
        for made in self._of_revisions:
            self._connection.execute(made)
        if self._staged is not None:
            # Without it the planner takes the table for empty and the join for a nested loop. The join's column will
            # do: sampling geometries takes longer than copying them.
            self._execute("ANALYZE {} (code)", self._staged)
            before = self._connection.execute(query("ingest/last_revision")).scalar_one()
            self._connection.execute(Merge(self.target, self._staged, self.carried, insert_only=self._insert_only))
            merged = self._recorded(before)
        self._note_delivered()
        for index in self._dropped:
            index.create(self._connection)
        return MergeCounts(self._copied + merged.inserted, merged.updated)

    def _recorded(self, before: int) -> MergeCounts:
        """Return what this transaction recorded of the type since a revision."""
        rows = self._connection.execute(query("ingest/count_revisions"), {"type": self.target.name, "after": before})
        counts: dict[str, int] = {row.op: row.number for row in rows}
        return MergeCounts(counts.get("insert", 0), counts.get("update", 0))

    def reject_repeated(self, dataset: str, layer: str) -> dict[str, int]:
        """Keep the rows kept aside as rejects of a dataset, after `finish`; return how often each reason applies.

        A row that would change nothing is a duplicate, any other contradicts the one before it.
        """
        if self._repeated is None:
            return {}
        rows = self._repeated
        # What was left alone does not show what the row before said; what is new went straight in, or equals it.
        first = self._staged if self._insert_only and not self._new and self._staged is not None else self.target
        joined = rows.outerjoin(first, first.c.code == rows.c[CODE])
        word = sa.case((differ(first, rows, self.carried), "contradicts"), else_="is a duplicate of")
        kinds = sa.select(word.label("word"), sa.func.count().label("number")).select_from(joined).group_by("word")
        counts = {f"code: {r.word} another record of this layer": r.number for r in self._connection.execute(kinds)}
        reason = sa.func.format(
            "code: %s %s record %s of this layer, which has it too", rows.c[CODE], word, rows.c[FIRST] + 1
        )
        record = sa.select(sa.literal(dataset), sa.literal(layer), rows.c[SOURCE_ID], reason, rows.c[SOURCE])
        into = sa.insert(_REJECT).from_select(
            ["dataset", "layer", "source_id", "reason", "record"], record.select_from(joined).order_by(rows.c[RECORD])
        )
        self._connection.execute(into)
        return counts

    def close(self) -> None:
        """Drop what waited, after all else: the next layer of the type brings its own."""
        for table in (self._staged, self._repeated):
            if table is not None:
                table.drop(self._connection)

    def _note_delivered(self) -> None:
        if self._delivered is not None:
            if self._copied:  # to a type that had no objects
                self._delivered.add_from(self.target)
            if self._staged is not None:
                self._delivered.add_from(self._staged)

    def _drop_indexes(self) -> None:
        """Drop the key and the spatial index until the rows are in, if nobody is reading the table that is still empty.

        Codes that come in no order, as provisional ones, cost a key that is there five times what it takes to build.
        So they do to revisions, of which a city that is still empty has few: their indexes go, too, if nobody else is
        connected, as an API whose every answer looks at revisions. The one by object stays where something is looked up
        by it, as are parents that are not there and what was delivered.
        """
        spatial = [i for i in self.target.indexes if i.dialect_options["postgresql"]["using"] == "gist"]
        own: list[sa.Executable] = [sa.schema.DropConstraint(self.target.primary_key)]
        if self._unless_read([*own, *map(sa.schema.DropIndex, spatial)]):
            self._dropped, self._keyless = spatial, True
        if self._alone and self._delivered is None:
            pool = self._connection.engine.pool
            ours = pool.checkedin() + pool.checkedout() if isinstance(pool, sa.QueuePool) else 0
            said = {"type": self.target.name, "carried": self.carried.names(), "few": _FEW, "ours": ours}
            found = self._connection.execute(query("ingest/indexes_of_revisions"), said).all()
            if self._unless_read([sa.text(row.dropping) for row in found]):
                self._of_revisions = [sa.text(row.making) for row in found]

    def _unless_read(self, changes: Sequence[sa.Executable]) -> bool:
        """Make changes to tables, unless somebody is reading them or they are another's; tell whether they are made."""
        attempt = self._connection.begin_nested()
        try:
            patience = self._connection.execute(query("ingest/wait_at_most"), {"wait": "100ms"}).scalar_one()
            for change in changes:
                self._connection.execute(change)
            self._connection.execute(query("ingest/wait_at_most"), {"wait": patience})
        except sa.exc.DBAPIError:
            attempt.rollback()
            return False
        attempt.commit()
        return True

    def _waiting(self, name: str) -> sa.Table:
        """Create a temporary table for rows that wait: the carried columns of the target and the extra ones."""
        types: dict[str, sa.types.TypeEngine[Any]] = {n: self.target.c[n].type for n in self.carried.names()}
        types["code"] = sa.Text(collation="C")
        if self.carried.geometry:
            kind = self.target.c.geom.type
            assert isinstance(kind, Geometry)
            types["geom"] = Geometry(kind.geometry_type, kind.srid, spatial_index=False)
        table = sa.Table(
            f"{name}_{self.target.name}",
            sa.MetaData(),
            *(sa.Column(n, kind) for n, kind in (types | _EXTRA).items()),
            prefixes=["TEMPORARY"],
            postgresql_on_commit="DROP",
        )
        table.create(self._connection)
        return table

    def _is_json(self, name: str) -> bool:
        return isinstance(_EXTRA[name] if name in _EXTRA else self.target.c[name].type, JSONB)

    def _execute(self, statement: Any, table: sa.Table) -> None:
        name = psycopg.sql.Identifier(*filter(None, (table.schema, table.name)))
        self._driver().execute(psycopg.sql.SQL(statement).format(name))

    def _driver(self) -> psycopg.Connection:
        driver: psycopg.Connection = self._connection.connection.driver_connection  # type: ignore[assignment]
        return driver
