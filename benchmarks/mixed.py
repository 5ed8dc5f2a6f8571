"""An hour in the life of a server, shortened: readers of all kinds, a writer, uploads and the sequencer at once.

No peer: what counts is that nothing fails (no 5xx), that the slowest are not far from the rest, and that memory stays
where it is. Run: python -m benchmarks.mixed [seconds [pause]], pause in seconds between the requests of a reader.
"""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import httpx
import sqlalchemy as sa

from benchmarks._measure import cpu_of_tree, machine, scratch
from cim.city import City
from cim.db import access, cluster
from cim.settings import Settings

SECONDS = 60.0
LONG = 300.0  # from here on caches are full, and memory must stay where it is
GROWTH = 1.1
BUILDINGS = 20_000
READERS = 4
ITEMS = "/collections/building/items"
SEED = """
INSERT INTO city.building (code, name, height, year_built, geom)
SELECT 'b-' || lpad(n::text, 6, '0'), 'House ' || n, n % 90, 1950 + n % 70,
       ST_Multi(ST_MakeEnvelope(500000 + n % 200 * 20, 4318000 + n / 200 * 20,
                                500010 + n % 200 * 20, 4318010 + n / 200 * 20, 4548))
FROM generate_series(0, {last}) n
"""

Ask = Callable[[httpx.Client, random.Random], httpx.Response]


def near(chance: random.Random) -> str:
    """A box of about 100 buildings, in CRS84."""
    west, south = 117.0 + chance.random() * 0.04, 38.9955 + chance.random() * 0.016
    return f"{west:.5f},{south:.5f},{west + 0.0023:.5f},{south + 0.0018:.5f}"


READS: dict[str, Ask] = {
    "item": lambda http, chance: http.get(f"{ITEMS}/b-{chance.randrange(BUILDINGS):06d}"),
    "page of 10": lambda http, _: http.get(ITEMS, params={"limit": 10}),
    "box": lambda http, chance: http.get(ITEMS, params={"limit": 100, "bbox": near(chance)}),
    "box in the past": lambda http, chance: http.get(
        ITEMS, params={"limit": 100, "bbox": near(chance), "as-of": BUILDINGS // 2 + chance.randrange(BUILDINGS // 2)}
    ),
    "filter": lambda http, chance: http.get(
        ITEMS, params={"filter": f"height > {chance.randrange(80)} AND year_built = {1950 + chance.randrange(70)}"}
    ),
    "page of 1000": lambda http, _: http.get(ITEMS, params={"limit": 1000}),
    "tile": lambda http, chance: http.get(
        f"/collections/building/tiles/WebMercatorQuad/15/{12522 + chance.randrange(2)}/{27034 + chance.randrange(4)}"
    ),
    "history": lambda http, chance: http.get(f"{ITEMS}/b-{chance.randrange(BUILDINGS):06d}/history"),
    "proof": lambda http, chance: http.get("/log/proof", params={"code": f"b-{chance.randrange(BUILDINGS):06d}"}),
    "page for people": lambda http, _: http.get(ITEMS, headers={"Accept": "text/html"}),
    "whole as GeoParquet": lambda http, _: http.get(ITEMS, params={"f": "parquet"}),
    "health": lambda http, _: http.get("/health"),
}
WEIGHTS = [40, 20, 20, 5, 5, 3, 20, 4, 4, 2, 0.3, 1]


class Run:
    """What came of the requests, and how much memory the server had, second by second."""

    def __init__(self, base: str, pid: int, seconds: float, pause: float) -> None:
        self.base, self.pid, self.end, self.pause = base, pid, time.monotonic() + seconds, pause
        self.took: dict[str, list[float]] = defaultdict(list)
        self.answers: Counter[tuple[str, int]] = Counter()
        self.memory: list[float] = []

    def note(self, kind: str, ask: Callable[[], httpx.Response]) -> httpx.Response:
        began = time.perf_counter()
        answer = ask()
        self.took[kind].append(time.perf_counter() - began)
        self.answers[kind, answer.status_code] += 1
        return answer

    def going(self) -> bool:
        return time.monotonic() < self.end

    def read(self, number: int) -> None:
        chance = random.Random(number)
        with httpx.Client(base_url=self.base, timeout=90) as http:
            while self.going():
                (kind,) = chance.choices(list(READS), WEIGHTS)
                self.note(kind, lambda kind=kind: READS[kind](http, chance))  # type: ignore[misc]
                time.sleep(self.pause)

    def write(self, key: str) -> None:
        chance = random.Random(0)
        headers = {"X-API-Key": key, "Content-Type": "application/merge-patch+json"}
        with httpx.Client(base_url=self.base, timeout=90) as http:
            while self.going():
                path = f"{ITEMS}/b-{chance.randrange(BUILDINGS):06d}"
                body = {"properties": {"height": chance.randrange(1000) / 10}}
                self.note("write", lambda path=path, body=body: http.patch(path, json=body, headers=headers))  # type: ignore[misc]
                time.sleep(0.05)

    def upload(self, key: str) -> None:
        with httpx.Client(base_url=self.base, timeout=90, headers={"X-API-Key": key}) as http:
            turn = 0
            while self.going():
                turn += 1
                asked = {"name": f"facility{turn}.geojson", "type": "facility", "assume-crs": "EPSG:4490"}
                job = self.note("upload", lambda: http.post("/ingest", params=asked, content=delivery(turn)))  # noqa: B023
                while self.going():
                    status = self.note("job", lambda: http.get(job.headers["location"])).json()["status"]  # noqa: B023
                    if status not in ("accepted", "running"):
                        self.answers[f"upload {status}", 0] += 1
                        break
                    time.sleep(0.5)

    def watch(self) -> None:
        while self.going():
            status = Path(f"/proc/{self.pid}/status").read_text()
            self.memory.append(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024)
            time.sleep(0.5)


def delivery(turn: int) -> bytes:
    """Two hundred facilities, other ones each time."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [117 + number / 10_000, 39]},
            "properties": {"source_id": f"{turn}-{number}", "name": f"F{turn}-{number}", "kind": "kindergarten"},
        }
        for number in range(200)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def main() -> None:
    given = [float(text) for text in sys.argv[1:]]
    seconds, pause = [*given, *(SECONDS, 0.0)[len(given) :]]
    with scratch() as home:
        settings = Settings(home=home)
        try:
            with City(settings) as city:
                with city.database.engine.begin() as connection:
                    connection.execute(sa.text(SEED.format(last=BUILDINGS - 1)))
                    key = access.add_key(connection, "bench", ["building:write", "*:write", "*:read"])
                city.sequence(60.0)
            serve(settings, key, seconds, pause)
        finally:
            cluster.stop(settings)


def serve(settings: Settings, key: str, seconds: float, pause: float) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIM_")}
    variables = settings.variables() | {"CIM_API_RATE": "no"}
    server = subprocess.Popen(
        [sys.executable, "-c", "from cim.cli import main; main()", "serve", "--port", "0"],
        env=environment | variables, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        base = re.findall(r"http://[\d.]+:\d+", server.stdout.readline())[0]
        httpx.get(f"{base}/health", timeout=60).raise_for_status()
        run = Run(base, server.pid, seconds, pause)
        threads = [threading.Thread(target=run.read, args=(number,)) for number in range(READERS)]
        threads += [threading.Thread(target=run.write, args=(key,)), threading.Thread(target=run.upload, args=(key,))]
        threads.append(threading.Thread(target=run.watch))
        before = cpu_of_tree(server.pid)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told(run, seconds, cpu_of_tree(server.pid) - before)
    finally:
        server.terminate()
        server.wait(60)


def told(run: Run, seconds: float, cpu: float) -> None:
    print(f"{seconds:g} s, {READERS} readers, a writer, uploads; {BUILDINGS:,} buildings; {machine()}\n")
    print("| request | answers | p50 ms | p99 ms | × |\n|---|---|---|---|---|")
    for kind, took in sorted(run.took.items()):
        middle = statistics.median(took)
        slow = sorted(took)[min(len(took) - 1, int(len(took) * 0.99))]
        codes = ", ".join(f"{n} × {code}" for (what, code), n in sorted(run.answers.items()) if what == kind)
        print(f"| {kind} | {codes} | {1000 * middle:.1f} | {1000 * slow:.1f} | {slow / middle:.1f} |")
    uploads = {what: n for (what, code), n in run.answers.items() if not code}
    quarter = max(1, len(run.memory) // 4)
    early, late = statistics.median(run.memory[quarter : 2 * quarter]), statistics.median(run.memory[-quarter:])
    print(f"\nuploads: {uploads}; CPU of the server and its jobs {cpu:.1f} s")
    print(f"memory of the server, MB: second quarter {early:.0f}, last quarter {late:.0f}, most {max(run.memory):.0f}")
    if seconds >= LONG and late > early * GROWTH:
        raise SystemExit(f"memory grew from {early:.0f} to {late:.0f} MB")
    failed = {key: n for key, n in run.answers.items() if key[1] >= 500 or key[0] == "upload failed"}
    if failed:
        raise SystemExit(f"failed: {failed}")
    print("no 5xx")


if __name__ == "__main__":
    main()
