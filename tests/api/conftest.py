"""A city served for real: PostGIS, uvicorn on a free port, an HTTP client."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn

from api.app import create_app
from api.server import configuration
from cim.city import City
from cim.db.engine import Database
from cim.settings import Settings

X, Y = 500_000, 4_318_000
BUILDINGS = 2_603  # more than two pages of 1000, and not a round number
OTHERS = 23


def geometry(kind: str, number: int) -> str:
    """EWKT of a small geometry of that kind, on a grid of 20 m."""
    x, y = X + number % 100 * 20, Y + number // 100 * 20
    ring = f"{x} {y},{x + 10} {y},{x + 10} {y + 10},{x} {y + 10},{x} {y}"
    text = {
        "Point": f"POINT({x} {y})",
        "MultiLineString": f"MULTILINESTRING(({x} {y},{x + 10} {y + 5}))",
        "MultiPolygon": f"MULTIPOLYGON((({ring})))",
        "Geometry": f"POLYGON(({ring}))",
    }[kind]
    return f"SRID=4548;{text}"


def rows(database: Database, type_name: str, count: int) -> list[dict[str, Any]]:
    """Objects of a type; every tenth has no geometry where the type allows it."""
    feature_type = database.dictionary.type(type_name)
    found: list[dict[str, Any]] = []
    for number in range(count):
        row: dict[str, Any] = {"code": f"{type_name}-{number:05d}"}
        if feature_type.geometry is not None:
            missing = number % 10 == 0 and not feature_type.geometry_required
            row["geom"] = None if missing else geometry(feature_type.geometry, number)
        found.append(row)
    return found


def seed(database: Database) -> None:
    """Fill every table."""
    with database.engine.begin() as connection:
        for name in database.dictionary.types:
            objects = rows(database, name, BUILDINGS if name == "building" else OTHERS)
            if name == "building":
                for number, row in enumerate(objects):
                    row |= {"name": f"House {number}", "height": number / 10, "year_built": 1950 + number % 70}
            if name == "unit":
                for row in objects:
                    row |= {"owner_name": "Han Meimei", "owner_id": "110101199003070031"}
            connection.execute(sa.insert(database.table(name)), objects)


@contextmanager
def serving(settings: Settings, city: City | None = None) -> Iterator[str]:
    """Serve a city in a thread of its own, and answer with the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configuration(create_app(settings, city)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(300)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture(scope="package")
def city(clone: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """A seeded and sequenced city. Tests that write take `own` instead."""
    home = tmp_path_factory.mktemp("api")
    with City(Settings(home=home, database_url=clone(), origin="example.org/api")) as opened:
        seed(opened.database)
        opened.sequence()
        yield opened


@pytest.fixture(scope="package")
def base(city: City) -> Iterator[str]:
    """Address of the served city."""
    with serving(city.settings, city) as address:
        yield address


@pytest.fixture(scope="package")
def http(base: str) -> Iterator[httpx.Client]:
    """Client of the served city."""
    with httpx.Client(base_url=base, timeout=300) as client:
        yield client


@pytest.fixture
def own(settings: Settings) -> Iterator[tuple[City, httpx.Client]]:
    """A small city of one's own with its client, to write to."""
    with City(settings) as opened:
        with opened.database.engine.begin() as connection:
            table = opened.database.table("building")
            connection.execute(sa.insert(table), rows(opened.database, "building", 25))
        opened.sequence()
        with serving(settings, opened) as address, httpx.Client(base_url=address, timeout=300) as client:
            yield opened, client


@pytest.fixture(name="serving", scope="session")
def serve_cities() -> Callable[..., AbstractContextManager[str]]:
    """Serve any city for a while; answers with its address."""
    return serving
