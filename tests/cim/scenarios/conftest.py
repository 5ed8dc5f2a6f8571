"""A city small enough to work out on paper: a district of 100 × 100 m cut out of two parcels and a street."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from cim.db.engine import Database
from cim.scenarios import run
from cim.settings import Settings

DISTRICT = "RD-TEST-01"
X, Y = 500_000, 4_320_000
P1, P2 = "130629001001GB00001", "130629001001GB00002"


def box(x: float, y: float, width: float, height: float) -> str:
    """WKT of a rectangle, from the south-west corner of the district, in metres."""
    west, south, east, north = X + x, Y + y, X + x + width, Y + y + height
    return f"POLYGON(({west} {south},{east} {south},{east} {north},{west} {north},{west} {south}))"


def line(*points: tuple[float, float]) -> str:
    """WKT of a line, from the south-west corner of the district, in metres."""
    return f"LINESTRING({','.join(f'{X + x} {Y + y}' for x, y in points)})"


def building(number: int, geom: str | None, **values: Any) -> dict[str, Any]:
    """A building of parcel 1 or wherever it says; without geometry where `geom` is None."""
    record = {"code": f"{P1}F{number:04d}0000", **values}
    return record if geom is None else {**record, "geom": geom}


CITY: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "renewal_district": [{"code": DISTRICT, "name": "东街片区", "geom": box(0, 0, 100, 100)}],
    "parcel": [
        {"code": P1, "tenure": "state_owned", "geom": box(0, 0, 40, 50)},
        {"code": P2, "tenure": "collective", "geom": box(60, 0, 60, 50)},  # 20 of its 60 m lie outside
    ],
    "building": [
        building(
            1,
            box(5, 5, 10, 12),
            parcel_code=P1,
            usage="residential",
            structure="mixed",
            status="in_use",
            year_built=1985,
            storeys_above=3,
            storeys_below=0,
            gross_floor_area=360.0,
            dwellings=6,
            households=5,
            danger_grade="B",
        ),
        building(
            2,
            box(85, 10, 20, 10),
            parcel_code=P2,
            usage="office",
            structure="steel",
            status="in_use",
            year_built=2010,
            storeys_above=4,
            gross_floor_area=801.0,
            dwellings=0,
            households=0,
        ),
        building(
            3,
            box(98, 30, 20, 10),
            parcel_code=P2,
            usage="residential",
            structure="brick_wood",
            status="in_use",
            year_built=1960,
            storeys_above=5,
            gross_floor_area=1000.0,
            dwellings=40,
            households=40,
        ),
        building(4, box(20, 20, 5, 4), parcel_code=P1, usage="residential", storeys_above=2),
        building(
            5,
            box(30, 30, 5, 5),
            parcel_code=P1,
            usage="residential",
            status="demolished",
            year_built=1950,
            storeys_above=1,
            gross_floor_area=25.0,
        ),
        building(
            6,
            box(45, 10, 5, 5),
            usage="commercial",
            structure="steel",
            status="in_use",
            year_built=2020,
            storeys_above=1,
            gross_floor_area=25.0,
        ),
        building(
            7,
            None,
            parcel_code=P1,
            usage="residential",
            status="in_use",
            year_built=1999,
            storeys_above=1,
            footprint_area=30.0,
            dwellings=1,
            households=1,
        ),
    ],
    "road": [
        {"code": "RO-1", "geom": line((50, -10), (50, 110))},
        {"code": "RO-2", "geom": line((0, 100), (100, 100))},
        {"code": "RO-3", "status": "demolished", "geom": line((55, 0), (55, 100))},
    ],
    "green_space": [
        {"code": "GR-1", "counts_as_green": True, "geom": box(0, 35, 10, 10)},
        {"code": "GR-2", "geom": box(95, 60, 10, 10)},
        {"code": "GR-3", "counts_as_green": False, "geom": box(20, 60, 10, 10)},
    ],
}


@pytest.fixture(scope="session")
def unchanging(
    clone: Callable[[], str], put: Callable[[Database, Any], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """The city, loaded once for the tests that only ask."""
    home = tmp_path_factory.mktemp("unchanging")
    database = Database(Settings(home=home, database_url=clone(), origin="example.org/test"))
    put(database, CITY)
    yield database
    database.dispose()


@pytest.fixture
def city(database: Database, put: Callable[[Database, Any], int]) -> Database:
    """The city in a database that the test may change."""
    put(database, CITY)
    return database


@pytest.fixture(name="box")
def box_fixture() -> Callable[..., str]:
    """WKT of a rectangle x, y, width, height from the south-west corner of the district."""
    return box


@pytest.fixture(name="building")
def building_fixture() -> Callable[..., dict[str, Any]]:
    """A building record by number, geometry and values."""
    return building


@pytest.fixture(name="line")
def line_fixture() -> Callable[..., str]:
    """WKT of a line through points, from the south-west corner of the district."""
    return line


@pytest.fixture(scope="session")
def ask(unchanging: Database) -> Callable[..., dict[str, Any]]:
    """Run a scenario on the district, on 2026-06-30 unless said otherwise, and answer the whole document."""

    def asked(scenario_id: str, database: Database = unchanging, **inputs: Any) -> dict[str, Any]:
        given = {"scope": DISTRICT, "reference_date": "2026-06-30"} | inputs
        return run(database, scenario_id, given)

    return asked
