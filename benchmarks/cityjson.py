"""CityJSONSeq against cjdb into the same server, in turn: Vienna ten times over, and 7,035 blocks of Tokyo.

Every contestant is a process of its own and is timed from its start to its end. cjdb stores City Objects as JSON with a
ground geometry each; ours makes a row of each building, its parts in it, with checks, codes, capture and a file for
each body; "sequenced" adds the Merkle tree and a signed checkpoint. Vienna states no CRS: both are told EPSG:31256.
Ids of the copies differ, so that each is an object of its own. Rates are in City Objects of the file, parts included.

cjdb needs an environment of its own, named in CJDB:
    python -m venv cj && cj/bin/pip install cjdb==2.3.0 'sqlalchemy<2.1' && export CJDB=$PWD/cj/bin/cjdb

Run: python -m benchmarks.cityjson [rounds], with ../shared/data beside the checkout.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from benchmarks._database import RunDatabase
from benchmarks._measure import PRINT_PEAK, machine, measure, report, run, scratch
from cim.db.cluster import ensure_running, stop
from cim.settings import Settings

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "city3d"
COPIES = 10
LARGE = 50  # copies of Vienna in the 112 MB whose peak memory is taken
TO_COMMIT = """
import gc, sys
from pathlib import Path
from cim import crs
from cim.cli import leave_pandas_out
leave_pandas_out()
from cim.db.engine import Database
from cim.settings import Settings
from ingest import Options, ingest
gc.freeze()
database = Database(Settings.from_environment())
result = ingest(database, [Path(sys.argv[1])], Options(crs=crs.parse(int(sys.argv[2]))))
database.dispose()
assert result.total()["inserted"] == int(sys.argv[3]), result
"""
# What nobody can do without: take the text apart, and send ready rows.
RAW = """
import sys, orjson, psycopg
with open(sys.argv[1], "rb") as lines, psycopg.connect(sys.argv[2]) as connection:
    for line in lines:
        orjson.loads(line)
    connection.execute("CREATE TABLE peer (id text, geom geometry)")
    with connection.cursor().copy("COPY peer FROM STDIN (FORMAT binary)") as copy, open(sys.argv[3], "rb") as ready:
        copy.write(ready.read())
"""


@dataclass(frozen=True)
class Work:
    """A file, its CRS, and how many City Objects and buildings it holds."""

    name: str
    path: Path
    srid: int
    objects: int
    buildings: int


class Race:
    """The server, a fresh database for each run, and the command of each contestant."""

    def __init__(self, folder: Path, url: sa.URL, work: Work, cjdb: str | None) -> None:
        self.work = work
        self.cjdb = cjdb
        self.database = RunDatabase(folder, url, work.srid)
        self.ready = folder / "ready.bin"

    def contestants(self) -> dict[str, Callable[[], object]]:
        """Return what each runs."""
        source, srid = str(self.work.path), str(self.work.srid)
        run, libpq = self.database.run, self.database.libpq
        python = [sys.executable, "-c"]
        found: dict[str, Callable[[], object]] = {}
        if self.cjdb is not None:
            url = self.database.url
            # It puts the host into a URL, where the folder of a socket has no place: libpq takes it from PGHOST.
            place = {"PGHOST": str(url.query.get("host") or url.host), "PGPASSWORD": url.password or "none"}
            command = [
                self.cjdb,
                "import",
                "-H",
                url.host or "",
                "-U",
                str(url.username),
                "-d",
                "bench_run",
                "-s",
                "cjdb",
            ]
            command += ["-I", srid, "-f", source]
            command += ["-p", str(url.port)] if url.port else []
            found["cjdb"] = lambda: run(command, place)
        ours = [*python, TO_COMMIT, source, srid, str(self.work.buildings)]
        found["ours, to commit"] = lambda: run(ours)
        cim = str(Path(sys.executable).with_name("cim"))
        found["ours, sequenced"] = lambda: run([cim, "ingest", source, "--crs", f"EPSG:{srid}", "--json"])
        found["raw limit: parse, COPY"] = lambda: run([*python, RAW, source, libpq, str(self.ready)])
        return found

    def check(self) -> None:
        """Let each fill its tables once, and say what ground each found."""
        said = []
        for name, take in self.contestants().items():
            if name.startswith("raw"):
                continue
            self.database.fresh()
            take()
            if name == "cjdb":
                query = "SELECT count(*), sum(ST_Area(ground_geometry)) FROM cjdb.city_object"
            else:
                query = "SELECT count(*), sum(footprint_area) FROM city.building"
            count, area = self.database.query(query)
            said.append(f"{name}: {count:,} rows, {area:,.2f} m²")
            if name == "ours, to commit":
                assert count == self.work.buildings
                copy = rf"\copy (SELECT code, geom FROM city.building) TO '{self.ready}' (FORMAT binary)"
                self.database.run(["psql", "-q", "-X", self.database.libpq, "-c", copy])
        print("ground: " + "; ".join(said))


def replicate(source: Path, target: Path, copies: int) -> None:
    """Write a file of CityJSONSeq several times over, each time with ids of its own."""
    first, *features = source.read_text(encoding="utf-8").splitlines()
    with target.open("w", encoding="utf-8") as file:
        file.write(first + "\n")
        for copy in range(copies):
            for line in features:
                file.write(line.replace('"UUID_LOD2_', f'"UUID_LOD2_{copy:02d}_') + "\n")


def peak_memory(path: Path, srid: int, home: Path, url: str, buildings: int) -> float:
    """Return the peak memory in MB of a process that takes the file in, as it is run by hand."""
    command = [sys.executable, "-c", TO_COMMIT + PRINT_PEAK, str(path), str(srid), str(buildings)]
    said = run(command, {"CIM_HOME": str(home), "CIM_DATABASE_URL": url, "CIM_SRID": str(srid)})
    return float(said.split()[-1]) / 1024


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    vienna, tokyo = DATA / "vienna.jsonl", DATA / "DERIVED_tokyo_lod1_small.city.jsonl"
    if not vienna.is_file():
        print(f"left out: {vienna.name} is not beside this checkout")
        return
    cjdb = os.environ.get("CJDB")
    if cjdb is None:
        print("left out: cjdb; see the head of this file for how to install it")
    with scratch() as folder:
        settings = Settings(home=folder / "server", database_url=os.environ.get("CIM_DATABASE_URL"))
        url = sa.make_url(ensure_running(settings))
        try:
            many = folder / "vienna.city.jsonl"
            replicate(vienna, many, COPIES)
            print(f"{machine()}; {many.stat().st_size / 1e6:.1f} and {tokyo.stat().st_size / 1e6:.1f} MB")
            works = [
                Work(f"Vienna × {COPIES}", many, 31256, 592 * COPIES, 149 * COPIES),
                Work("Tokyo", tokyo, 6677, 7035, 7035),
            ]
            for work in works:
                race = Race(folder, url, work, cjdb)
                try:
                    race.check()
                    samples = measure(race.contestants(), rounds, race.database.fresh, race.database.cpu)
                    base = "cjdb" if cjdb is not None else "ours, to commit"
                    report(f"{work.name}: {work.objects:,} City Objects", samples, work.objects, "objects", base)
                finally:
                    race.database.close()
            _memory(folder, vienna, url)
        finally:
            if settings.database_url is None:
                stop(settings)


def _memory(folder: Path, vienna: Path, url: sa.URL) -> None:
    large = folder / "large.city.jsonl"
    replicate(vienna, large, LARGE)
    race = Race(folder, url, Work("", large, 31256, 592 * LARGE, 149 * LARGE), None)
    try:
        race.database.fresh()
        peak = peak_memory(large, 31256, Path(tempfile.mkdtemp(dir=folder)), race.database.text, 149 * LARGE)
    finally:
        race.database.close()
    print(f"\npeak memory of ours at {large.stat().st_size / 1e6:.0f} MB: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
