"""A handful of buildings whose answers can be told by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import pytest
import sqlalchemy as sa

from cim.db.engine import Database
from cim.settings import Settings

# EPSG:4548: x from the false easting at 117° E, y of about 39° N. Each building is a square of 10 m.
X, Y = 500_000, 4_318_000


def square(x: float, y: float, size: float = 10) -> str:
    """EWKT of a square with its lower left corner at x, y metres from the origin."""
    corners = [(x, y), (x + size, y), (x + size, y + size), (x, y + size), (x, y)]
    return f"SRID=4548;MULTIPOLYGON((({','.join(f'{X + a} {Y + b}' for a, b in corners)})))"


NAMES = ("code", "name", "height", "year_built", "has_lift", "structure", "valid_from", "valid_to", "geom")
VALUES = [
    ("A1", "Alpha", 12.5, 1960, False, "brick_wood", date(1960, 5, 1), None, square(0, 0)),
    ("A2", "alpha's annex", 30.0, 1985, True, "mixed", date(1985, 1, 1), date(2020, 6, 30), square(100, 0)),
    ("B1", "Beta 100%", None, None, None, None, None, None, square(1000, 1000)),
    ("B2", "贝塔", 99.9, 2019, True, "steel", date(2019, 1, 1), None, square(-500, 200)),
    ("a3", None, 7.0, 1960, False, "brick_wood", None, date(1999, 12, 31), None),
]
UNIT = {"code": "U1", "owner_name": "Li Lei", "room_number": "101"}


@pytest.fixture(scope="module")
def town(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with five buildings, one without geometry, and a unit with an owner. Do not write to it."""
    database = Database(Settings(home=tmp_path_factory.mktemp("town"), database_url=clone(), origin="example.org/town"))
    with database.engine.begin() as connection:
        connection.execute(sa.insert(database.table("building")), [dict(zip(NAMES, v, strict=True)) for v in VALUES])
        connection.execute(sa.insert(database.table("unit")), [UNIT])
    yield database
    database.dispose()
