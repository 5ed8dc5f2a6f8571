"""One city for all tests here that need a database: each uses codes of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cim.city import City
from cim.settings import Settings


@pytest.fixture(scope="package")
def city(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """A city that the tests commit to, on a real PostGIS."""
    settings = Settings(home=tmp_path_factory.mktemp("codes"), database_url=clone(), origin="example.org/codes")
    with City(settings) as city:
        yield city


@pytest.fixture(scope="package")
def run(city: City) -> Callable[..., None]:
    """Run statements in one transaction and commit."""

    def execute(*statements: str) -> None:
        with city.database.engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    return execute


@pytest.fixture(scope="package")
def rows(city: City) -> Callable[[str], list[tuple[Any, ...]]]:
    """Answer the rows of a query."""

    def ask(statement: str) -> list[tuple[Any, ...]]:
        with city.database.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement))]

    return ask
