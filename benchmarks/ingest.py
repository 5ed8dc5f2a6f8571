"""Ingest of 112,354 real footprints against ogr2ogr and geopandas, into the same server, in turn.

Every contestant is a process of its own and is timed from its start to its end. Peers read the FlatGeobuf, transform
WGS 84 to JGD2011 / plane IX and fill a fresh table with a GiST index. "ours, bare" does just that; "to commit" adds
mapping, the 1 mm grid, validity, codes, checks, one MERGE and the capture of every revision; "sequenced" is
`cim ingest` as people run it, with the Merkle tree, tiles and a signed checkpoint. Peers get short field names: some
of the file's agree in the 63 bytes PostgreSQL keeps of a column's name, which stops them.

Run: python -m benchmarks.ingest [rounds], with ../shared/data beside the checkout.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pyogrio
import sqlalchemy as sa

from benchmarks._database import RunDatabase
from benchmarks._measure import machine, measure, report, scratch
from cim.db.cluster import ensure_running, stop
from cim.settings import Settings

SOURCE = Path(__file__).resolve().parents[2] / "shared" / "data" / "gis" / "tokyo23ku_east_buildings.fgb"
COUNT = 112_354
SRID = 6677
MAPPING = {
    "source": {"file": SOURCE.name},
    "type": "building",
    "source_id": "建物ID",
    "columns": {"height": "measuredHeight"},
}

GEOPANDAS = """
import sys, geopandas, sqlalchemy
frame = geopandas.read_file(sys.argv[1], use_arrow=True).to_crs(int(sys.argv[3]))
frame.columns = [f"c{i}" for i in range(8)] + ["geometry"]
engine = sqlalchemy.create_engine(sys.argv[2])
frame.to_postgis("peer", engine)
"""
# The same work without codes, checks, merge and capture: reader and copy of ours into a plain table.
BARE = """
import sys
from pathlib import Path
import pgpq, psycopg, pyarrow, shapely
from cim import crs, geometry
from ingest.formats import ReadOptions, format_of
path = Path(sys.argv[1])
(layer,) = format_of(path).read(path, ReadOptions())
table = layer.table()
shapes = crs.transform(shapely.from_wkb(table.column("geom").to_numpy()), layer.crs, crs.parse(int(sys.argv[3])))
names = [n for n in table.column_names if n != "geom"]
table = table.select(names).append_column("geom", [geometry.to_wkb(shapes)]).combine_chunks()
kinds = {"string": "text", "double": "float8", "int64": "int8", "int32": "int4", "bool": "boolean"}
table = table.rename_columns([f"c{i}" for i in range(8)] + ["geom"])
columns = [(f.name, "geometry" if f.name == "geom" else kinds[str(f.type)]) for f in table.schema]
identifier = psycopg.sql.Identifier
with psycopg.connect(sys.argv[2].replace("+psycopg", "")) as connection, connection.cursor() as cursor:
    fields = [psycopg.sql.SQL("{} " + kind).format(identifier(name)) for name, kind in columns]
    cursor.execute(psycopg.sql.SQL("CREATE TABLE peer ({})").format(psycopg.sql.SQL(", ").join(fields)))
    encoder = pgpq.ArrowToPostgresBinaryEncoder(table.schema)
    with cursor.copy("COPY peer FROM STDIN (FORMAT binary)") as copy:
        copy.write(encoder.write_header())
        for batch in table.to_batches(max_chunksize=65536):
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())
    cursor.execute("CREATE INDEX ON peer USING gist (geom)")
"""
TO_COMMIT = """
from cim.cli import leave_pandas_out
leave_pandas_out()
import gc, sys
from pathlib import Path
from cim.db.engine import Database
from cim.settings import Settings
from ingest import Options, ingest
from ingest.mapping import load
gc.freeze()
database = Database(Settings.from_environment())
mappings = load([Path(sys.argv[2])], database.dictionary)
result = ingest(database, [Path(sys.argv[1])], Options(mappings=mappings))
database.dispose()
assert result.total()["inserted"] == 112354, result
"""


class Race:
    """The server, the database each run starts from, and the command of each contestant."""

    def __init__(self, folder: Path, url: sa.URL) -> None:
        self.database = RunDatabase(folder, url, SRID)
        self.mapping = folder / "mapping.json"
        self.mapping.write_text(json.dumps(MAPPING, ensure_ascii=False), encoding="utf-8")
        self.binary = folder / "ready.bin"

    def contestants(self) -> dict[str, Callable[[], object]]:
        """Return what each runs."""
        source = str(SOURCE)
        run, libpq = self.database.run, self.database.libpq
        ogr = ["ogr2ogr", "-f", "PostgreSQL", libpq, source, "-nln", "peer", "-t_srs", f"EPSG:{SRID}"]
        fields = pyogrio.read_info(SOURCE)["fields"]
        ogr += [
            "-sql",
            "SELECT " + ", ".join(f'"{f}" AS c{i}' for i, f in enumerate(fields)) + f' FROM "{SOURCE.stem}"',
        ]
        ogr += ["-nlt", "PROMOTE_TO_MULTI", "-lco", "GEOMETRY_NAME=geom", "-gt", "unlimited"]
        python = [sys.executable, "-c"]
        cim = str(Path(sys.executable).with_name("cim"))
        return {
            "geopandas": lambda: run([*python, GEOPANDAS, source, self.database.text, str(SRID)]),
            "ogr2ogr": lambda: run(ogr, {"PG_USE_COPY": "YES"}),
            "ours, bare": lambda: run([*python, BARE, source, self.database.text, str(SRID)]),
            "ours, to commit": lambda: run([*python, TO_COMMIT, source, str(self.mapping)]),
            "ours, sequenced": lambda: run([cim, "ingest", source, "--mapping", str(self.mapping), "--json"]),
            "raw limit: COPY": self._copy,
        }

    def check(self) -> None:
        """Let each fill its table once and compare rows and ground area."""
        self.database.fresh()
        contestants = self.contestants()
        areas: dict[str, tuple[int, float]] = {}
        for name, fill in contestants.items():
            if name.startswith("raw"):
                continue
            self.database.fresh(name)
            fill()
            table = "city.building" if "to commit" in name or "sequenced" in name else "peer"
            column = "geometry" if name == "geopandas" else "geom"
            areas[name] = self.database.query(f"SELECT count(*), sum(ST_Area({column})) FROM {table}")
            if name == "ours, bare":
                self._psql(rf"\copy (SELECT * FROM peer) TO '{self.binary}' (FORMAT binary)")
        print("rows and ground area, m²: " + "; ".join(f"{n} {c:,}, {a:,.1f}" for n, (c, a) in areas.items()))
        counts, squares = zip(*areas.values(), strict=True)
        assert set(counts) == {COUNT}, areas
        # Repair of invalid rings and the 1 mm grid are the only difference.
        assert max(squares) - min(squares) < 1e-4 * max(squares), areas

    def _copy(self) -> None:
        columns = ", ".join(f"c{i} {kind}" for i, kind in enumerate(["text"] * 4 + ["float8"] * 3 + ["text"]))
        self._psql(f"CREATE TABLE peer ({columns}, geom geometry)", rf"\copy peer FROM '{self.binary}' (FORMAT binary)")

    def _psql(self, *commands: str) -> None:
        arguments = [argument for command in commands for argument in ("-c", command)]
        self.database.run(["psql", "-q", "-X", self.database.libpq, *arguments])


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if not SOURCE.is_file():
        print(f"left out: {SOURCE.name} is not beside this checkout")
        return
    with scratch() as folder:
        settings = Settings(home=folder / "server", database_url=os.environ.get("CIM_DATABASE_URL"))
        race = Race(folder, sa.make_url(ensure_running(settings)))
        try:
            _print_versions(race)
            race.check()
            samples = measure(race.contestants(), rounds, race.database.fresh, race.database.cpu)
            report(f"{COUNT:,} footprints from FlatGeobuf into PostGIS", samples, COUNT, "rows", "geopandas")
        finally:
            race.database.close()
            if settings.database_url is None:
                stop(settings)


def _print_versions(race: Race) -> None:
    with race.database.engine.connect() as connection:
        server = connection.exec_driver_sql("SELECT version()").scalar_one().split(" (")[0]
    ogr = subprocess.run(["ogr2ogr", "--version"], capture_output=True, text=True, check=False).stdout.split(",")[0]
    packages = ", ".join(f"{p} {version(p)}" for p in ("geopandas", "pyogrio", "shapely", "pyproj", "pgpq", "psycopg"))
    print(f"{server}; {machine()}, {platform.release()}; {ogr}; {packages}")
    print("Left out: 3DCityDB's importer and FME (not installable), cold cache, Shapefile and GeoPackage (formats).")


if __name__ == "__main__":
    main()
