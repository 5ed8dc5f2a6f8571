"""Load and run SQL files. The only place that knows where they lie."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, TextClause, text

FOLDER = Path(__file__).parent
# How a query calls city.<type>_at, and what takes its place to read the type through a branch (city.<type>_in).
AS_OF = re.compile(r"city\.(\w+)_at\(CAST\(:size AS bigint\)\)")
THROUGH = "city.{}_in(CAST(:size AS bigint), CAST(:branch AS jsonb))"


@cache
def query(name: str) -> TextClause:
    """Return the query `queries/<name>.sql`, with `:named` parameters, ready to execute.

    Raises
    ------
    FileNotFoundError : there is no such file (our defect).
    """
    return text((FOLDER / "queries" / f"{name}.sql").read_text(encoding="utf-8"))


@cache
def query_through(name: str, types: frozenset[str]) -> TextClause:
    """Return the query `queries/<name>.sql` as read through a branch that has objects of these types.

    It takes one more parameter, `branch`, unless it reads none of them.
    """

    def through(call: re.Match[str]) -> str:
        return THROUGH.format(call[1]) if call[1] in types else call[0]

    return text(AS_OF.sub(through, query(name).text))


def functions() -> list[str]:
    """Return the function scripts, in name order; applying one twice is harmless."""
    return [path.read_text(encoding="utf-8") for path in sorted((FOLDER / "functions").glob("*.sql"))]


def execute_script(connection: Connection, script: str) -> None:
    """Run a script as it stands: `%` and `:name` in it are not parameters."""
    connection.exec_driver_sql(script, execution_options={"no_parameters": True})
