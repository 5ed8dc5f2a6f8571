"""What is told of an error to whoever is at the other end."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa

from api.errors import answer_of
from cim.db.engine import told
from cim.errors import CimError, DatabaseError

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/codes/olc/x",
    "headers": [],
    "query_string": b"",
    "server": ("t", 1),
}


@pytest.mark.parametrize(
    ("kind", "cause", "status"),
    [
        (sa.exc.OperationalError, psycopg.OperationalError("connection to 10.0.0.7, user secret, failed"), 503),
        (sa.exc.ProgrammingError, psycopg.errors.InsufficientPrivilege("permission denied for table secret"), 500),
    ],
)
def test_what_the_database_says_of_itself_stays_here(
    kind: type[sa.exc.DBAPIError], cause: Exception, status: int
) -> None:
    with pytest.raises(DatabaseError, match="secret") as raised, told():
        raise kind("SELECT secret", None, cause)
    answer = answer_of(SCOPE, raised.value)
    assert answer.status_code == status
    assert b"secret" not in answer.body
    assert b"10.0.0.7" not in answer.body


def test_where_a_file_lies_stays_here() -> None:
    error = CimError("cannot read /srv/secret: Permission denied")
    error.__cause__ = PermissionError(13, "Permission denied", "/srv/secret")
    answer = answer_of(SCOPE, error)
    assert answer.status_code == 500
    assert b"secret" not in answer.body
