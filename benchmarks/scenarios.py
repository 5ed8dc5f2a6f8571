"""Scenarios on a city made from a seed: the sealed answer against the bare SQL on the same tables, in one run.

The city is that of `benchmarks._town`, with 886,000 buildings by default; loading, sequencing and VACUUM run before any
clock starts. "Bare SQL" is the scenario's own query on the live tables, without state, seal and document. "First time"
nothing is kept of the state in this process, "again" what was read for the same question is.

Run: python -m benchmarks.scenarios [buildings] [--growth]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import sqlalchemy as sa

from benchmarks._measure import cpu_of_tree, machine, measure_once, scratch
from benchmarks._town import DISTRICTS, SOUTH, SRID, WEST, Town, make
from cim.city import City
from cim.db.cluster import ensure_running, stop
from cim.db.script import query
from cim.db.state import resolve
from cim.scenarios import run
from cim.scenarios._kept import ANSWERS
from cim.scenarios._seal import state_of
from cim.scenarios._state import snapshot
from cim.scenarios.service_coverage import ServiceCoverage
from cim.settings import Settings

BUILDINGS = 886_000
GROWTH = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
PLOT = Path(__file__).parent / "results" / "scenarios.svg"


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


def first(scenario_id: str, city: City, asked: dict[str, Any]) -> Callable[[], object]:
    """Return a run for which nothing is kept yet."""

    def once() -> object:
        ANSWERS.clear()
        return run(city.database, scenario_id, asked)

    return once


def bare(city: City, name: str, scenario_id: str, asked: dict[str, Any]) -> Callable[[], object]:
    """Return the query itself on the live tables, as the scenario runs it: no state, no seal, no document."""
    begins = query(f"scenarios/{name}").text.partition("\n")[0]
    engine = city.database.engine
    caught: list[tuple[str, Any]] = []

    def catch(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(begins):
            caught.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", catch)
    first(scenario_id, city, asked)()
    sa.event.remove(engine, "before_cursor_execute", catch)

    def once() -> object:
        with engine.connect() as connection:
            connection.execute(query("scenarios/settle"))
            return connection.exec_driver_sql(*caught[0]).all()

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
    asked = {"scope": "RD-0", "reference_date": "2026-06-30"}
    with database.engine.connect() as connection:
        earlier = resolve(connection, None, database.settings.log_dir).size - 1
    contests = [
        ("inventory cube", "district-inventory", "district_inventory", 1.5),
        ("density", "density-indicators", "density_indicators", None),  # held to 10 ms
        ("candidate ranking", "rank-renewal-candidates", "rank_renewal_candidates", 2),
    ]
    for work, scenario_id, name, most in contests:
        took = turns(
            {
                f"{work}, bare SQL": bare(city, name, scenario_id, asked),
                f"{work}, first time": first(scenario_id, city, asked),
                f"{work}, again": partial(run, database, scenario_id, asked),
                f"{work}, as of, first time": first(scenario_id, city, asked | {"as_of": earlier}),
            },
            server,
        )
        for turn in ("first time", "again"):
            if most is None:
                within(took[f"{work}, {turn}"], 0.01)
            else:
                against(took, f"{work}, {turn}", f"{work}, bare SQL", most)
        against(took, f"{work}, as of, first time", f"{work}, first time", 2)
    with database.engine.connect() as connection:
        inside = """SELECT p.code FROM city.parcel p JOIN city.renewal_district d ON ST_Covers(d.geom, p.geom)
                    WHERE d.code = 'RD-0'"""
        parcels = asked | {"scope": list(connection.exec_driver_sql(inside).scalars())}
    work = "density of its parcels by code"
    took = turns({f"{work}, first time": first("density-indicators", city, parcels)}, server)
    print(took[f"{work}, first time"].line() + f"a boundary of {len(parcels['scope'])} parcels")
    codes = [
        o["code"] for o in run(database, "district-inventory", asked | {"list_objects": True})["result"]["objects"]
    ]

    def proposing(number: int) -> dict[str, Any]:
        """Return the question with a proposal of 200 interventions, each `number` another one."""
        chosen = codes[number : number + 200]
        return asked | {"proposal": {"interventions": [{"target": code, "action": "demolish"} for code in chosen]}}

    others = map(proposing, count(1))
    took = turns(
        {
            "inventory cube, first time": first("district-inventory", city, asked),
            "inventory cube through a proposal of 200, first time": first("district-inventory", city, proposing(0)),
            "constraints of 200 interventions, first time": first("check-constraints", city, proposing(0)),
            "constraints of 200 interventions, again": lambda: run(database, "check-constraints", proposing(0)),
            "constraints of 200 interventions, another proposal": lambda: run(
                database, "check-constraints", next(others)
            ),
            "coverage of one kind on foot, first time": first(
                "service-coverage", city, asked | {"kinds": ["kindergarten"]}
            ),
        },
        server,
    )
    *_, coverage = took.values()
    against(took, "inventory cube through a proposal of 200, first time", "inventory cube, first time", 1.3)
    for name, one in took.items():
        if name.startswith("constraints"):
            within(one, 0.15)
    print(coverage.line())


def whole(city: City, town: Town, server: Callable[[], float]) -> None:
    """The whole city, and a portfolio."""
    database = city.database
    everywhere = {"scope": square(town.buildings, town), "scope_crs": SRID, "reference_date": "2026-06-30"}
    names = [f"RD-{n}" for n in range(1, DISTRICTS + 1)]
    took = turns(
        {
            "ranking of the whole city, first time": first("rank-renewal-candidates", city, everywhere),
            "ranking of the whole city, again": lambda: run(database, "rank-renewal-candidates", everywhere),
            f"indicators of {DISTRICTS} districts, one by one, first time": lambda: [
                first("density-indicators", city, {"scope": name})() for name in names
            ],
            f"indicators of {DISTRICTS} districts, first time": first("compare-districts", city, {"scope": names}),
            f"indicators of {DISTRICTS} districts, again": lambda: run(database, "compare-districts", {"scope": names}),
            "coverage of one kind on foot, whole city": lambda: run(
                database, "service-coverage", everywhere | {"kinds": ["kindergarten"], "rings": [1000]}
            ),
        },
        server,
        rounds=2,
    )
    ranking, ranking_again, one_by_one, districts, districts_again, coverage = took.values()
    within(ranking, 10)
    within(ranking_again, 10)
    print(one_by_one.line())
    within(districts, 1)
    within(districts_again, 1)
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
    codes = places.codes
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
            took = turns(
                {scenario_id: first(scenario_id, city, asked)},
                server,
                rounds=3 if size <= 30_000 else 1,
            )[scenario_id]
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
