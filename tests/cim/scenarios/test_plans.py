"""What is looked up by code, or waits for its leaf, is found by an index: a city has a million objects."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.script import query


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("targets", {"size": None, "buildings": ["A"], "parcels": ["B"]}),
        ("targets", {"size": 1, "buildings": ["A"], "parcels": ["B"]}),
        ("scope_of_parcels", {"size": None, "codes": ["B"]}),
        ("candidate_clusters", {"size": None, "codes": ["A"], "metres": 60.0, "buildings": 8}),
        ("standing", {"size": 1, "types": ["building"]}),
    ],
)
def test_no_table_of_the_city_is_read_through(database: Database, name: str, given: dict[str, Any]) -> None:
    with database.engine.connect() as connection:
        connection.execute(query("scenarios/settle"))
        # Where an index serves at all it is taken now, however few rows there are.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        text = query(f"scenarios/{name}").text
        plan = "\n".join(connection.execute(sa.text(f"EXPLAIN {text}"), given).scalars())
    for table in ("building", "parcel", "revision"):
        assert f"Seq Scan on {table}" not in plan, plan
    if name == "standing":
        assert "revision_xid" in plan, plan
