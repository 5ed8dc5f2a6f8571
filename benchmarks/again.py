"""A file taken in again: unchanged, and with one record in a hundred changed, against its first load and its reading.

112,354 real footprints, each contestant a process of its own, to the commit. "reading alone" reads the file, transforms
its geometry and throws it away. Unchanged means compared record by record (--force): without it a file that is in
already is passed over by its digest.

Run: python -m benchmarks.again [rounds], with ../shared/data beside the checkout.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyogrio
import sqlalchemy as sa

from benchmarks._measure import measure, report, scratch
from benchmarks.ingest import COUNT, SOURCE, SRID, Race
from cim.db.cluster import ensure_running, stop
from cim.settings import Settings

EACH = 100  # one record in so many is changed
TAKE = """
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
total = ingest(database, [Path(sys.argv[1])], Options(mappings=mappings, force=True)).total()
database.dispose()
assert [total["inserted"], total["updated"], total["unchanged"]] == list(map(int, sys.argv[3:])), total
"""
READ = """
import sys
from pathlib import Path
import shapely
from cim import crs
from ingest.formats import ReadOptions, format_of
path = Path(sys.argv[1])
(layer,) = format_of(path).read(path, ReadOptions())
target = crs.parse(int(sys.argv[2]))
for batch in layer.batches():
    crs.transform(shapely.from_wkb(batch.column("geom").to_numpy(zero_copy_only=False)), layer.crs, target)
"""


class Again(Race):
    """The same database in all of a round, so that what comes later finds what came before."""

    def prepare(self, name: str) -> None:
        """Empty the database before a first load only."""
        if name == "first load":
            self.database.fresh()

    def contestants(self) -> dict[str, Callable[[], object]]:
        """Return what each runs, in this order."""
        python, mapping = [sys.executable, "-c"], str(self.mapping)
        changed = self._changed()
        few = COUNT // EACH

        def take(path: Path, inserted: int, updated: int, unchanged: int) -> Callable[[], object]:
            counts = map(str, (inserted, updated, unchanged))
            command = [*python, TAKE, str(path), mapping, *counts]
            return lambda: self.database.run(command)

        return {
            "first load": take(SOURCE, COUNT, 0, 0),
            "unchanged": take(SOURCE, 0, 0, COUNT),
            "one in a hundred changed": take(changed, 0, few, COUNT - few),
            "reading alone": lambda: self.database.run([*python, READ, str(SOURCE), str(SRID)]),
        }

    def _changed(self) -> Path:
        """Write the file with some heights changed, under its own name."""
        folder = self.mapping.parent / "changed"
        folder.mkdir()
        frame = pyogrio.read_dataframe(SOURCE)
        chosen = frame.index[EACH - 1 :: EACH]
        frame.loc[chosen, "measuredHeight"] = frame.loc[chosen, "measuredHeight"].fillna(3.0) + 0.5
        path = folder / SOURCE.name
        pyogrio.write_dataframe(frame, path, driver="FlatGeobuf", SPATIAL_INDEX="NO")
        return path


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    if not SOURCE.is_file():
        print(f"left out: {SOURCE.name} is not beside this checkout")
        return
    with scratch() as folder:
        settings = Settings(home=folder / "server", database_url=os.environ.get("CIM_DATABASE_URL"))
        race = Again(folder, sa.make_url(ensure_running(settings)))
        try:
            samples = measure(race.contestants(), rounds, race.prepare, race.database.cpu)
            report(f"{COUNT:,} footprints taken in again", samples, COUNT, "rows", "first load")
        finally:
            race.database.close()
            if settings.database_url is None:
                stop(settings)


if __name__ == "__main__":
    main()
