"""Memory and time of an ingest as the file grows: 100,000, 300,000 and 1,000,000 synthetic buildings, one run each.

The buildings are rectangles of 12 × 9 m on a lattice of 20 m around Tokyo, turned one by one, in WGS 84, with an id, a
height and a name: FlatGeobuf without an index. The CRS is changed to JGD2011 / plane IX; all else is done as ever, up
to the commit. Memory is the largest resident set of the process that takes the file in. Time should be a straight
line through the origin and what it takes to start, memory level; both are drawn into results/scale.svg.

Run: python -m benchmarks.scale [records…]
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pyogrio
import shapely
import sqlalchemy as sa

matplotlib.use("svg")
from matplotlib import pyplot as plt

from benchmarks._database import RunDatabase
from benchmarks._measure import PRINT_PEAK, Sample, machine, measure_once, scratch
from cim.db.cluster import ensure_running, stop
from cim.settings import Settings

SIZES = (100_000, 300_000, 1_000_000)
SRID = 6677
PLOT = Path(__file__).parent / "results" / "scale.svg"
MAPPING = {
    "source": {"file": "*.fgb"},
    "type": "building",
    "source_id": "id",
    "columns": {"height": "height", "name": "name"},
}
# Middle of the lattice, and metres of a degree there.
LONGITUDE, LATITUDE = 139.75, 35.68
METRES = np.array([90_300.0, 110_950.0])
SPACING = 20.0
TAKE = """
import sys
from pathlib import Path
from cim.db.engine import Database
from cim.settings import Settings
from ingest import Options, ingest
from ingest.mapping import load
database = Database(Settings.from_environment())
mappings = load([Path(sys.argv[2])], database.dictionary)
result = ingest(database, [Path(sys.argv[1])], Options(mappings=mappings))
database.dispose()
assert result.total()["inserted"] == int(sys.argv[3]), result
"""


@dataclass(frozen=True)
class Point:
    """What one size took; memory in MB."""

    records: int
    sample: Sample
    memory: float


def write(path: Path, records: int) -> None:
    """Write synthetic buildings to a FlatGeobuf."""
    side = int(np.ceil(np.sqrt(records)))
    number = np.arange(records)
    middles = np.stack([number % side, number // side], axis=1) * SPACING - side * SPACING / 2
    corners = np.array([[-6.0, -4.5], [6.0, -4.5], [6.0, 4.5], [-6.0, 4.5], [-6.0, -4.5]])
    angle = number * 0.1
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    rings = np.einsum("nij,kj->nki", turn, corners) + middles[:, None]
    shapes = shapely.polygons(rings / METRES + (LONGITUDE, LATITUDE))
    fields = {
        "id": np.array([f"B{n:08d}" for n in number], object),
        "height": np.round(3 + number % 977 / 10, 1),
        "name": np.array([f"House {n}" for n in number], object),
    }
    pyogrio.raw.write(
        path,
        shapely.to_wkb(shapes),
        list(fields.values()),
        list(fields),
        geometry_type="Polygon",
        crs="EPSG:4326",
        driver="FlatGeobuf",
        layer_options={"SPATIAL_INDEX": "NO"},
    )


def take(folder: Path, url: sa.URL, records: int) -> Point:
    """Take a file of so many records into a fresh database."""
    path, mapping = folder / f"{records}.fgb", folder / "mapping.json"
    write(path, records)
    mapping.write_text(json.dumps(MAPPING), encoding="utf-8")
    database = RunDatabase(folder, url, SRID)
    database.fresh()
    command = [sys.executable, "-c", TAKE + PRINT_PEAK, str(path), str(mapping), str(records)]
    said, sample = measure_once(lambda: database.run(command), database.cpu)
    database.close()
    path.unlink()
    return Point(records, sample, float(said.split()[-1]) / 1024)


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    with scratch() as folder:
        settings = Settings(home=folder / "server", database_url=os.environ.get("CIM_DATABASE_URL"))
        url = sa.make_url(ensure_running(settings))
        try:
            print(f"{machine()}\n\n| records | wall s | CPU client + server s | µs CPU a record | peak memory MB |")
            print("|---|---|---|---|---|")
            points = []
            for size in sizes:
                points.append(point := take(folder, url, size))
                cpu = point.sample.client + point.sample.server
                print(
                    f"| {size:,} | {point.sample.wall:.1f} | {point.sample.client:.1f} + {point.sample.server:.1f} "
                    f"| {1e6 * cpu / size:.0f} | {point.memory:.0f} |",
                    flush=True,
                )
        finally:
            if settings.database_url is None:
                stop(settings)
    plot(points)


def plot(points: Sequence[Point]) -> None:
    """Draw CPU seconds and memory over the number of records."""
    matplotlib.rcParams["svg.hashsalt"] = "cim"
    thousands = [p.records / 1000 for p in points]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot(thousands, [p.sample.client for p in points], "o-", label="client")
    left.plot(thousands, [p.sample.client + p.sample.server for p in points], "o-", label="client and server")
    left.set(xlabel="thousand records", ylabel="CPU seconds", xlim=(0, None), ylim=(0, None))
    left.legend(fontsize="small")
    right.plot(thousands, [p.memory for p in points], "o-")
    right.set(xlabel="thousand records", ylabel="peak memory, MB", xlim=(0, None), ylim=(0, None))
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})
    plt.close(figure)
    print(f"\nPlot: {PLOT.relative_to(Path.cwd()) if PLOT.is_relative_to(Path.cwd()) else PLOT}")


if __name__ == "__main__":
    main()
