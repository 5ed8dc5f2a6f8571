from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
import sqlalchemy as sa

from cim.db.engine import Database
from cim.settings import Settings
from ingest import Report

SRID = 4548
# A corner of the sample district in EPSG:4548, so that layers written here lie where the storage CRS is made for.
EAST, NORTH = 421_000.0, 4_318_000.0


def _square(x: float = 0.0, y: float = 0.0, side: float = 10.0) -> shapely.Polygon:
    """A square with its lower left corner at (x, y) metres from the corner of the district."""
    return shapely.box(EAST + x, NORTH + y, EAST + x + side, NORTH + y + side)


def _write(
    path: Path,
    records: Sequence[dict[str, Any]],
    shapes: Sequence[shapely.Geometry | None],
    *,
    system: int | None = SRID,
    **options: Any,
) -> Path:
    """Write a layer in the format of the suffix; GeoJSON with the member `crs`, as records in metres need."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".geojson", ".json"):
        features = [
            {"type": "Feature", "properties": r, "geometry": None if s is None else shapely.geometry.mapping(s)}
            for r, s in zip(records, shapes, strict=True)
        ]
        document: dict[str, Any] = {"type": "FeatureCollection", "features": features}
        if system is not None:
            document["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{system}"}}
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    else:
        frame = gpd.GeoDataFrame(list(records), geometry=list(shapes), crs=system)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # meant, where a test says so
            frame.to_file(path, engine="pyogrio", **options)
    return path


@pytest.fixture
def rows(database: Database) -> Callable[..., list[dict[str, Any]]]:
    """Read a feature table back, by code, geometry as WKT."""

    def read(type_name: str, *columns: str) -> list[dict[str, Any]]:
        table = database.table(type_name)
        with database.engine.connect() as connection:
            found = connection.execute(sa.select(table).order_by(table.c.code)).mappings().all()
        plain = [dict(row) for row in found]
        for row in plain:
            if row.get("geom") is not None:
                row["geom"] = shapely.from_wkb(bytes(row["geom"].data)).wkt
        return [{name: row[name] for name in columns} for row in plain] if columns else plain

    return read


@pytest.fixture
def second(clone: Callable[[], str], tmp_path: Path) -> Iterator[Database]:
    """Another empty database."""
    database = Database(Settings(home=tmp_path / "second", database_url=clone(), origin="example.org/test"))
    yield database
    database.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that depend on each other's order: one object in several, one file twice, names twice, one broken."""
    root = tmp_path / "folder"
    parcel = "130638003001GB00001"
    one, two, three, four = (f"{parcel}F000{n}0000" for n in (1, 2, 3, 4))

    def layer(name: str, *records: dict[str, Any]) -> Path:
        shapes = [_square(20 * int(r.get("code", "0")[-6]) if len(r.get("code", "")) > 20 else 0) for r in records]
        return _write(root / name, list(records), shapes)

    layer("a/building.gpkg", {"code": one, "height": 1.0}, {"code": two, "height": 1.0})
    layer("b/building.geojson", {"code": one, "height": 2.0}, {"code": "1", "height": 2.0})
    layer("c/building.geojson", {"code": three, "height": 3.0}, {"code": one, "height": 3.0})
    (root / "d").mkdir()
    (root / "d/building.geojson").write_bytes((root / "b/building.geojson").read_bytes())
    (root / "e_building.geojson").write_text("{", encoding="utf-8")
    layer("f/building.fgb", {"code": four, "height": 4.0}, {"code": two, "height": 4.0})
    layer("z/parcel.gpkg", {"code": parcel})
    return root


@pytest.fixture
def outcome() -> Callable[[Report, Database], object]:
    """Return all that a run reports, but how long it took, and all that it left: revisions in order, and rejects."""

    def told_and_recorded(report: Report, database: Database) -> object:
        told = [asdict(file) | {"seconds": 0} for file in report.files]
        revisions = (
            "SELECT type, code, rev, op, dataset, body::text, ST_AsText(geom) FROM cim.revision"
            " WHERE type <> 'schema' ORDER BY id"
        )
        rejects = "SELECT dataset, layer, source_id, reason FROM cim.reject ORDER BY id"
        with database.engine.connect() as connection:
            recorded = [connection.exec_driver_sql(query).all() for query in (revisions, rejects)]
        return told, recorded

    return told_and_recorded


@pytest.fixture(scope="session")
def database_in(
    administrator: sa.Engine, server_url: sa.URL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[int], Database]]:
    """Make databases with a storage CRS of their own: `database_in(6677)`."""
    made: list[tuple[str, Database]] = []

    def make(srid: int) -> Database:
        name = f"cim_test_{uuid.uuid4().hex[:8]}"
        with administrator.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
        url = server_url.set(database=name).render_as_string(hide_password=False)
        database = Database(Settings(home=tmp_path_factory.mktemp(name), database_url=url, srid=srid))
        made.append((name, database))
        return database

    yield make
    for name, database in made:
        database.dispose()
        with administrator.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')


def _waiting(database: Database) -> int:
    # Not one that waits a moment for another lock: that of the migrations as it begins, or to make a table longer.
    asked = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event IN ('advisory', 'transactionid') AND query !~ 'cim[.]migration'"
    )
    with database.engine.connect() as connection:
        number: int = connection.execute(asked).scalar_one()
    return number


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "OGR_SKIP"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )


@pytest.fixture(scope="session")
def square() -> Callable[..., shapely.Polygon]:
    """Make a square: `square(x, y, side)`, metres."""
    return _square


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """Write a layer: `write(path, records, shapes)`."""
    return _write


@pytest.fixture(scope="session")
def waiting() -> Callable[[Database], int]:
    """Count sessions that wait for a type to merge into, for their turn or for another's rows: `waiting(database)`."""
    return _waiting


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code apart: `python(code, *arguments)`."""
    return _python
