"""The data set `bubenec` of momepy: 144 buildings and their tessellation, whose densities momepy's tests publish.

Its CRS is Web Mercator, which no city may be stored in; its numbers stand under a system that is planar, as only their
ratios are compared. Storeys are those of momepy's own test: heights from 10 to 30 m in equal steps, three metres a
storey.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import geopandas as gpd
import momepy
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from cim.db.engine import Database
from cim.scenarios import run
from cim.settings import Settings

DISTRICT = "bubenec"
# momepy 0.11, tests of coverage and floor area ratio
CAR_MEAN, FAR_MEAN = 0.3206556897709747, 1.910949846262234


@dataclass(frozen=True)
class Bubenec:
    """The data set in a database of its own, and as momepy gives it, by uID."""

    database: Database
    buildings: gpd.GeoDataFrame
    cells: gpd.GeoDataFrame


@pytest.fixture(scope="module")
def database(
    administrator: sa.Engine, server_url: sa.URL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database that stores EPSG:8857; the others are cloned from one that stores EPSG:4548."""
    name = f"cim_test_{uuid.uuid4().hex[:8]}"
    with administrator.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    url = server_url.set(database=name).render_as_string(hide_password=False)
    home = tmp_path_factory.mktemp("bubenec")
    database = Database(Settings(home=home, database_url=url, srid=8857, origin="example.org/bubenec"))
    yield database
    database.dispose()
    with administrator.connect() as connection:
        connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def bubenec(database: Database, log: Callable[[Database], int]) -> Bubenec:
    path = momepy.datasets.get_path("bubenec")
    buildings = gpd.read_file(path, layer="buildings").astype({"uID": int}).set_index("uID")
    cells = gpd.read_file(path, layer="tessellation").astype({"uID": int}).set_index("uID")
    buildings["storeys"] = np.linspace(10.0, 30.0, 144) // 3
    with database.engine.begin() as connection:
        land = sa.func.ST_Multi(sa.func.ST_GeomFromWKB(cells.union_all().buffer(10).wkb, 8857))
        connection.execute(sa.insert(database.table("renewal_district")).values(code=DISTRICT, geom=land))
        for uid, cell in cells.geometry.items():
            connection.execute(sa.insert(database.table("parcel")).values(code=f"P{uid}", geom=stored(cell)))
        for uid, row in buildings.iterrows():
            values = {
                "code": f"B{uid}",
                "parcel_code": f"P{uid}",
                "geom": stored(row.geometry),
                "storeys_above": int(row.storeys),
                "gross_floor_area": row.geometry.area * row.storeys,
            }
            connection.execute(sa.insert(database.table("building")).values(**values))
    log(database)
    return Bubenec(database, buildings, cells)


def stored(geometry: object) -> sa.ColumnElement[object]:
    return sa.func.ST_Multi(sa.func.ST_GeomFromWKB(geometry.wkb, 8857))  # type: ignore[attr-defined]


def test_the_published_means_bit_for_bit(bubenec: Bubenec) -> None:
    """Membership measures the areas; their unrounded quotients must be momepy's to the last bit."""
    statement = sa.text("""
        SELECT b.code, b.gross_floor_area, f.part AS footprint, p.part AS land
        FROM city.renewal_district d, city.building b JOIN city.parcel c ON c.code = b.parcel_code,
            LATERAL cim.membership(b.geom, d.geom, 'clip') f, LATERAL cim.membership(c.geom, d.geom, 'clip') p
    """)
    with bubenec.database.engine.connect() as connection:
        rows = pd.DataFrame(connection.execute(statement).mappings().all())
    rows.index = rows.code.str.removeprefix("B").astype(int)
    rows = rows.reindex(bubenec.buildings.index)
    assert len(rows) == 144
    assert (rows.footprint / rows.land).mean() == CAR_MEAN
    assert (rows.gross_floor_area / rows.land).mean() == FAR_MEAN


@pytest.mark.parametrize("gfa_rule", ["above_ground", "footprint_storeys"])
def test_ratios_of_sums(bubenec: Bubenec, gfa_rule: str) -> None:
    inputs = {"scope": DISTRICT, "gfa_rule": gfa_rule}
    net = run(bubenec.database, "density-indicators", inputs)["result"]["net"]
    assert net["far"]["value"] == 1.596589
    assert net["gsi"]["value"] == 0.287176
    assert round(net["storeys"]["value"], 4) == 5.5596
    assert net["osr"]["value"] == 0.446467
    assert net["far"]["n"] == net["far"]["n_known"] == 144


def test_each_parcel_agrees_with_momepy(bubenec: Bubenec) -> None:
    inputs = {"scope": DISTRICT, "level": "parcel"}
    document = run(bubenec.database, "density-indicators", inputs)
    parcels = document["result"]["parcels"]
    expected = bubenec.buildings.area * bubenec.buildings.storeys / bubenec.cells.area
    assert len(parcels) == 144
    # Square centimetres on cells of at least 100 m²: seven digits.
    for parcel in parcels:
        exact = expected[int(parcel["code"].removeprefix("P"))]
        assert parcel["far"]["num"] / parcel["far"]["den"] == pytest.approx(exact, rel=1e-6)
    mean = sum(parcel["far"]["num"] / parcel["far"]["den"] for parcel in parcels) / len(parcels)
    assert mean == pytest.approx(FAR_MEAN, rel=1e-7)
    assert document["coverage"]["scope"]["areas"].startswith("planar in EPSG:8857;")
