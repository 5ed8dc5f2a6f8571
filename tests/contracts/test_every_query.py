"""Every query file prepares on a migrated database and is used; every Python file outside `cim/db` is free of SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cim.db.engine import Database
from cim.db.script import FOLDER, query

ROOT = FOLDER.parents[1]
QUERIES = sorted(str(path.relative_to(FOLDER / "queries").with_suffix("")) for path in FOLDER.glob("queries/**/*.sql"))


@pytest.fixture(scope="module")
def migrated(clone: Callable[[], str]) -> Iterator[sa.Engine]:
    engine = sa.create_engine(clone())
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def sources() -> dict[Path, str]:
    paths = [path for folder in ("cim", "ingest", "api") for path in sorted((ROOT / folder).rglob("*.py"))]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def prepares(name: str) -> bool:
    """COPY, CREATE, SET and VACUUM cannot be prepared; the tests of what they are for run them."""
    statement = re.sub(r"\A(--.*\n)+", "", query(name).text)
    return not statement.startswith(("COPY", "CREATE", "SET", "VACUUM"))


@pytest.mark.parametrize("name", [name for name in QUERIES if prepares(name)])
def test_it_prepares(migrated: sa.Engine, name: str) -> None:
    parameters = iter(range(1, 100))
    numbered = re.sub(r"%\(\w+\)s", lambda _: f"${next(parameters)}", str(query(name).compile(migrated)))
    with migrated.connect() as connection:
        if name.startswith("replay/"):
            connection.execute(query("replay/stage"))
        if name.startswith("matching/"):
            connection.execute(query("matching/stage"))
        connection.exec_driver_sql(
            f"PREPARE checked AS {numbered.replace('%%', '%')}", execution_options={"no_parameters": True}
        )
        connection.rollback()
        connection.exec_driver_sql("DEALLOCATE checked")


@pytest.mark.parametrize("name", QUERIES)
def test_it_is_used(name: str, sources: dict[Path, str]) -> None:
    # A scenario's own query goes by the scenario's name.
    spelled = Path(name).name if name.startswith("scenarios/") else f'"{name}"'
    assert any(spelled in text for text in sources.values()), f"{name}.sql is used nowhere; remove it"


def test_sql_stays_in_its_folder(sources: dict[Path, str]) -> None:
    statement = re.compile(r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+TABLE)\b")
    outside = {path: text for path, text in sources.items() if not path.is_relative_to(FOLDER)}
    assert [str(path.relative_to(ROOT)) for path, text in outside.items() if statement.search(text)] == []


def test_the_tables_are_those_of_the_dictionary(database: Database) -> None:
    """Alembic's comparison finds nothing to add: the database has not drifted."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_schemas": True, "include_name": lambda n, kind, _: kind != "schema" or n == "city"},
        )
        assert compare_metadata(context, database.metadata) == []
