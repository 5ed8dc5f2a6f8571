"""Whoever writes, the database records it: one revision for each change, none for a change of nothing."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from cim.db.engine import Database

SQUARE = "ST_GeomFromText('MULTIPOLYGON(((500000 4300000,500010 4300000,500010 4300010,500000 4300000)))', 4548)"


@pytest.fixture
def connection(database: Database) -> sa.Connection:
    with database.engine.connect() as connection:
        yield connection


def run(connection: sa.Connection, statement: str) -> None:
    connection.execute(sa.text(statement))


def revisions(connection: sa.Connection, type_name: str = "building") -> list[tuple[object, ...]]:
    rows = connection.execute(
        sa.text("SELECT code, rev, op, body FROM cim.revision WHERE type = :type ORDER BY id"),
        {"type": type_name},
    )
    return [tuple(row) for row in rows]


def test_insert_update_delete_and_insert_again_count_on(connection: sa.Connection) -> None:
    run(connection, f"INSERT INTO city.building (code, name, height, geom) VALUES ('b1', '甲', 9.5, {SQUARE})")
    run(connection, "UPDATE city.building SET height = 12")
    run(connection, "DELETE FROM city.building")
    run(connection, "INSERT INTO city.building (code, name) VALUES ('b1', '乙')")
    assert revisions(connection) == [
        ("b1", 1, "insert", {"name": "甲", "height": 9.5}),
        ("b1", 2, "update", {"name": "甲", "height": 12}),
        ("b1", 3, "delete", None),
        ("b1", 4, "insert", {"name": "乙"}),
    ]


def test_changing_nothing_records_nothing(connection: sa.Connection) -> None:
    run(connection, f"INSERT INTO city.building (code, name, geom) VALUES ('b1', 'x', {SQUARE})")
    run(connection, f"UPDATE city.building SET name = 'x', geom = {SQUARE}, rev = 99")
    run(connection, "UPDATE city.building SET name = 'y' WHERE code = 'nobody'")
    assert [row[1] for row in revisions(connection)] == [1]


def test_a_statement_over_many_rows_records_each(connection: sa.Connection) -> None:
    run(connection, "INSERT INTO city.building (code) SELECT 'b' || i FROM generate_series(1, 1000) i")
    run(connection, "UPDATE city.building SET name = code WHERE code < 'b2'")
    changed = connection.execute(sa.text("SELECT count(*) FROM city.building WHERE code < 'b2'")).scalar_one()
    assert len(revisions(connection)) == 1000 + changed


def test_who_why_and_from_where_are_recorded(connection: sa.Connection) -> None:
    run(connection, "SELECT cim.set_context('li.wei', 'survey 7', 'sha256:ab')")
    run(connection, "INSERT INTO city.building (code) VALUES ('b1')")
    row = connection.execute(sa.text("SELECT actor, reason, dataset FROM cim.revision WHERE code = 'b1'")).one()
    assert tuple(row) == ("li.wei", "survey 7", "sha256:ab")


def test_without_context_the_actor_is_the_session_user(connection: sa.Connection) -> None:
    run(connection, "INSERT INTO city.building (code) VALUES ('b1')")
    actor, user = connection.execute(sa.text("SELECT actor, session_user FROM cim.revision WHERE code = 'b1'")).one()
    assert actor == user


def test_triggers_fire_in_replica_mode_too(connection: sa.Connection) -> None:
    run(connection, "SET session_replication_role = replica")
    run(connection, "INSERT INTO city.building (code) VALUES ('b1')")
    assert len(revisions(connection)) == 1


def test_personal_data_stays_out_of_the_revision(connection: sa.Connection) -> None:
    run(connection, "INSERT INTO city.unit (code, name, owner_name) VALUES ('u1', '101', '王芳')")
    assert revisions(connection, "unit") == [("u1", 1, "insert", {"name": "101"})]
    row = connection.execute(sa.text("SELECT field, octet_length(salt), value FROM cim.private_value")).one()
    assert tuple(row) == ("owner_name", 32, "王芳")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE city.building SET code = 'b2'", "never changed in place"),
        ("TRUNCATE city.building", "so that each is recorded"),
        ("DELETE FROM cim.revision", "append-only"),
        ("UPDATE cim.revision SET actor = 'nobody'", "append-only"),
        ("TRUNCATE cim.leaf", "append-only"),
        ("INSERT INTO city.building (code, height) VALUES ('b3', 'NaN')", "building_height_valid"),
        ("INSERT INTO city.building (code, usage) VALUES ('b3', 'castle')", "building_usage_valid"),
    ],
)
def test_what_would_break_the_record_is_refused(connection: sa.Connection, statement: str, message: str) -> None:
    run(connection, "INSERT INTO city.building (code) VALUES ('b1')")
    with pytest.raises(sa.exc.DBAPIError, match=message):
        run(connection, statement)


def test_doubles_keep_all_their_digits_whatever_the_session_says(connection: sa.Connection) -> None:
    run(connection, "SET extra_float_digits = -10")
    run(connection, "INSERT INTO city.building (code, height) VALUES ('b1', 0.1::float8 + 0.2::float8)")
    assert revisions(connection)[0][3] == {"height": 0.30000000000000004}


def test_dates_and_nested_attributes_are_kept_as_they_are(connection: sa.Connection) -> None:
    run(connection, "SET datestyle = 'German, DMY'")
    run(
        connection,
        "INSERT INTO city.building (code, valid_from, attributes) "
        """VALUES ('b1', DATE '2020-02-01', '{"a": {"b": null}, "c": "\\"quoted\\""}')""",
    )
    attributes = {"a": {"b": None}, "c": '"quoted"'}
    assert revisions(connection)[0][3] == {"valid_from": "2020-02-01", "attributes": attributes}


def test_a_bulk_load_after_single_rows_looks_revisions_up_by_index(connection: sa.Connection) -> None:
    """Plans are made once a session: one made for an empty table must not scan when there are many rows."""
    for number in range(7):
        run(connection, f"INSERT INTO city.unit (code, owner_name) VALUES ('u{number}', 'x')")
    for batch in "ab":
        run(
            connection,
            f"INSERT INTO city.unit (code, owner_name) SELECT '{batch}' || i, 'x' FROM generate_series(1, 2000) i",
        )
    read = connection.execute(
        sa.text("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relid = 'cim.revision'::regclass")
    ).scalar_one()
    assert read < 100
