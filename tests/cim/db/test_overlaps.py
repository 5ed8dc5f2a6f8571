from __future__ import annotations

from cim.db.engine import Database
from cim.db.script import query

# The footprint of a wall in a model (SimpleWall.ifc, placed in EPSG:8857). PostGIS gives what it has in common with
# itself an area that is greater than its own, in the last place.
WALL = (
    "MULTIPOLYGON(((-5946961.568 5181596.982,-5946961.577 5181596.957,-5946961.5 5181596.957,-5946961.491 5181596.982,"
    "-5946960.561 5181596.982,-5946960.57 5181596.957,-5946960.493 5181596.957,-5946960.484 5181596.982,"
    "-5946958.994 5181596.982,-5946958.923 5181597.179,-5946960.413 5181597.179,-5946960.404 5181597.203,"
    "-5946960.481 5181597.203,-5946960.49 5181597.179,-5946961.42 5181597.179,-5946961.411 5181597.203,"
    "-5946961.488 5181597.203,-5946961.497 5181597.179,-5946962.986 5181597.179,-5946963.057 5181596.982,"
    "-5946961.568 5181596.982)))"
)


def test_no_share_is_more_than_the_whole(database: Database) -> None:
    with database.engine.begin() as connection:
        for name in ("matching/stage", "matching/stage_claimed"):
            connection.execute(query(name))
        for table in ("staged", "target"):
            row = f"SELECT 0 AS record_, '{table}' AS code, '{WALL}'::geometry AS geom"
            connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {table} ON COMMIT DROP AS {row}")
        connection.exec_driver_sql("INSERT INTO unmatched (record, name, minted) VALUES (0, 'staged', true)")
        tables = {"staged": "pg_temp.staged", "target": "pg_temp.target", "touch": 0.1, "same": 0.6}
        ((_, code, *shares, aligned),) = connection.execute(query("matching/overlaps"), tables)
    assert (code, shares, aligned) == ("target", [1.0, 1.0, 1.0], None)
