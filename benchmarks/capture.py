"""What capture costs: bulk insert and bulk update of buildings with the triggers, and without.

Run: python -m benchmarks.capture [rows]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa

from benchmarks._measure import cpu_of_tree, machine, measure, report
from cim.db.cluster import stop
from cim.db.engine import Database
from cim.settings import Settings

ROWS = 20_000
SETUP = """
CREATE SCHEMA bench;
CREATE TABLE bench.plain (LIKE city.building INCLUDING ALL);
ALTER TABLE bench.plain ALTER rev SET DEFAULT 1;
CREATE TABLE bench.source AS
SELECT 'b' || lpad(i::text, 27, '0') AS code, '楼 ' || i AS name, 'residential' AS usage, 'mixed' AS structure,
       'in_use' AS status, 1950 + i % 70 AS year_built, 1 + i % 9 AS storeys_above, 3.0 * (1 + i % 9) AS height,
       120.5 * (1 + i % 9) AS gross_floor_area, '{"source": "bench"}'::jsonb AS attributes,
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
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        database = Database(settings)
        try:
            _run(database, rows)
        finally:
            database.dispose()
            stop(settings)


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


if __name__ == "__main__":
    main()
