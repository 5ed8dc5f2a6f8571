"""IFC models: ours from file to signed log, against merely meshing them with ifcopenshell and with web-ifc.

Eleven real models, each contestant one process over all of them, in turn:

- ifcopenshell: `ifcopenshell.geom.iterator` with its default kernel (opencascade), one thread, world coordinates,
  without IfcOpeningElement and IfcSpace;
- web-ifc: `OpenModel` and `StreamAllMeshes` in Node (one thread);
- ours: `ingest()` into an empty database (open, place, footprints, storeys, rooms, areas, outside, attributes, COPY,
  MERGE, capture), and the Merkle log with its signed checkpoint at the end. Once model by model; once all in one run,
  in one process more than there are cores, whose start counts.

Then one federation of 12 models: wall seconds and peak memory. Then 25, 50 and 100 copies of small models, with
`cim ingest --workers` one more than cores: what they take over their size, drawn into results/ifc.svg, and the share of
the cores that the command and its database ask for at once. On a machine with nothing else to do that is the share they
have, and its reciprocal the wall time against that of perfect use.

Run: python -m benchmarks.ifc [rounds] (0: the 100 models only), with ../shared/data beside the checkout. Node packages
are installed on demand.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import psutil

matplotlib.use("svg")
from matplotlib import pyplot as plt

from benchmarks._measure import TICKS, cpu_of_tree, machine, scratch
from cim.city import City
from cim.db.cluster import stop
from cim.frames import leave_pandas_out
from cim.settings import Settings
from ingest.pipeline import ingest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "ifc"
FEDERATION = "DERIVED_schependomlaan_root_federated.ifc"
MODELS = (
    "AC20-FZK-Haus.ifc",
    "CYAA0BF3.gml.ifc",
    FEDERATION,
    "Duplex_A_20110907.ifc",
    "IfcOpenHouse_IFC4.ifc",
    "LargeBuilding.ifc",
    "SampleHouse4.ifc",
    "Schependomlaan IFC-houten kozijnen.ifc",
    "SimpleWall.ifc",
    "TallBuilding.ifc",
    "tested_sample_project.ifc",
)
# Taken in before the clock starts, as the others have loaded what they need by then, too.
FIRST = "pass-grf000-correct_georeferencing.ifc"
# Files of one second and less, of which 100 are made for the last measurement.
SMALL = ("AC20-FZK-Haus.ifc", "Duplex_A_20110907.ifc", "SampleHouse4.ifc", "TallBuilding.ifc", "IfcOpenHouse_IFC4.ifc")
MANY = (25, 50, 100)
CORES = os.cpu_count() or 1
# One more than cores, as one of them may wait for its turn to write.
WORKERS = CORES + 1
# Seconds from one look at all processes to the next: each takes some thousandths of one from what is measured.
_LOOK = 0.1
PLOT = Path(__file__).parent / "results" / "ifc.svg"
SRID = 8857  # Equal Earth, as the models lie on three continents
WEB_IFC = "web-ifc@0.0.78"

PEER = """
import json, sys, time
import ifcopenshell, ifcopenshell.geom
for path in sys.argv[1:]:
    wall, cpu = time.perf_counter(), time.process_time()
    model = ifcopenshell.open(path)
    settings = ifcopenshell.geom.settings()
    settings.set("use-world-coords", True)
    left_out = model.by_type("IfcOpeningElement") + model.by_type("IfcSpace")
    meshes = sum(1 for _ in ifcopenshell.geom.iterator(settings, model, 1, exclude=left_out or None))
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, meshes]), flush=True)
"""
NODE = """
const fs = require("fs"), { IfcAPI, LogLevel } = require("web-ifc");
(async () => {
  const api = new IfcAPI();
  await api.Init(undefined, true);
  api.SetLogLevel(LogLevel.LOG_LEVEL_OFF);
  for (const path of process.argv.slice(2)) {
    const start = process.hrtime.bigint(), cpu = process.cpuUsage();
    const model = api.OpenModel(new Uint8Array(fs.readFileSync(path)));
    let meshes = 0;
    api.StreamAllMeshes(model, (mesh) => {
      for (let i = 0; i < mesh.geometries.size(); i++) {
        const one = api.GetGeometry(model, mesh.geometries.get(i).geometryExpressID);
        api.GetVertexArray(one.GetVertexData(), one.GetVertexDataSize());
        api.GetIndexArray(one.GetIndexData(), one.GetIndexDataSize());
        one.delete();
      }
      meshes++;
    });
    api.CloseModel(model);
    const used = process.cpuUsage(cpu);
    const wall = Number(process.hrtime.bigint() - start) / 1e9;
    console.log(JSON.stringify([wall, (used.user + used.system) / 1e6, meshes]));
  }
})();
"""


def _peer(paths: list[Path]) -> list[Any]:
    return _lines([sys.executable, "-c", PEER, *map(str, paths)])


def _web_ifc(paths: list[Path]) -> list[Any]:
    folder = Path(sys.prefix) / "node" / "benchmarks"
    if not (folder / "node_modules" / "web-ifc").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm") or "npm"
        subprocess.run([npm, "install", "--silent", "--no-audit", "--prefix", str(folder), WEB_IFC], check=True)
    script = folder / "mesh.cjs"
    script.write_text(NODE, encoding="utf-8")
    return _lines([shutil.which("node") or "node", str(script), *map(str, paths)])


def _lines(command: list[str]) -> list[Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def _ours(paths: list[Path], settings: Settings) -> tuple[list[Any], float]:
    """Return wall, CPU and buildings of each model, and the seconds of sequencing at the end."""
    leave_pandas_out()  # as the command does
    found = []
    with City(settings) as city:
        ingest(city.database, [FOLDER / FIRST])
        for path in paths:
            wall, cpu = time.perf_counter(), _cpu()
            report = ingest(city.database, [path])
            assert not report.refused, report
            found.append([time.perf_counter() - wall, _cpu() - cpu, report.files[0].layers[0].read])
        start = time.perf_counter()
        city.sequence()
        return found, time.perf_counter() - start


def _at_once(paths: list[Path], settings: Settings) -> float:
    """Return the seconds that all models take together, read in several processes, to the signed log."""
    with City(settings) as city:
        ingest(city.database, [FOLDER / FIRST])
        start = time.perf_counter()
        report = ingest(city.database, paths, workers=WORKERS)
        city.sequence()
        assert not report.refused, report
        return time.perf_counter() - start


def _cpu() -> float:
    """Return the CPU seconds of this process, and of the hosts and readers of models below it; not of the server."""
    times = os.times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in psutil.Process().children():
        if "ingest.ifc.worker" in " ".join(child.cmdline()):
            used = child.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return float(total)


def _settings(home: Path) -> Settings:
    home.mkdir(parents=True, exist_ok=True)
    return Settings(home=home, srid=SRID)


def compare(paths: list[Path], rounds: int, folder: Path) -> None:
    """Print the table of the models, medians of the rounds."""
    walls: dict[str, list[list[Any]]] = {"ifcopenshell": [], "web-ifc": [], "ours": []}
    sequencing, together = [], []
    for turn in range(rounds):
        walls["ifcopenshell"].append(_peer(paths))
        walls["web-ifc"].append(_web_ifc(paths))
        home = folder / f"home{turn}"
        ours, tail = _ours(paths, _settings(home))
        stop(_settings(home))
        walls["ours"].append(ours)
        sequencing.append(tail)
        at_once = _settings(folder / f"at_once{turn}")
        together.append(_at_once(paths, at_once))
        stop(at_once)
    peers = "ifcopenshell wall / CPU s | web-ifc wall / CPU s | ours wall / CPU s"
    print(f"\n| model | MB | {peers} | × ifcopenshell | × web-ifc |")
    print("|---|---|---|---|---|---|---|")
    totals = {name: [0.0, 0.0] for name in walls}
    for index, path in enumerate(paths):
        row = {
            name: [statistics.median(run[index][part] for run in runs) for part in (0, 1)]
            for name, runs in walls.items()
        }
        for name, pair in row.items():
            totals[name] = [total + value for total, value in zip(totals[name], pair, strict=True)]
        _row(path.name, path.stat().st_size / 1e6, row)
    tail = statistics.median(sequencing)
    _row(f"all, and {tail:.2f} s of signing", sum(p.stat().st_size for p in paths) / 1e6,
         totals | {"ours": [totals["ours"][0] + tail, totals["ours"][1]]})  # fmt: skip
    wall = statistics.median(together)
    ratios = " | ".join(f"{wall / totals[peer][0]:.2f}" for peer in ("ifcopenshell", "web-ifc"))
    print(f"| all in one run with {WORKERS} workers | | | | {wall:.2f} | {ratios} |", flush=True)


def _row(name: str, size: float, row: dict[str, list[float]]) -> None:
    shown = " | ".join(f"{wall:.2f} / {cpu:.2f}" for wall, cpu in row.values())
    ratios = " | ".join(f"{row['ours'][0] / row[peer][0]:.2f}" for peer in ("ifcopenshell", "web-ifc"))
    print(f"| {name} | {size:.1f} | {shown} | {ratios} |", flush=True)


def federation(path: Path, folder: Path) -> None:
    """Print wall seconds and peak memory of one large model, from the command's start to its end."""
    settings = _settings(folder / "federation")
    with City(settings):
        pass  # the cluster is up and the tables are made
    environment = os.environ | {"CIM_HOME": str(settings.home), "CIM_SRID": str(SRID)}
    start = time.perf_counter()
    command = [str(Path(sys.executable).with_name("cim")), "ingest", str(path), "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        peak = _peak(process)
    wall = time.perf_counter() - start
    stop(settings)
    size = path.stat().st_size / 1e6
    print(f"\nfederation of {size:.1f} MB: {wall:.1f} s (aim 20), peak {peak:.0f} MB (aim {6 * size + 200:.0f})")


def _peak(process: subprocess.Popen[bytes]) -> float:
    """Return the most memory that a process and those it started held at once, shared pages counted once; MB.

    While they are looked at one after the other, one may begin or end, and what it shares would count again elsewhere:
    such a round does not count. One that has ended is there until its parent asks how.
    """
    most = 0.0
    parent = psutil.Process(process.pid)
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            alive = _alive(parent)
            held = sum(one.memory_full_info().pss for one in alive if "postgres" not in one.name())
            if alive == _alive(parent):
                most = max(most, held)
        time.sleep(0.02)
    return most / 1e6


def _alive(parent: psutil.Process) -> list[psutil.Process]:
    every = [parent, *parent.children(recursive=True)]
    return [one for one in every if one.status() != psutil.STATUS_ZOMBIE]


@dataclass(frozen=True)
class Many:
    """What taking in many models took: MB of models, wall seconds, CPU seconds, and share of the cores asked for."""

    models: int
    size: float
    wall: float
    client: float
    server: float
    share: float


def many(folder: Path) -> None:
    """Print what ever more models take, and draw it."""
    print(
        f"\n| models | MB | wall s | CPU client + server s | CPU s a MB | of {CORES} cores asked for | × perfect use |"
    )
    print("|---|---|---|---|---|---|---|")
    found = []
    for count in MANY:
        found.append(one := _many(folder / f"many{count}", count))
        each = (one.client + one.server) / one.size
        print(
            f"| {count} | {one.size:.1f} | {one.wall:.1f} | {one.client:.1f} + {one.server:.1f} | {each:.3f} "
            f"| {one.share:.0%} | {1 / one.share:.2f} (aim 1.15) |",
            flush=True,
        )
    sizes, spent = [one.size for one in found], [one.client + one.server for one in found]
    slope, start = np.polyfit(sizes, spent, 1)
    off = max(abs(start + slope * size - cpu) / cpu for size, cpu in zip(sizes, spent, strict=True))
    print(f"\nCPU: {start:.1f} s and {slope:.3f} s a MB, at most {off:.1%} off that line")
    plot(found, float(slope), float(start))


def _many(home: Path, count: int) -> Many:
    """Take in copies of small models, each under a name of its own and at a place of its own."""
    settings = _settings(home)
    models = home / "models"
    models.mkdir()
    size = 0
    for index in range(count):
        name = SMALL[index % len(SMALL)]
        # Another name in the header makes another file of it.
        text = (FOLDER / name).read_bytes().replace(b"FILE_NAME('", f"FILE_NAME('{index:03d} ".encode(), 1)
        size += (models / f"{index:03d}_{name}").write_bytes(text)
        place = f"longitude = {8 + index % 10 / 100}\nlatitude = {49 + index // 10 / 100}\n"
        (models / f"{index:03d}_{name}").with_suffix(".place").write_text(place)
    with City(settings) as city, city.database.engine.connect() as connection:
        backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        server = _processes()[backend].parent
    environment = os.environ | {"CIM_HOME": str(settings.home), "CIM_SRID": str(SRID)}
    command = [str(Path(sys.executable).with_name("cim")), "ingest", str(models), "--workers", str(WORKERS), "--json"]
    served, start = cpu_of_tree(server), time.perf_counter()
    with (home / "report.json").open("wb") as out, subprocess.Popen(command, env=environment, stdout=out) as process:
        client, share = _watch(process, server)
    wall = time.perf_counter() - start
    served = cpu_of_tree(server) - served
    assert process.returncode == 0, (home / "report.json").read_text()[-2000:]
    stop(settings)
    return Many(count, size / 1e6, wall, client, served, share)


@dataclass(frozen=True)
class _Process:
    parent: int
    state: str
    own: float
    children: float


def _processes() -> dict[int, _Process]:
    """Return all processes by number: parent, state, CPU seconds, those of children that have ended (Linux)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        own, children = sum(map(int, fields[11:13])) / TICKS, sum(map(int, fields[13:15])) / TICKS
        found[int(path.parent.name)] = _Process(int(fields[1]), fields[0], own, children)
    return found


def _watch(process: subprocess.Popen[bytes], server: int) -> tuple[float, float]:
    """Return the CPU seconds of a process with all below it, and the share of the cores it and the server asked for.

    A process that runs, waits for a core, or for the disk, asks for one; more than there are cannot be had.
    """
    used: dict[int, float] = {}
    reads: dict[int, bool] = {}  # whether a process is one of those that host the readers of models, or a reader
    asked = []
    while process.poll() is None:
        every = _processes()
        ours = _below(process.pid, every)
        for pid in ours:
            if not reads.get(pid):  # a fork becomes what it is a moment later
                with suppress(OSError):
                    reads[pid] = b"ingest.ifc.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        # Readers come and go; when they have ended, their hosts have their seconds.
        used |= {pid: every[pid].own for pid in ours if not reads.get(pid)}
        hosts = [pid for pid in ours if reads.get(pid) and not reads.get(every[pid].parent)]
        used |= {pid: every[pid].own + every[pid].children for pid in hosts}
        busy = sum(every[pid].state in "RD" for pid in (*ours, *_below(server, every)))
        asked.append(min(busy, CORES) / CORES)
        time.sleep(_LOOK)
    return sum(used.values()), statistics.mean(asked)


def _below(top: int, every: Mapping[int, _Process]) -> list[int]:
    """Return the numbers of a process and of all below it."""
    found = [top] if top in every else []
    for pid in found:
        found += [child for child, one in every.items() if one.parent == pid]
    return found


def plot(found: Sequence[Many], slope: float, start: float) -> None:
    """Draw CPU seconds over the size of the models, with the line that fits them best."""
    matplotlib.rcParams["svg.hashsalt"] = "cim"
    sizes = [one.size for one in found]
    figure, axes = plt.subplots(figsize=(4.5, 3.2), layout="constrained")
    axes.plot(sizes, [one.client for one in found], "o", label="client")
    axes.plot(sizes, [one.client + one.server for one in found], "o", label="client and server")
    axes.plot([0, sizes[-1]], [start, start + slope * sizes[-1]], "-", color="C1", linewidth=1)
    axes.set(xlabel="MB of models", ylabel="CPU seconds", xlim=(0, None), ylim=(0, None))
    axes.legend(fontsize="small")
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})
    plt.close(figure)
    print(f"\nPlot: {PLOT.relative_to(Path.cwd()) if PLOT.is_relative_to(Path.cwd()) else PLOT}")


def main() -> None:
    if not FOLDER.is_dir():
        print("skipped: no ../shared/data/ifc beside the checkout")
        return
    # As where people run it, and in `_measure.run`: else each process compiles all that is ours anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    load = os.getloadavg()[0]
    print(f"{machine()}, load {load:.1f} at the start")
    with scratch() as folder:
        if rounds:
            compare([FOLDER / name for name in MODELS], rounds, folder)
            federation(FOLDER / FEDERATION, folder)
        many(folder)


if __name__ == "__main__":
    main()
