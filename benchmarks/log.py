"""The change log from a committed revision to a signed checkpoint, and what proofs, audits and as-of queries cost.

Run: python -m benchmarks.log [revisions]

The database is the embedded one with fsync on. A tenth of the revisions are updates; the rest are insertions of
buildings with ten attributes and 13 vertices. Appends and proofs against others' trees are in benchmarks.tree.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import psycopg
import sqlalchemy as sa
from matplotlib import pyplot as plt

from api.sequencing import INTERVAL, Sequencing
from benchmarks._measure import Cost, cpu_of_tree, machine, measure, report
from benchmarks.capture import COLUMNS, SETUP
from cim.city import City
from cim.db.cluster import status, stop
from cim.db.logstore import LogStore
from cim.db.reader import Reader
from cim.log.audit import audit
from cim.log.checkpoint import Checkpoint
from cim.log.columns import Columns
from cim.log.proof import TlogProof
from cim.log.publisher import Publisher
from cim.log.sequencer import BATCH, Leaves, sequence
from cim.log.signer import LogSigner
from cim.log.tiles import TileReader, TileWriter
from cim.log.tree import CompactRange, Tree, leaf_hash, leaf_hashes, verify_consistency, verify_inclusion
from cim.settings import Settings

T = TypeVar("T")
REVISIONS, SEED = 1_000_000, 42
WRITES, PER_SECOND = 300, 20
PROOFS = 2_000
REQUESTS, CONNECTIONS = 4_000, 16
PLOT = Path(__file__).parent / "results" / "proofs.svg"
INSERT = f"INSERT INTO city.building (rev, {COLUMNS}) SELECT 1, {COLUMNS} FROM bench.source"
UPDATE = "UPDATE city.building SET height = height + 1 WHERE substr(code, 28) = '7'"
BBOX = "geom && ST_MakeEnvelope(502000, 4302000, 503000, 4303000, 4548)"


def main() -> None:
    revisions = int(sys.argv[1]) if len(sys.argv) > 1 else REVISIONS
    print(f"{machine()}, {revisions:,} revisions", flush=True)
    _growth(revisions * 10)
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        city = City(settings)
        try:
            _fill(city, revisions)
            _sequencing(city)
            _sequencing_limit(city)
            _as_of(city)
            _audit(city)
            _http(city)
            asyncio.run(_trickle(city))
        finally:
            city.close()
            stop(settings)
    print("\nLeft out: disks and tiles that are not cached, other logs' servers, a load generator of its own (wrk).")


def _fill(city: City, revisions: int) -> None:
    """Write so many revisions, a tenth of them updates, in two transactions."""
    objects = revisions - revisions // 11
    with city.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in (
            SETUP.replace("{rows}", str(objects)),
            INSERT,
            UPDATE,
            "DROP SCHEMA bench CASCADE",
            "CHECKPOINT",
        ):
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


# ---------------------------------------------------------------- sequencing


class _Stages:
    """Wall and CPU seconds by stage, whichever thread it runs in; an inner stage is not counted to the one around."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._open: dict[int, list[str]] = defaultdict(list)
        self._since: dict[int, tuple[float, float]] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        stages = self._open[threading.get_ident()]
        self._count(stages)
        stages.append(stage)
        try:
            yield
        finally:
            self._count(stages)
            stages.pop()

    def _count(self, stages: list[str]) -> None:
        thread, now = threading.get_ident(), (time.perf_counter(), time.thread_time())
        if stages:
            for kind in (0, 1):
                self.seconds[stages[-1]][kind] += now[kind] - self._since[thread][kind]
        self._since[thread] = now

    def show(self) -> None:
        """Print each stage, and which one the others wait for."""
        print("\nWhat the threads of the client did, side by side:\n\n| stage | wall s | CPU s |\n|---|---|---|")
        for stage, (wall, cpu) in self.seconds.items():
            print(f"| {stage} | {wall:.2f} | {cpu:.2f} |")
        name, (_, cpu) = max(self.seconds.items(), key=lambda item: item[1][1])
        print(f"\nBottleneck of the client: {name}, {cpu:.2f} s of CPU.")


def _postmaster(settings: Settings) -> int:
    pid = status(settings).pid
    assert pid is not None
    return pid


class _TimedStore(LogStore):
    def __init__(self, connection: sa.Connection, stages: _Stages) -> None:
        super().__init__(connection)
        self._stages = stages

    def pending(self, limit: int) -> Iterator[Columns]:
        batches = super().pending(limit)
        while True:
            with self._stages("wait for revisions"):
                batch = next(batches, None)
            if batch is None:
                return
            with self._stages("render, hash, tree, wait for the last batch"):
                yield batch

    def append(self, old: CompactRange, new: CompactRange, leaves: Leaves) -> None:
        with self._stages("COPY leaves, commit"):
            super().append(old, new, leaves)

    def hashes(self, start: int, end: int) -> list[bytes]:
        with self._stages("publish: read hashes and entries"):
            return super().hashes(start, end)

    def entries(self, start: int, end: int) -> list[bytes]:
        with self._stages("publish: read hashes and entries"):
            return super().entries(start, end)

    def settle(self) -> None:
        with self._stages("raise floor, count the rest"):
            super().settle()

    def unsequenced(self) -> int:
        with self._stages("raise floor, count the rest"):
            return super().unsequenced()


class _TimedPublisher(Publisher):
    stages: _Stages

    def publish(self, *arguments: Any) -> None:
        with self.stages("publish: check, write, sync, sign"):
            super().publish(*arguments)


def _sequencing(city: City) -> None:
    settings = city.settings
    publisher = _TimedPublisher(settings.log_dir, settings.keys_dir, settings.origin)
    cost = Cost(_postmaster(city.settings))
    with city.database.engine.connect() as connection:
        publisher.stages = stages = _Stages()
        with cost:
            tree = sequence(_TimedStore(connection, stages), publisher)
    assert city.publisher.published() == Checkpoint(settings.origin, tree.size, tree.root())
    print(f"\n## Sequencing\n\n{cost.line(tree.size, 'revisions')}")
    stages.show()


def _sequencing_limit(city: City) -> None:
    """Hash entries that are there into the tree, and COPY rows that are there: no sequencer can do with less."""
    with psycopg.connect(city.database.url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE bench_leaf (LIKE cim.leaf INCLUDING ALL)")
        cost, size = Cost(_postmaster(city.settings)), city.tree_head().size
        tree = CompactRange()
        for rows in _leaf_batches(connection, size):
            with cost, connection.cursor() as cursor:
                tree.append(leaf_hashes([row[3] for row in rows]))
                with cursor.copy("COPY bench_leaf FROM STDIN (FORMAT binary)") as copy:
                    copy.set_types(["int8", "int8", "int8", "bytea", "bytea"])
                    for row in rows:
                        copy.write_row(row)
                connection.commit()
        connection.execute("DROP TABLE bench_leaf")
    assert tree.root() == city.tree_head().root
    print(f"\nRaw limit, hash ready entries and COPY ready rows: {cost.line(size, 'revisions')}")


def _leaf_batches(connection: psycopg.Connection[Any], size: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield all leaves as they are stored, in batches of the sequencer's size."""
    read = "SELECT idx, revision_id, prev, entry, hash FROM cim.leaf WHERE idx >= %s AND idx < %s ORDER BY idx"
    for start in range(0, size, BATCH):
        with connection.cursor(binary=True) as cursor:
            yield cursor.execute(read, (start, start + BATCH)).fetchall()


async def _trickle(city: City) -> None:
    """Write now and then while the API's own task sequences; look when the signed checkpoint holds each write."""
    reader = await Reader(city.database).open()
    sequencing = Sequencing(city, reader)
    sequencing.start()
    ended = threading.Event()
    watching = asyncio.create_task(asyncio.to_thread(_watch, city.publisher, ended))
    try:
        before = await asyncio.to_thread(_write, city)
        await asyncio.sleep(3)
    finally:
        ended.set()
        signed = await watching
        await sequencing.stop()
        await reader.close()
    with city.database.engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT r.code, l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id WHERE r.code ^@ 't'"
            )
        ).all()
    waits = sorted(next(at for at, size in signed if size > row.idx) - before[row.code] for row in rows)
    assert len(waits) == WRITES
    print(
        f"\n## Write to signed checkpoint\n\n{WRITES} writes at {PER_SECOND}/s, a look every {INTERVAL * 1000:.0f} ms:"
    )
    print(f"p50 {1000 * statistics.median(waits):.0f} ms, p99 {1000 * waits[int(0.99 * WRITES)]:.0f} ms, ", end="")
    print(f"longest {1000 * waits[-1]:.0f} ms")


def _write(city: City) -> dict[str, float]:
    """Insert buildings at a steady pace; return when each write began."""
    before = {}
    with city.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for number in range(WRITES):
            code = f"t{number:027d}"
            before[code] = time.perf_counter()
            connection.execute(sa.text("INSERT INTO city.building (code, name) VALUES (:code, 'x')"), {"code": code})
            time.sleep(1 / PER_SECOND)
    return before


def _watch(publisher: Publisher, ended: threading.Event) -> list[tuple[float, int]]:
    """Return when each signed checkpoint was first seen, and its size."""
    seen = [(time.perf_counter(), publisher.published().size)]
    while not ended.wait(0.005):
        size = int(publisher.checkpoint_text().splitlines()[1])
        if size != seen[-1][1]:
            seen.append((time.perf_counter(), size))
    return seen


# ---------------------------------------------------------------- audit, as-of


def _audit(city: City) -> None:
    whole, limit = Cost(_postmaster(city.settings)), Cost(_postmaster(city.settings))
    with city.database.engine.connect() as connection, whole:
        found = audit(LogStore(connection), city.publisher)
    assert found.ok, found.findings[:3]
    tree = CompactRange()
    with psycopg.connect(city.database.url.replace("+psycopg", "")) as connection, limit:
        for rows in _leaf_batches(connection, found.size):
            tree.append(leaf_hashes([row[3] for row in rows]))
    assert tree.root() == found.root
    print(f"\n## Full audit\n\nWith live rows and tiles: {whole.line(found.size, 'leaves')}")
    print(f"\nRaw limit, read every entry and hash it: {limit.line(found.size, 'leaves')}")


def _as_of(city: City) -> None:
    size = city.tree_head().size
    with psycopg.connect(city.database.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("ANALYZE")
        columns = "code, name, usage, height, ST_AsBinary(geom)"
        queries = {
            "live table": f"SELECT {columns} FROM city.building WHERE {BBOX}",
            f"as of {size}": f"SELECT {columns} FROM city.building_logged({size}) WHERE {BBOX}",  # what `features` asks
            "the same by building_at": f"SELECT {columns} FROM city.building_at({size}) WHERE {BBOX}",
        }
        answers = [sorted(connection.execute(query.encode()).fetchall()) for query in queries.values()]
        assert answers[0] == answers[1] == answers[2], "the answers differ"
        contestants: dict[str, Callable[[], object]] = {
            name: lambda q=query: connection.execute(q.encode()).fetchall()  # type: ignore[misc]
            for name, query in queries.items()
        }
        backend = connection.info.backend_pid
        samples = measure(contestants, rounds=30, server=lambda: cpu_of_tree(backend))
    report(f"Buildings in a square of 1 km, {size:,} revisions", samples, len(answers[0]), "rows", "live table")


# ---------------------------------------------------------------- proofs over HTTP


def _http(city: City) -> None:
    """Ask one worker of the API for the proofs of random buildings, and for the checkpoint: the least it can answer."""
    numbers = random.Random(SEED)
    with city.database.engine.connect() as connection:
        sample = "SELECT code FROM cim.revision TABLESAMPLE SYSTEM (1) WHERE type = 'building' LIMIT 20000"
        codes = connection.execute(sa.text(sample)).scalars().all()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("cim"), "serve", "--port", str(port)]
    home = {"CIM_HOME": str(city.settings.home)}
    with subprocess.Popen(command, env=os.environ | home, stdout=subprocess.DEVNULL) as api:
        try:
            asyncio.run(_reached(port))
            print(f"\n## Proofs over HTTP, one worker, {CONNECTIONS} connections\n")
            print("| asked for | requests/s | CPU µs of the worker | p50 ms | p99 ms |\n|---|---|---|---|---|")
            for name, paths in {
                "checkpoint (a file)": ["/log/checkpoint"] * REQUESTS,
                "proof by code": [f"/log/proof?code={numbers.choice(codes)}" for _ in range(REQUESTS)],
                "proof by code and type": [
                    f"/log/proof?type=building&code={numbers.choice(codes)}" for _ in range(REQUESTS)
                ],
            }.items():
                asyncio.run(_load(port, paths[: REQUESTS // 10]))
                served, start = cpu_of_tree(api.pid), time.perf_counter()
                waits = sorted(asyncio.run(_load(port, paths)))
                wall, served = time.perf_counter() - start, cpu_of_tree(api.pid) - served
                print(f"| {name} | {REQUESTS / wall:,.0f} | {1e6 * served / REQUESTS:,.0f} ", end="")
                print(f"| {1e3 * waits[REQUESTS // 2]:.1f} | {1e3 * waits[int(0.99 * REQUESTS)]:.1f} |", flush=True)
        finally:
            api.terminate()


async def _reached(port: int) -> None:
    for _ in range(300):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise SystemExit("the API did not start")


async def _load(port: int, paths: Sequence[str]) -> list[float]:
    """Ask for the paths over a few kept connections; return the seconds of each answer, which must be 200."""
    waiting, waits = iter(paths), list[float]()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for path in waiting:
            start = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
            waits.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*[ask() for _ in range(CONNECTIONS)])
    return waits


# ---------------------------------------------------------------- growth


def _growth(most: int) -> None:
    """Print size and time of proofs from tiles as the log grows tenfold; the entries are 8 bytes."""
    print("\n## Proofs from tiles\n")
    print("| leaves | hashes | .tlog-proof bytes | inclusion µs | consistency µs | verify µs | verify consistency µs |")
    print("|---|---|---|---|---|---|---|")
    numbers, size, held = random.Random(SEED), 1_000, 0
    rows: list[tuple[float, ...]] = []
    tree = Tree()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "log"
        signer = LogSigner(Path(home) / "keys", "example.org/log")
        writer, reader = TileWriter(folder), TileReader(folder)
        while size <= most:
            tree.extend(leaf_hashes(_entries(held, size)))
            writer.publish(held, size, tree.root(), lambda a, b: leaf_hashes(_entries(a, b)), _entries)
            note = signer.sign(Checkpoint(signer.origin, size, tree.root()), reader.consistency)
            rows.append(_proofs(tree, reader, size, note, numbers))
            held, size = size, size * 10
    _plot(rows)


def _entries(start: int, end: int) -> list[bytes]:
    return [number.to_bytes(8, "big") for number in range(start, end)]


def _plot(rows: Sequence[tuple[float, ...]]) -> None:
    """Draw bytes and microseconds over the number of leaves: both should grow with its logarithm."""
    sizes, lengths, include, connect, verify, follow = zip(*rows, strict=True)
    matplotlib.rcParams["svg.hashsalt"] = "cim"
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.semilogx(sizes, lengths, "o-")
    left.set(xlabel="leaves", ylabel=".tlog-proof, bytes", ylim=(0, None))
    series = {"inclusion": include, "consistency": connect, "verify inclusion": verify, "verify consistency": follow}
    for name, times in series.items():
        right.semilogx(sizes, times, "o-", label=name)
    right.set(xlabel="leaves", ylabel="µs", ylim=(0, None))
    right.legend(fontsize="small")
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})
    plt.close(figure)
    print(f"\nPlot: {PLOT.relative_to(Path.cwd()) if PLOT.is_relative_to(Path.cwd()) else PLOT}")


def _proofs(tree: Tree, reader: TileReader, size: int, note: str, numbers: random.Random) -> tuple[float, ...]:
    """Print a row of the table and return size, bytes and microseconds."""
    root = tree.root()
    places = [numbers.randrange(size) for _ in range(PROOFS)]
    olds = [numbers.randrange(1, size) for _ in range(PROOFS)]
    leaves, old_roots = [leaf_hash(_entries(i, i + 1)[0]) for i in places], [tree.root(old) for old in olds]
    for place, old in zip(places, olds, strict=True):  # warm
        reader.inclusion(place, size), reader.consistency(old, size)
    inclusions, include = _timed(lambda: [reader.inclusion(i, size) for i in places])
    paths, connect = _timed(lambda: [reader.consistency(old, size) for old in olds])

    def verify_inclusions() -> None:
        for place, leaf, proof in zip(places, leaves, inclusions, strict=True):
            verify_inclusion(place, size, leaf, proof, root)

    def verify_paths() -> None:
        for old, old_root, path in zip(olds, old_roots, paths, strict=True):
            verify_consistency(old, size, old_root, root, path)

    _, verify = _timed(verify_inclusions)
    _, follow = _timed(verify_paths)
    hashes = max(map(len, inclusions))
    text = max(len(TlogProof(i, tuple(p), note).to_text().encode()) for i, p in zip(places, inclusions, strict=True))
    print(
        f"| {size:,} | {hashes} | {text:,} | {include:.1f} | {connect:.1f} | {verify:.1f} | {follow:.1f} |", flush=True
    )
    return size, text, include, connect, verify, follow


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what the work gives, and the microseconds of one proof."""
    start = time.perf_counter()
    result = work()
    return result, 1e6 * (time.perf_counter() - start) / PROOFS


if __name__ == "__main__":
    main()
