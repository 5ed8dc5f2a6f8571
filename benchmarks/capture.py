"""What capture costs: bulk load, insert and update of buildings with the triggers, and without.

The load goes the loader's way, COPY and MERGE from the client. Insert and update run on the server alone, from a table
that is there: the least work that a bulk change can be, and the hardest to hide a trigger behind.

Run: python -m benchmarks.capture [rows]
"""

from __future__ import annotations

import sys

import pyarrow as pa
import sqlalchemy as sa

from benchmarks._measure import cpu_of_tree, machine, measure, report, scratch
from cim.db import cluster
from cim.db.engine import Database
from cim.db.load import Rows, merge
from cim.db.merge import Carried
from cim.settings import Settings

ROWS = 20_000
SETUP = """
CREATE SCHEMA bench;
CREATE TABLE bench.plain (LIKE city.building INCLUDING ALL);
ALTER TABLE bench.plain ALTER rev SET DEFAULT 1;
CREATE TABLE bench.source AS
SELECT 'b' || lpad(i::text, 27, '0') AS code, '楼 ' || i AS name, 'residential' AS usage, 'mixed' AS structure,
       'in_use' AS status, 1950 + i % 70 AS year_built, 1 + i % 9 AS storeys_above,
       (3.0 * (1 + i % 9))::float8 AS height,
       (120.5 * (1 + i % 9))::float8 AS gross_floor_area, '{"source": "bench"}'::jsonb AS attributes,
       ST_Multi(ST_Buffer(ST_SetSRID(ST_MakePoint(500000 + (i % 500) * 30, 4300000 + (i / 500) * 30), 4548), 10, 3))
           ::geometry(MultiPolygon, 4548) AS geom
FROM generate_series(1, {rows}) i;
"""
COLUMNS = "code, name, usage, structure, status, year_built, storeys_above, height, gross_floor_area, attributes, geom"
INSERT = f"INSERT INTO {{table}} ({COLUMNS}) SELECT {COLUMNS} FROM bench.source"
UPDATE = "UPDATE {table} SET height = height + 1"
TABLES = {"without triggers": "bench.plain", "with capture": "city.building"}
EMPTY = """
SET session_replication_role = replica;
ALTER TABLE city.building DISABLE TRIGGER ALL;
ALTER TABLE cim.revision DISABLE TRIGGER ALL;
ALTER TABLE cim.leaf DISABLE TRIGGER ALL;
TRUNCATE city.building, bench.plain, cim.revision, cim.private_value, cim.leaf;
"""
ARM = """
SELECT cim.attach_type('building');
ALTER TABLE cim.revision ENABLE ALWAYS TRIGGER append_only;
SET session_replication_role = origin;
"""


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with scratch() as home:
        settings = Settings(home=home)
        database = Database(settings)
        try:
            _run(database, rows)
            _load(database, rows)
        finally:
            database.dispose()
            cluster.stop(settings)


def _run(database: Database, rows: int) -> None:
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:

        def execute(script: str) -> None:
            connection.exec_driver_sql(script, execution_options={"no_parameters": True})

        def empty(_name: str) -> None:
            execute(EMPTY + ARM)
            execute("CHECKPOINT")

        def filled(name: str) -> None:
            empty(name)
            execute(INSERT.format(table=TABLES[name]))
            execute("CHECKPOINT")

        execute(SETUP.replace("{rows}", str(rows)))
        backend = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        version = connection.execute(sa.text("SELECT version()")).scalar_one().split(" (")[0]
        print(f"{version}, {machine()}, {rows:,} buildings of 13 vertices, GiST and b-tree indexes on both")
        for title, statement, prepare in (("bulk insert", INSERT, empty), ("bulk update", UPDATE, filled)):
            contestants = {
                name: (lambda t=table, s=statement: execute(s.format(table=t))) for name, table in TABLES.items()
            }
            samples = measure(contestants, prepare=prepare, server=lambda: cpu_of_tree(backend))
            report(title, samples, rows, "rows", "without triggers")


def _load(database: Database, rows: int) -> None:
    """Measure the loader: the same rows by COPY and MERGE into either table."""
    plain = database.table("building").to_metadata(sa.MetaData(), schema="bench", name="plain")
    plain.primary_key.name = "plain_pkey"
    targets = dict(zip(TABLES, (plain, database.table("building")), strict=True))
    wanted = ("name", "usage", "structure", "status", "year_built", "storeys_above", "height", "gross_floor_area")
    with database.engine.connect() as connection:
        columns = [sa.column(name) for name in ("code", *wanted)]
        wkb = sa.func.ST_AsBinary(sa.column("geom")).label("geom")
        found = connection.execute(sa.select(*columns, wkb).select_from(sa.table("source", schema="bench"))).mappings()
        table = pa.Table.from_pylist([dict(row) for row in found])

    def load(target: sa.Table) -> None:
        with database.engine.begin() as connection:
            merge(connection, target, Rows(table, Carried(wanted, [], [], geometry=True)))

    def empty(_name: str) -> None:
        with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(EMPTY + ARM, execution_options={"no_parameters": True})
            connection.exec_driver_sql("CHECKPOINT")

    postmaster = cluster.status(database.settings).pid
    assert postmaster is not None
    contestants = {name: (lambda t=target: load(t)) for name, target in targets.items()}
    samples = measure(contestants, prepare=empty, server=lambda: cpu_of_tree(postmaster))
    report("bulk load, COPY and MERGE from the client", samples, rows, "rows", "without triggers")


if __name__ == "__main__":
    main()
