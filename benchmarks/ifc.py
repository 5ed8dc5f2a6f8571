"""IFC models: ours from file to signed log, against merely meshing them with ifcopenshell and with web-ifc.

Eleven real models, each contestant one process over all of them, in turn:

- ifcopenshell: `ifcopenshell.geom.iterator` with its default kernel (opencascade), one thread, world coordinates,
  without IfcOpeningElement and IfcSpace;
- web-ifc: `OpenModel` and `StreamAllMeshes` in Node (one thread);
- ours: `ingest()` into an empty database (open, place, footprints, storeys, rooms, areas, outside, attributes, COPY,
  MERGE, capture), and the Merkle log with its signed checkpoint at the end.

Then one federation of 12 models: wall seconds and peak memory. Then 100 files in two processes: wall seconds against
the CPU seconds used, divided by the cores.

Run: python -m benchmarks.ifc [rounds], with ../shared/data beside the checkout. Node packages are installed on demand.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from benchmarks._measure import machine, scratch
from cim.city import City
from cim.db.cluster import stop
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
# Files of one second and less, of which 100 are made for the last measurement.
SMALL = ("AC20-FZK-Haus.ifc", "Duplex_A_20110907.ifc", "SampleHouse4.ifc", "TallBuilding.ifc", "IfcOpenHouse_IFC4.ifc")
SRID = 3857  # the models lie on three continents
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
    found = []
    with City(settings) as city:
        for path in paths:
            wall, cpu = time.perf_counter(), _cpu()
            report = ingest(city.database, [path])
            assert not report.refused, report
            found.append([time.perf_counter() - wall, _cpu() - cpu, report.files[0].layers[0].read])
        start = time.perf_counter()
        city.sequence()
        return found, time.perf_counter() - start


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
    sequencing = []
    for turn in range(rounds):
        walls["ifcopenshell"].append(_peer(paths))
        walls["web-ifc"].append(_web_ifc(paths))
        home = folder / f"home{turn}"
        ours, tail = _ours(paths, _settings(home))
        stop(_settings(home))
        walls["ours"].append(ours)
        sequencing.append(tail)
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
    """Return the most memory that a process and those it started held at once, shared pages counted once; MB."""
    most = 0.0
    while process.poll() is None:
        held = 0.0
        try:
            parent = psutil.Process(process.pid)
            for one in (parent, *parent.children(recursive=True)):
                if "postgres" not in one.name():
                    held += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass
        most = max(most, held)
        time.sleep(0.02)
    return most / 1e6


def many(folder: Path, count: int = 100) -> None:
    """Print how near two processes come to using all cores all the time."""
    settings = _settings(folder / "many")
    with City(settings):
        pass
    copies = []
    for index in range(count):
        copy = folder / f"{index:03d}_{SMALL[index % len(SMALL)]}"
        shutil.copyfile(FOLDER / SMALL[index % len(SMALL)], copy)
        copies.append(copy)
    cores = os.cpu_count() or 1
    done = threading.Event()
    busy: list[float] = []
    threading.Thread(target=_watch, args=(done, busy), daemon=True).start()
    start = time.perf_counter()
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        list(pool.map(_take, [(path, settings) for path in copies]))
    wall = time.perf_counter() - start
    done.set()
    stop(settings)
    share = statistics.mean(busy)
    print(f"\n{count} models, {cores} processes: {wall:.1f} s, cores busy {share:.0%}")
    print(f"{1 / share:.2f} × perfect use of the cores (aim 1.15)")


def _watch(done: threading.Event, busy: list[float]) -> None:
    while not done.is_set():
        busy.append(psutil.cpu_percent(interval=0.5) / 100)


def _take(work: tuple[Path, Settings]) -> None:
    path, settings = work
    with City(settings) as city:
        report = ingest(city.database, [path])
    assert not report.refused, report


def main() -> None:
    if not FOLDER.is_dir():
        print("skipped: no ../shared/data/ifc beside the checkout")
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(machine())
    with scratch() as folder:
        compare([FOLDER / name for name in MODELS], rounds, folder)
        federation(FOLDER / FEDERATION, folder)
        many(Path(tempfile.mkdtemp(dir=folder)))


if __name__ == "__main__":
    main()
