"""Scenarios on a city made from a seed: the sealed answer against the bare SQL on the same tables, in one run.

The city has buildings of 5 to 60 vertices (bays along the walls), three or four a parcel, some 1,850 to the square
kilometre, with streets, greens, facilities, planning zones and districts; 886,000 of them by default. Everything is
captured and sequenced as any other load; loading, sequencing and VACUUM run before any clock starts. "Bare SQL" is the
scenario's own query on the live tables, without state, seal and document.

Run: python -m benchmarks.scenarios [buildings] [--growth]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa

from benchmarks._measure import cpu_of_tree, machine, measure_once, scratch
from cim.city import City
from cim.db.cluster import ensure_running, stop
from cim.db.script import query
from cim.scenarios import run
from cim.scenarios._rules import rule_pack
from cim.scenarios._seal import state_of
from cim.scenarios._state import snapshot
from cim.scenarios._stock import stock_parameters
from cim.scenarios.service_coverage import ServiceCoverage
from cim.settings import Settings

BUILDINGS = 886_000
SRID = 4548
WEST, SOUTH = 480_000.0, 4_300_000.0
ORIGIN = np.array([WEST, SOUTH])
PITCH, SIDE = 42.6, 37.6  # of the parcels' lattice, and of a parcel, metres
A_PARCEL = 3.4  # buildings on a parcel
EVERY = 5  # parcels between two streets
SHAPES = 240
DISTRICTS = 50
CHUNK = 50_000
GROWTH = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
PLOT = Path(__file__).parent / "results" / "scenarios.svg"
USAGES = ("residential", "commercial", "office", "education", "industrial", "public_service")
STRUCTURES = ("brick_wood", "mixed", "reinforced_concrete", "steel")
KINDS = ("kindergarten", "primary_school", "health_centre", "market", "elder_day_care", "service_station")


@dataclass(frozen=True)
class Town:
    """What was made: how many buildings, and the side of its square, metres."""

    buildings: int
    side: float


def footprints(random: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    """Return rings around the origin, 12 to 17 m long: rectangles with bays, 5 to 60 vertices with the closing one."""
    shapes = []
    for _ in range(SHAPES):
        long, wide = random.uniform(12, 17), random.uniform(9, 14)
        bays = int(random.integers(0, 14))
        corners = np.array([[-long, -wide], [long, -wide], [long, wide], [-long, wide]]) / 2
        ring = []
        for side in range(4):
            start, end = corners[side], corners[(side + 1) % 4]
            along = (end - start) / np.hypot(*(end - start))
            out = np.array([along[1], -along[0]])
            ring.append(start)
            share = bays // 4 + (side < bays % 4)
            length = np.hypot(*(end - start))
            for bay in range(share):
                middle = length * (bay + 1) / (share + 1)
                half, depth = length / (share + 1) / 4, random.uniform(0.4, 1.2)
                for at, off in ((-half, 0), (-half, depth), (half, depth), (half, 0)):
                    ring.append(start + along * (middle + at) + out * off)
        ring.append(ring[0])
        shapes.append(np.array(ring))
    return shapes


def make(city: City, buildings: int, seed: int = 1) -> Town:
    """Fill an empty city, in committed chunks, and return what it is."""
    random = np.random.default_rng(seed)
    parcels = int(np.ceil(buildings / A_PARCEL))
    across = int(np.ceil(np.sqrt(parcels)))
    number = np.arange(parcels)
    corner = np.stack([number % across, number // across], axis=1) * PITCH + ORIGIN
    codes = [f"110105{n // 1_000_000 + 1:03d}{n // 10_000 % 100 + 1:03d}GB{n % 10_000 + 1:05d}" for n in number]
    squares = shapely.box(*corner.T, *(corner + SIDE).T)
    tenure = np.where(random.random(parcels) < 0.9, "state_owned", "collective")
    copy(city, "parcel", ["code", "tenure", "geom"], zip(codes, tenure, multi(squares), strict=True))
    _buildings(city, buildings, parcels, corner, codes, random)
    side = across * PITCH
    _lines(city, across)
    _rest(city, buildings, side, random)
    return Town(buildings, side)


def _buildings(city: City, buildings: int, parcels: int, corner: Any, codes: list[str], random: Any) -> None:
    shapes = footprints(random)
    parcel = np.minimum((np.arange(buildings) / A_PARCEL).astype(np.int64), parcels - 1)
    first = np.searchsorted(parcel, parcel, side="left")
    place = np.arange(buildings) - first  # 0 … 3 on its parcel
    middle = corner[parcel] + np.stack([place % 2, place // 2], axis=1) * SIDE / 2 + SIDE / 4
    chosen = random.integers(0, SHAPES, buildings)
    geometry = np.empty(buildings, dtype=object)
    for shape in range(SHAPES):
        rows = np.flatnonzero(chosen == shape)
        geometry[rows] = shapely.polygons(np.round(shapes[shape][None] + middle[rows][:, None], 3))
    storeys = random.integers(1, 19, buildings)
    area = np.round(shapely.area(geometry) * storeys, 2)
    year = random.integers(1950, 2024, buildings)
    usage = np.array(USAGES)[random.choice(len(USAGES), buildings, p=[0.7, 0.1, 0.05, 0.03, 0.07, 0.05])]
    structure = np.array(STRUCTURES)[random.integers(0, len(STRUCTURES), buildings)]
    danger = np.array([*"ABCD"])[random.choice(4, buildings, p=[0.8, 0.15, 0.04, 0.01])]
    dwellings = (area / 80).astype(np.int64) * (usage == "residential")
    unknown = random.random((3, buildings)) < 0.02
    columns = ["code", "parcel_code", "usage", "structure", "status", "year_built", "storeys_above", "storeys_below"]
    columns += ["height", "gross_floor_area", "dwellings", "households", "danger_grade", "heritage", "has_lift", "geom"]
    rows = (
        (
            f"{codes[parcel[n]]}F{place[n] + 1:04d}0000",
            codes[parcel[n]],
            usage[n],
            structure[n],
            "in_use",
            None if unknown[0, n] else int(year[n]),
            int(storeys[n]),
            0,
            float(storeys[n] * 3),
            None if unknown[1, n] else float(area[n]),
            int(dwellings[n]),
            None if unknown[2, n] else int(dwellings[n] * 0.9),
            danger[n],
            "none",
            bool(storeys[n] > 6),
            geometry[n],
        )
        for n in range(buildings)
    )
    copy(city, "building", columns, rows)


def _lines(city: City, across: int) -> None:
    """Streets between every few parcels, each from one crossing to the next."""
    step = EVERY * PITCH
    count = across // EVERY + 1
    at = np.arange(count) * step - (PITCH - SIDE) / 2
    ends = [((a, b), (a + step, b)) for b in at for a in at[:-1]] + [
        ((a, b), (a, b + step)) for a in at for b in at[:-1]
    ]
    lines = shapely.linestrings(np.array(ends) + ORIGIN)
    rows = ((f"RO-{n}", "branch", "in_use", shapely.multilinestrings([line])) for n, line in enumerate(lines))
    copy(city, "road", ["code", "road_class", "status", "geom"], rows)


def _rest(city: City, buildings: int, side: float, random: Any) -> None:
    def places(count: int, size: float) -> Any:
        south_west = random.uniform(0, max(side - size, 1), (count, 2)) + ORIGIN
        return shapely.box(*south_west.T, *(south_west + size).T)

    greens = places(buildings // 200 + 1, 60)
    copy(
        city,
        "green_space",
        ["code", "kind", "counts_as_green", "geom"],
        ((f"GR-{n}", "park", True, g) for n, g in enumerate(multi(greens))),
    )
    points = shapely.points(random.uniform(0, side, (buildings // 44 + 6, 2)) + ORIGIN)
    kinds = random.integers(0, len(KINDS), len(points))
    copy(
        city,
        "facility",
        ["code", "kind", "geom"],
        ((f"FA-{n}", KINDS[kinds[n]], point) for n, point in enumerate(points)),
    )
    zones = [
        shapely.box(x, y, x + 1000, y + 1000)
        for x in np.arange(WEST, WEST + side, 1000)
        for y in np.arange(SOUTH, SOUTH + side, 1000)
    ]
    copy(
        city,
        "planning_zone",
        ["code", "zone_kind", "far_cap", "density_cap", "height_cap", "geom"],
        ((f"PZ-{n}", "development_control", 3.0, 0.5, 54.0, z) for n, z in enumerate(multi(np.array(zones)))),
    )
    middle = np.array([WEST, SOUTH]) + side / 2
    half = min(500.0, side / 2)
    districts = [shapely.box(*(middle - half), *(middle + half)), *places(DISTRICTS, min(1000.0, side / 2))]
    copy(
        city,
        "renewal_district",
        ["code", "name", "geom"],
        ((f"RD-{n}", f"片区 {n}", d) for n, d in enumerate(multi(np.array(districts)))),
    )


def multi(areas: Any) -> Any:
    return np.array([shapely.multipolygons([area]) for area in areas], dtype=object)


def copy(city: City, type_name: str, columns: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Commit rows through COPY, as any client of PostgreSQL may; the triggers capture them."""
    wanted_multi = city.database.table(type_name).c.geom.type.geometry_type.startswith("MULTI")
    statement = f"COPY city.{type_name} ({', '.join(columns)}) FROM STDIN"
    pending: list[tuple[Any, ...]] = []

    def flush() -> None:
        shapes = np.array([row[-1] for row in pending], dtype=object)
        if wanted_multi and shapes[0].geom_type == "Polygon":
            shapes = multi(shapes)
        texts = shapely.to_wkb(shapely.set_srid(shapes, SRID), hex=True, include_srid=True)
        with city.database.engine.begin() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            with raw.cursor().copy(statement) as out:
                for row, geometry in zip(pending, texts, strict=True):
                    out.write_row((*row[:-1], geometry))
        pending.clear()

    for row in rows:
        pending.append(tuple(v.item() if isinstance(v, np.generic) else v for v in row))
        if len(pending) == CHUNK:
            flush()
    if pending:
        flush()


def main() -> None:
    sizes = [int(argument.replace(",", "").replace("_", "")) for argument in sys.argv[1:] if argument[:1].isdigit()]
    print(machine())
    with scratch() as folder:
        settings = Settings(home=folder / "home", srid=SRID, origin="example.org/benchmark")
        ensure_running(settings)
        try:
            _bench(settings, sizes[0] if sizes else BUILDINGS)
        finally:
            stop(settings)


@dataclass(frozen=True)
class Took:
    """One row of the table: medians of wall, client and server CPU seconds, and what it is held to."""

    work: str
    wall: float
    client: float
    server: float
    note: str = ""

    def line(self) -> str:
        return f"{self.work:<58} {1e3 * self.wall:9.1f} {1e3 * self.client:9.1f} {1e3 * self.server:9.1f}  {self.note}"


def turns(work: dict[str, Callable[[], object]], server: Callable[[], float], rounds: int = 5) -> dict[str, Took]:
    """Run in turn after a warm-up and return the medians."""
    samples: dict[str, list[Any]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, job in work.items():
            _, sample = measure_once(job, server)
            if turn:
                samples[name].append(sample)
    return {
        name: Took(name, *(statistics.median(getattr(s, part) for s in each) for part in ("wall", "client", "server")))
        for name, each in samples.items()
    }


def against(took: dict[str, Took], ours: str, bare: str, most: float) -> None:
    """Print two contestants and the ratio of their wall seconds."""
    ratio = took[ours].wall / took[bare].wall
    print(took[bare].line(), flush=True)
    print(took[ours].line() + f"{ratio:.2f} × of the former, aim {most}")


def within(took: Took, seconds: float) -> None:
    print(took.line() + f"aim {1e3 * seconds:.0f} ms")


def bare(city: City, name: str, district: str, **parameters: Any) -> Callable[[], object]:
    """Return the query itself on the live tables, as an analyst would run it: no state, no seal, no document."""
    with city.database.engine.connect() as connection:
        geometry = connection.execute(
            sa.text("SELECT geom::text, current_date FROM city.renewal_district WHERE code = :code"), {"code": district}
        ).one()
    asked = {"size": None, "scope": geometry[0], "reference_date": geometry[1], "membership": "clip", **parameters}

    def once() -> object:
        with city.database.engine.connect() as connection:
            connection.execute(query("scenarios/settle"))
            return connection.execute(query(f"scenarios/{name}"), asked).all()

    return once


def square(buildings: int, town: Town) -> dict[str, Any]:
    """Return a square in the middle of the town with about so many buildings, GeoJSON in the storage CRS."""
    half = town.side / 2 * np.sqrt(min(buildings / town.buildings, 1.0))
    middle = np.array([WEST, SOUTH]) + town.side / 2
    return dict(shapely.geometry.mapping(shapely.box(*(middle - half), *(middle + half))))


def _bench(settings: Settings, buildings: int) -> None:
    from cim.db import cluster

    with City(settings) as city:
        start = time.perf_counter()
        town = make(city, buildings)
        made = time.perf_counter() - start
        city.sequence()
        sequenced = time.perf_counter() - start - made
        with city.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
        print(f"{buildings:,} buildings loaded in {made:.0f} s, sequenced in {sequenced:.0f} s, not counted below")
        postmaster = cluster.status(settings).pid
        assert postmaster is not None
        print(f"{'':<58} {'wall ms':>9} {'client':>9} {'server':>9}  (CPU ms)")
        district(city, lambda: cpu_of_tree(postmaster))
        whole(city, town, lambda: cpu_of_tree(postmaster))
        if "--growth" in sys.argv:
            growth(city, town, lambda: cpu_of_tree(postmaster))


def district(city: City, server: Callable[[], float]) -> None:
    """1 km², warm."""
    database = city.database
    pack = rule_pack("cn-renewal")
    stock, roads = stock_parameters(pack), pack.limit("existing_road")
    day = "2026-06-30"
    asked = {"scope": "RD-0", "reference_date": day}
    from cim.scenarios.district_inventory import _parameters

    took = turns(
        {
            "inventory cube, bare SQL": bare(
                city,
                "district_inventory",
                "RD-0",
                **_parameters(pack, 2026),
                group_by=["decade", "structure"],
                list_objects=False,
                codes=None,
            ),
            "inventory cube, sealed": lambda: run(database, "district-inventory", asked),
            "inventory cube, sealed, as of": lambda: run(database, "district-inventory", asked, use_live=False),
            "density, bare SQL": bare(
                city,
                "density_indicators",
                "RD-0",
                **stock,
                gfa_rule="above_ground",
                level="district",
                road_status=roads["status"],
                road_missing=roads["missing"],
            ),
            "density, sealed": lambda: run(database, "density-indicators", asked),
            "density, sealed, as of": lambda: run(database, "density-indicators", asked, use_live=False),
        },
        server,
    )
    against(took, "inventory cube, sealed", "inventory cube, bare SQL", 1.5)
    against(took, "inventory cube, sealed, as of", "inventory cube, sealed", 2)
    against(took, "density, sealed", "density, bare SQL", 1.5)
    against(took, "density, sealed, as of", "density, sealed", 2)
    codes = [
        o["code"] for o in run(database, "district-inventory", asked | {"list_objects": True})["result"]["objects"]
    ]
    proposal = {"interventions": [{"target": code, "action": "demolish"} for code in codes[:200]]}
    took = turns(
        {
            "inventory cube": lambda: run(database, "district-inventory", asked),
            "inventory cube through a proposal of 200": lambda: run(
                database, "district-inventory", asked | {"proposal": proposal}
            ),
            "constraints of 200 interventions": lambda: run(
                database, "check-constraints", asked | {"proposal": proposal}
            ),
            "candidate ranking": lambda: run(database, "rank-renewal-candidates", asked),
            "coverage of one kind on foot": lambda: run(
                database, "service-coverage", asked | {"kinds": ["kindergarten"]}
            ),
        },
        server,
    )
    against(took, "inventory cube through a proposal of 200", "inventory cube", 1.3)
    within(took["constraints of 200 interventions"], 0.15)
    print(took["candidate ranking"].line())
    print(took["coverage of one kind on foot"].line())


def whole(city: City, town: Town, server: Callable[[], float]) -> None:
    """The whole city, and a portfolio."""
    database = city.database
    everywhere = {"scope": square(town.buildings, town), "scope_crs": SRID, "reference_date": "2026-06-30"}
    names = [f"RD-{n}" for n in range(1, DISTRICTS + 1)]
    took = turns(
        {
            "ranking of the whole city": lambda: run(database, "rank-renewal-candidates", everywhere),
            f"indicators of {DISTRICTS} districts": lambda: [
                run(database, "density-indicators", {"scope": name}) for name in names
            ],
            "coverage of one kind on foot, whole city": lambda: run(
                database, "service-coverage", everywhere | {"kinds": ["kindergarten"], "rings": [1000]}
            ),
        },
        server,
        rounds=2,
    )
    ranking, districts, coverage = took.values()
    within(ranking, 10)
    within(districts, 1)
    print(coverage.line())
    within(on_foot(city, everywhere, server), 1)
    portfolio(server)


def on_foot(city: City, everywhere: dict[str, Any], server: Callable[[], float]) -> Took:
    """Return what the distances of one kind take once buildings, facilities and streets are loaded."""
    kinds, ring = ["kindergarten"], 1000
    asked = ServiceCoverage.from_inputs(everywhere | {"kinds": kinds, "rings": [ring]})
    with snapshot(city.database) as connection:
        state = state_of(connection, city.database, asked)
        places = asked._places(state, kinds)
    codes = [row.code for row in places["building"]]
    name = "coverage of one kind on foot, whole city, after loading"
    return turns({name: lambda: asked._distances(state, places, codes, kinds, ring)}, server, rounds=2)[name]


def portfolio(server: Callable[[], float]) -> None:
    """1,000 objects × 4 actions with a budget, R1 and R2, to 0.1 %: ours and CP-SAT on the same numbers."""
    from cim.scenarios._milp import Limit, Problem, choose

    random = np.random.default_rng(1)
    objects, kinds = 1000, 4
    area = random.integers(200, 9000, objects)
    benefit = (area[:, None] * np.column_stack([np.zeros(objects), random.uniform(0, 1, (objects, 3))]) * 100).astype(
        int
    )
    cost = (area[:, None] * np.column_stack([np.zeros(objects), random.uniform(300, 5000, (objects, 3))])).astype(int)
    torn = np.column_stack([np.zeros((objects, 3), int), area])
    added = np.column_stack([np.zeros((objects, 3), int), area * 3 // 2])
    of = np.repeat(np.arange(objects), kinds).tolist()
    limits = [
        Limit("budget", cost.ravel().tolist(), int(cost.sum()) // 10),
        Limit("R1", torn.ravel().tolist(), int(area.sum()) // 5),
        Limit("R2", (added - 2 * torn).ravel().tolist(), 0),
    ]
    problem = Problem(of, benefit.ravel().tolist(), limits)

    def cp_sat() -> None:
        from ortools.sat.python import cp_model

        model = cp_model.CpModel()
        x = [model.new_bool_var("") for _ in of]
        for n in range(objects):
            model.add_exactly_one(x[n * kinds : (n + 1) * kinds])
        for limit in limits:
            model.add(cp_model.LinearExpr.weighted_sum(x, list(limit.amount)) <= limit.most)
        model.maximize(cp_model.LinearExpr.weighted_sum(x, list(problem.benefit)))
        solver = cp_model.CpSolver()
        solver.parameters.relative_gap_limit = 0.001
        solver.parameters.max_time_in_seconds = 60
        solver.solve(model)

    took = turns(
        {
            "portfolio of 1,000 × 4, CP-SAT to 0.1 % or 60 s": cp_sat,
            "portfolio of 1,000 × 4, ours to 0.1 %": lambda: choose(problem, 0.001, 1_000_000),
        },
        server,
        rounds=1,
    )
    print(took["portfolio of 1,000 × 4, CP-SAT to 0.1 % or 60 s"].line())
    within(took["portfolio of 1,000 × 4, ours to 0.1 %"], 2)


def growth(city: City, town: Town, server: Callable[[], float]) -> None:
    """Cost over the buildings touched, in squares of one city, drawn into results/scenarios.svg."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4.2))
    for scenario_id in ("district-inventory", "density-indicators", "rank-renewal-candidates"):
        points = []
        for size in GROWTH:
            if size > town.buildings * 1.2:
                break
            asked = {"scope": square(size, town), "scope_crs": SRID, "reference_date": "2026-06-30"}
            job = {scenario_id: lambda asked=asked: run(city.database, scenario_id, asked)}  # noqa: B023
            took = turns(job, server, rounds=3 if size <= 30_000 else 1)[scenario_id]
            points.append((min(size, town.buildings), took.client + took.server))
            each = 1e6 * points[-1][1] / points[-1][0]
            print(
                f"{scenario_id}, {points[-1][0]:,} buildings: {points[-1][1]:.3f} s of CPU, {each:.1f} µs each",
                flush=True,
            )
        axes.loglog(*zip(*points, strict=True), marker="o", label=scenario_id)
    axes.set_xlabel("buildings in the scope")
    axes.set_ylabel("CPU seconds, client and server")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    mpl.rcParams["svg.hashsalt"] = "scenarios"
    figure.savefig(PLOT, metadata={"Date": None})
    print(f"drawn into {PLOT.relative_to(PLOT.parents[2])}")


if __name__ == "__main__":
    main()
