"""What tests of the log do to a city that they commit to."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cim.city import City
from cim.log.signer import VERIFIER


def run(city: City, *statements: str, **parameters: Any) -> None:
    """Run statements in one transaction and commit."""
    with city.database.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement), parameters)


def rows(city: City, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with city.database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement))]


def key(city: City) -> str:
    """Return the verifier key of the city's log."""
    return (city.settings.keys_dir / VERIFIER).read_text(encoding="utf-8").strip()
