"""Load and run SQL files. The only place that knows where they lie."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, TextClause, text

FOLDER = Path(__file__).parent
# How a query calls city.<type>_at, and what takes its place where it is known which of the two that reads, or to read
# the type through a branch: half of what a small query takes is to plan the other one away.
AS_OF = re.compile(r"city\.(\w+)_at\(CAST\(:size AS bigint\)\)")
LIVE = "city.{}_now()"
LOGGED = "city.{}_logged(CAST(:size AS bigint))"
THROUGH = "city.{}_in(CAST(:branch AS jsonb))", "city.{}_in(CAST(:size AS bigint), CAST(:branch AS jsonb))"
# The same of queries that read what is recorded itself.
AT_SIZE = {
    r"cim\.revision\b": "cim.revisions_at(CAST(:size AS bigint))",
    r"(cim\.identifiers_named\([^)]*)\)": r"\1, CAST(:size AS bigint))",
    r"\bcurrent_date\b": "CAST(:day AS date)",
}


@cache
def query(name: str) -> TextClause:
    """Return the query `queries/<name>.sql`, with `:named` parameters, ready to execute.

    Raises
    ------
    FileNotFoundError : there is no such file (our defect).
    """
    return text((FOLDER / "queries" / f"{name}.sql").read_text(encoding="utf-8"))


@cache
def query_of_state(name: str, *, live: bool, branch: frozenset[str] = frozenset()) -> TextClause:
    """Return the query `queries/<name>.sql` as read from the live tables, or at the tree size `size`.

    Feature types in `branch` are read through one; then it takes one more parameter of that name.
    """

    def source(call: re.Match[str]) -> str:
        either = THROUGH if call[1] in branch else (LIVE, LOGGED)
        return either[not live].format(call[1])

    return text(AS_OF.sub(source, query(name).text))


@cache
def query_as_of(name: str) -> TextClause:
    """Return the query `queries/<name>.sql` as asked of what the log had at the tree size `size`, on the day `day`.

    Not by a parameter that may be null: the server would plan it anew each time, where nobody asks for a tree size.
    """
    found = query(name).text
    for now, then in AT_SIZE.items():
        found = re.sub(now, then, found)
    return text(found)


def functions() -> list[str]:
    """Return the function scripts, in name order; applying one twice is harmless."""
    return [path.read_text(encoding="utf-8") for path in sorted((FOLDER / "functions").glob("*.sql"))]


def bootstrap(name: str) -> str:
    """Return the statement `embedded/bootstrap/<name>.sql`, for a database that is not ours yet."""
    return (FOLDER / "embedded" / "bootstrap" / f"{name}.sql").read_text(encoding="utf-8")


def execute_script(connection: Connection, script: str) -> None:
    """Run a script as it stands: `%` and `:name` in it are not parameters."""
    connection.exec_driver_sql(script, execution_options={"no_parameters": True})
