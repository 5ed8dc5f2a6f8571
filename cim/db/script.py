"""Load and run SQL files. The only place that knows where they lie."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, TextClause, text

FOLDER = Path(__file__).parent


@cache
def query(name: str) -> TextClause:
    """Return the query `queries/<name>.sql`, with `:named` parameters, ready to execute.

    Raises
    ------
    FileNotFoundError : there is no such file (our defect).
    """
    return text((FOLDER / "queries" / f"{name}.sql").read_text(encoding="utf-8"))


def functions() -> list[str]:
    """Return the function scripts, in name order; applying one twice is harmless."""
    return [path.read_text(encoding="utf-8") for path in sorted((FOLDER / "functions").glob("*.sql"))]


def execute_script(connection: Connection, script: str) -> None:
    """Run a script as it stands: `%` and `:name` in it are not parameters."""
    connection.exec_driver_sql(script, execution_options={"no_parameters": True})
