"""What goes wrong in the database is told as an error of ours, and what is written says by whom and why."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from cim.db.engine import Database
from cim.errors import DatabaseError


def test_a_login_without_rights_is_told(database: Database) -> None:
    def read() -> None:
        with database.writing(None, None) as connection:
            connection.execute(sa.text("SET LOCAL ROLE pg_monitor"))  # a role of every server, without rights to ours
            connection.execute(sa.text("SELECT * FROM city.building"))

    with pytest.raises(DatabaseError, match="the database refuses: permission denied for schema city; use a login"):
        read()


def test_a_lost_connection_is_told(database: Database) -> None:
    with (
        pytest.raises(DatabaseError, match=r"the database gave up: .*; see that it runs and answers, and run again"),
        database.reading() as connection,
    ):
        connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_other_errors_stay_what_they_are(database: Database) -> None:
    with pytest.raises(sa.exc.ProgrammingError), database.reading() as connection:
        connection.execute(sa.text("SELECT 1 FROM city.castle"))


def test_all_reads_are_of_one_state(database: Database) -> None:
    count = sa.text("SELECT count(*) FROM city.road")
    with database.reading() as connection:
        assert connection.execute(count).scalar_one() == 0
        with database.writing("surveyor", "found") as other:
            other.execute(
                sa.text("INSERT INTO city.road (code, geom) VALUES ('r', 'SRID=4548;MULTILINESTRING((0 0,1 1))')")
            )
        assert connection.execute(count).scalar_one() == 0
    with database.reading() as connection:
        assert connection.execute(count).scalar_one() == 1
        said = sa.text("SELECT actor, reason FROM cim.revision WHERE type = 'road'")
        assert connection.execute(said).one() == ("surveyor", "found")
