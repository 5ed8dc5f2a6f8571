"""The API beside tipg and a bare yardstick, one worker each, on the same server and the same table.

Windows alternate; of each the best counts, since what else runs on a machine only makes slower. CPU milliseconds a
request, of the serving process and of PostgreSQL, are sounder than requests a second.

Needs `wrk`, and tipg in an environment of its own: BENCH_TIPG names its `python` (`uv venv; uv pip install tipg uvicorn
uvloop httptools`). Without tipg its columns stay empty.

Run: python -m benchmarks.api [buildings] [seconds], with 0 seconds for the export alone, as of 1000000 buildings.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import geopandas as gpd
import httpx
import pandas as pd
import pyproj
import sqlalchemy as sa

from benchmarks._measure import TICKS, cpu_of_tree, machine, scratch
from cim.city import City
from cim.db import cluster
from cim.settings import Settings

BUILDINGS = 200_000
SECONDS = 2
ROUNDS = 3
CONNECTIONS = 16
ACROSS = 500  # buildings in a row, every 30 m
# Ten attributes and about ten corners each, like the buildings of a city.
FILL = """
INSERT INTO city.building (code, name, usage, structure, status, year_built, storeys_above, height, gross_floor_area,
                           attributes, geom)
SELECT 'b' || lpad(i::text, 27, '0'), '楼 ' || i, 'residential', 'mixed', 'in_use', 1950 + i % 70, 1 + i % 9,
       3.0 * (1 + i % 9), 120.5 * (1 + i % 9), '{"source": "bench"}'::jsonb,
       ST_Multi(ST_SnapToGrid(ST_Buffer(ST_SetSRID(
           ST_MakePoint(500000 + (i % 500) * 30, 4300000 + (i / 500) * 30), 4548), 10, 2), 0.001))
FROM generate_series(0, :count - 1) i
"""
TO_DEGREES = pyproj.Transformer.from_crs(4548, "OGC:CRS84", always_xy=True)
# No request is like the one before. Pages and tiles come again after a while, as where many look at one place; what
# they cost when they come for the first time, "nothing kept" tells.
SCRIPT = """
local paths, at = {{}}, 0
for line in io.lines("{file}") do paths[#paths + 1] = line end
request = function() at = at % #paths + 1; return wrk.format("GET", paths[at]) end
"""


@dataclass
class Window:
    """What one window showed: requests a second, milliseconds of CPU each, latencies, failures."""

    rate: float
    server: float
    database: float
    p50: float
    p99: float
    failed: int


@dataclass
class Contestant:
    """A server under test."""

    name: str
    address: str
    pid: int
    windows: dict[str, list[Window]] = field(default_factory=dict)


def main() -> None:
    """Fill a city, serve it three ways, and print the tables."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else BUILDINGS
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    print(f"{machine()}; {count:,} buildings, {CONNECTIONS} connections, best of {ROUNDS} windows of {seconds} s")
    with scratch() as home:
        settings = Settings(home=home)
        try:
            with City(settings) as city:
                with city.database.engine.begin() as connection:
                    connection.execute(sa.text(FILL), {"count": count})
                city.sequence(600.0)
                with city.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    connection.exec_driver_sql("VACUUM ANALYZE")  # as the server does by itself in a while
                url = sa.make_url(city.database.url)
            _measure(home, url, count, seconds)
        finally:
            cluster.stop(settings)


def _measure(home: Path, url: sa.URL, count: int, seconds: int) -> None:
    with contextlib.ExitStack() as stack:
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        ours = stack.enter_context(_ours("ours", home, kept=True))
        if not seconds:
            _bulk(ours, count)
            return
        contestants = [
            ours,
            stack.enter_context(_ours("ours, nothing kept", home, kept=False)),
            stack.enter_context(
                _serving("yardstick", [sys.executable], "benchmarks._yardstick:app", {"YARDSTICK_URL": plain})
            ),
        ]
        if tipg := os.environ.get("BENCH_TIPG"):
            # Its settings take no path of a socket but as a host.
            socket_at = quote(str(url.query["host"]), safe="")
            host = f"postgresql://{url.username}@{socket_at}:{url.query['port']}/{url.database}"
            more = {"DATABASE_URL": host, "TIPG_DB_SCHEMAS": '["city"]', "TIPG_MAX_FEATURES_PER_QUERY": "10000"}
            contestants.append(stack.enter_context(_serving("tipg", [tipg], "tipg.main:app", more)))
        postmaster = int(next(home.rglob("postmaster.pid")).read_text().split()[0])
        watching = stack.enter_context(sa.create_engine(url, isolation_level="AUTOCOMMIT").connect())
        for _ in range(ROUNDS):
            for title, paths in _requests(count).items():
                for contestant in contestants:
                    mine = paths.get(contestant.name.partition(",")[0])
                    if mine is None or (title == "single item" and contestant.name.endswith("kept")):  # they never are
                        continue
                    _settle(watching)
                    window = _window(home, contestant, mine, seconds, postmaster)
                    contestant.windows.setdefault(title, []).append(window)
        _print(contestants, _requests(count))
        _bulk(ours, count)


def _requests(count: int) -> dict[str, dict[str, list[str]]]:
    """Return by title the paths of each contestant."""
    chosen = random.Random(6)
    items = [f"b{chosen.randrange(count):027d}" for _ in range(2000)]
    boxes = []
    for _ in range(200):
        x, y = 500_000 + 30 * chosen.randrange(ACROSS - 10), 4_300_000 + 30 * chosen.randrange(count // ACROSS - 10)
        west, south = TO_DEGREES.transform(x - 15, y - 15)
        east, north = TO_DEGREES.transform(x + 285, y + 285)
        boxes.append(f"{west:.7f},{south:.7f},{east:.7f},{north:.7f}")
    ours, theirs = "/collections/building/items", "/collections/city.building/items"
    deep = f"b{count - count // 20:027d}"

    def all_three(path: str) -> dict[str, list[str]]:
        return {"ours": [ours + path], "yardstick": [ours + path], "tipg": [f"{theirs}{path}&f=geojson"]}

    tables: dict[str, dict[str, list[str]]] = {
        "single item": {
            "ours": [f"{ours}/{code}" for code in items],
            "yardstick": [f"{ours}/{code}" for code in items],
            "tipg": [f"{theirs}/{code}?f=geojson" for code in items],
        },
        "items?limit=10": all_three("?limit=10"),
        "bbox, 100 features": {
            name: [f"{base}?limit=100&bbox={box}{more}" for box in boxes]
            for name, base, more in (("ours", ours, ""), ("yardstick", ours, ""), ("tipg", theirs, "&f=geojson"))
        },
        "items?limit=1000": all_three("?limit=1000"),
        "page at 95 % of the depth": {"ours": [f"{ours}?limit=10&next={_token(deep)}"],
                                      "tipg": [f"{theirs}?limit=10&offset={count - count // 20}&f=geojson"]},
        "as-of bbox, 100 features": {"ours": [f"{ours}?limit=100&bbox={box}&as-of={count}" for box in boxes]},
    }  # fmt: skip
    for zoom in (16, 14):
        tiles = [_tile(zoom, box) for box in boxes]
        tables[f"tile z{zoom}"] = {
            "ours": [f"/collections/building/tiles/WebMercatorQuad/{z}/{y}/{x}" for z, y, x in tiles],
            "tipg": [f"/collections/city.building/tiles/WebMercatorQuad/{z}/{x}/{y}" for z, y, x in tiles],
        }
    return tables


def _token(code: str) -> str:
    from api.parameters import token_of

    return token_of(code)


def _tile(zoom: int, box: str) -> tuple[int, int, int]:
    from cim.db.tiles import tile_at

    west, south = map(float, box.split(",")[:2])
    tile = tile_at(zoom, *pyproj.Transformer.from_crs("OGC:CRS84", 3857, always_xy=True).transform(west, south))
    return tile.zoom, tile.row, tile.column


@contextlib.contextmanager
def _ours(name: str, home: Path, *, kept: bool) -> Iterator[Contestant]:
    code = "" if kept else "import api.site, cim.db.reader\napi.site._TILES = cim.db.reader._KEPT = 0\n"
    code += "from cim.cli import main; main()"
    port = _free_port()
    with _process(
        name, [sys.executable, "-c", code, "serve", "--port", str(port)], {"CIM_HOME": str(home)}, port
    ) as one:
        yield one


@contextlib.contextmanager
def _serving(name: str, python: list[str], app: str, more: dict[str, str]) -> Iterator[Contestant]:
    port = _free_port()
    command = [*python, "-m", "uvicorn", app, "--port", str(port), "--no-access-log", "--loop", "uvloop"]
    with _process(name, command, more, port) as one:
        yield one


@contextlib.contextmanager
def _process(name: str, command: list[str], more: dict[str, str], port: int) -> Iterator[Contestant]:
    process = subprocess.Popen(command, env=os.environ | more, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{address}/", timeout=5)
                break
            if process.poll() is not None:
                raise SystemExit(f"{name} ended: {' '.join(command)}")
            time.sleep(0.1)
        yield Contestant(name, address, process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _settle(watching: sa.Connection) -> None:
    """Wait until the database is done with what clients asked for and no longer wait for, such as pages deep down."""
    busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
    while watching.exec_driver_sql(busy).scalar_one():
        time.sleep(0.1)


def _window(home: Path, contestant: Contestant, paths: list[str], seconds: int, postmaster: int) -> Window:
    listed, script = home / "paths", home / "wrk.lua"
    listed.write_text("\n".join(paths))
    script.write_text(SCRIPT.format(file=listed))
    answer = httpx.get(contestant.address + paths[0], timeout=30)
    if answer.status_code not in (200, 204):
        raise SystemExit(f"{contestant.name} answers {answer.status_code}: {answer.text[:300]}")
    server, database = _cpu(contestant.pid), cpu_of_tree(postmaster)
    said = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "--timeout", "20s", "-s", str(script),
         contestant.address],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    server, database = _cpu(contestant.pid) - server, cpu_of_tree(postmaster) - database
    done = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    failed = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", said))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    each = 1000 / max(done, 1)
    return Window(rate, server * each, database * each, _latency(said, "50%"), _latency(said, "99%"), failed)


def _cpu(pid: int) -> float:
    """Return the CPU seconds of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _peak(pid: int) -> float:
    """Return the MB that a process held at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1000  # type: ignore[index]


def _latency(said: str, share: str) -> float:
    number, unit = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _print(contestants: list[Contestant], titles: dict[str, dict[str, list[str]]]) -> None:
    print("\n| request | who | requests/s | CPU ms server + database | p50, p99 ms | failed | ours is × |")
    print("|---|---|---|---|---|---|---|")
    for title in titles:
        best = {c.name: max(c.windows[title], key=lambda w: w.rate) for c in contestants if title in c.windows}
        for name, window in best.items():
            # A window may end before the first answer.
            ratio = "" if name == "ours" or not window.rate else f"{best['ours'].rate / window.rate:.2f}"
            print(
                f"| {title} | {name} | {window.rate:,.0f} | {window.server:.2f} + {window.database:.2f} "
                f"| {window.p50:.1f}, {window.p99:.1f} | {window.failed} | {ratio} |"
            )


def _bulk(ours: Contestant, count: int) -> None:
    """Read everything into a GeoDataFrame, as GeoParquet and page by page; the server's memory grows with neither."""
    items = f"{ours.address}/collections/building/items"
    with httpx.Client(timeout=120) as http:
        # Loads what it needs.
        gpd.read_parquet(io.BytesIO(http.get(items, params={"f": "parquet", "limit": 50_000}).content))
        before = _peak(ours.pid)
        began = time.perf_counter()
        whole = gpd.read_parquet(io.BytesIO(http.get(items, params={"f": "parquet"}).content))
        parquet, held = time.perf_counter() - began, _peak(ours.pid)
        began = time.perf_counter()
        pages, following = [], f"{items}?limit=10000"
        while following:
            page = http.get(following).json()
            pages.append(gpd.GeoDataFrame.from_features(page["features"], crs="OGC:CRS84"))
            following = next((one["href"] for one in page["links"] if one["rel"] == "next"), "")
        paged = pd.concat(pages, ignore_index=True)
        paging = time.perf_counter() - began
    assert len(whole) == len(paged) == count
    took = f"GeoParquet {parquet:.1f} s, paging GeoJSON {paging:.1f} s, {paging / parquet:.1f} ×"
    memory = f"the server's peak of memory {held:.0f} MB, {before:.0f} MB for 50,000"
    print(f"\n{count:,} features to a GeoDataFrame: {took}; {memory}")


if __name__ == "__main__":
    main()
