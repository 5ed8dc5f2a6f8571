"""Who has a service within reach: worked out by hand, against pgRouting on foot and against PostGIS straight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shapely
import sqlalchemy as sa

from cim.db.engine import Database
from cim.errors import InvalidData
from cim.scenarios import run
from cim.scenarios._network import FAR, Network
from cim.scenarios.service_coverage import _numbers

P1 = "130629001001GB00001"
DISTRICT = "RD-TEST-01"
INPUTS = {"scope": DISTRICT, "kinds": ["kindergarten"], "rings": [300], "reference_date": "2026-06-30"}


def point(x: float, y: float) -> str:
    return f"POINT({500_000 + x} {4_320_000 + y})"


def coverage(database: Database, **inputs: Any) -> dict[str, Any]:
    return dict(run(database, "service-coverage", INPUTS | inputs)["result"])


@pytest.fixture
def street(database: Database, put: Callable[..., int], box: Any, building: Any, line: Any) -> Database:
    """A street along the district's southern edge; houses 10 m off it at 20, 40 and 60 m, kindergarten at -240 m."""
    put(
        database,
        {
            "renewal_district": [{"code": DISTRICT, "geom": box(0, 0, 100, 400)}],
            "building": [
                building(1, box(15, 5, 10, 10), status="in_use", households=6),
                building(2, box(35, 5, 10, 10), status="in_use", households=4),
                building(3, box(55, 5, 10, 10), status="in_use", dwellings=5),  # 0 to 10 households
            ],
            "road": [{"code": "RO-1", "geom": line((-400, 0), (100, 0))}],
            "facility": [{"code": "FA-1", "kind": "kindergarten", "geom": point(-240, 10)}],
        },
    )
    return database


def test_a_ring_is_inclusive_to_the_millimetre(street: Database, put: Callable[..., int]) -> None:
    # House 1: 10 + 240 + 20 + 10 = 280 m. House 2: 300 m, on the ring. House 3: 320 m, beyond.
    reached = coverage(street)["kinds"][0]
    assert reached["households"] == measure("{household}", 10, 10, 10, n=3, n_known=2)
    assert reached["buildings"] == measure("{building}", 2, 2, 2, n=3, n_known=3)
    with street.engine.begin() as connection:
        table = street.table("facility")
        geom = sa.func.ST_GeomFromText(point(-240, 10.001), street.settings.srid)
        connection.execute(sa.update(table).values(geom=geom))
    put(street, {})
    beyond = coverage(street)["kinds"][0]
    assert beyond["households"]["value"] == 6


def test_what_is_unknown_moves_numerator_and_denominator_together(street: Database) -> None:
    share = coverage(street)["kinds"][0]["share"]
    # Known: 10 of 10. House 3, beyond the ring, has 0 to 10 households: 10 / 20 at the least.
    assert (share["value"], share["low"], share["high"]) == (100.0, 50.0, 100.0)
    wider = coverage(street, rings=[320])["kinds"][0]["share"]
    assert (wider["value"], wider["low"], wider["high"]) == (100.0, 100.0, 100.0)


def test_off_every_street_is_unknown_and_not_out_of_reach(
    street: Database, put: Callable[..., int], building: Any, box: Any
) -> None:
    put(street, {"building": [building(4, box(15, 300, 10, 10), status="in_use", households=10)]})
    result = coverage(street, list_objects=True)
    reached = result["kinds"][0]
    # 200 m and more from the street, where 100 m are the most.
    assert (reached["households"]["low"], reached["households"]["high"]) == (10, 20)
    assert (reached["households"]["n"], reached["households"]["n_known"]) == (4, 2)
    assert reached["share"]["value"] == 50.0
    assert result["gaps"] == [{"code": f"{P1}F00030000", "kinds": ["kindergarten"]}]
    assert [o["distances"]["kindergarten"] for o in result["objects"]] == [280.0, 300.0, None, None]


def test_a_facility_of_unknown_kind_may_be_of_the_kind(street: Database, put: Callable[..., int]) -> None:
    put(street, {"facility": [{"code": "FA-2", "geom": point(60, 10)}]})
    reached = coverage(street, kinds=["market"])["kinds"][0]
    assert (reached["households"]["value"], reached["households"]["high"]) == (None, 20)
    assert (reached["share"]["low"], reached["share"]["high"]) == (0.0, 100.0)
    assert reached["facilities"] == 0


def test_a_new_facility_of_a_proposal_serves(street: Database, put: Callable[..., int], box: Any) -> None:
    put(street, {"parcel": [{"code": P1, "geom": box(0, 0, 100, 100)}]})
    assert coverage(street, kinds=["market"])["kinds"][0]["households"]["value"] == 0
    place = {"type": "Point", "coordinates": [500_060, 4_320_010]}
    new = {"target": P1, "action": "new_facility", "params": {"kind": "market", "geometry": place}}
    proposal = {"crs": 4548, "interventions": [new]}
    reached = coverage(street, kinds=["market"], proposal=proposal)["kinds"][0]
    assert (reached["households"]["value"], reached["facilities"]) == (10, 1)


LOTS = {"land_use": "residential"}
PARKS = ["kindergarten", "park", "pocket_park"]


@pytest.mark.parametrize(
    ("width", "kind", "expected"),
    [
        (50, "park", (75.0, 75.0, 75.0)),  # 5,000 m²: reaches 500 m
        (49.99, "park", (0.0, 0.0, 0.0)),  # 4,999 m²: reaches 300 m
        (50, "residential", (0.0, 0.0, 0.0)),  # green of an estate is no park
        (50, None, (None, 0.0, 75.0)),  # may be one
    ],
)
def test_parks_reach_by_their_size(
    database: Database, put: Callable[..., int], box: Any, width: float, kind: str | None, expected: Any
) -> None:
    """A park whose eastern edge is 425 m west of the district: 500 m from it end in the middle of the second of two
    lots of 50 × 100 m, so that 5,000 + 2,500 of 10,000 m² are covered."""
    park = {"code": "GR-1", "geom": box(-425 - width, 0, width, 100)} | ({} if kind is None else {"kind": kind})
    lots = [{"code": f"{P1[:-1]}{i}", **LOTS, "geom": box(50 * (i - 1), 0, 50, 100)} for i in (1, 2)]
    office = {"code": f"{P1[:-1]}3", "land_use": "commercial", "geom": box(0, 100, 50, 100)}
    land = {"renewal_district": [{"code": DISTRICT, "geom": box(0, 0, 100, 400)}]}
    put(database, {**land, "parcel": [*lots, office], "green_space": [park]})
    parks = coverage(database, kinds=PARKS)["parks"]
    assert parks["land"]["value"] == 10_000
    assert tuple(parks["share"][end] for end in ("value", "low", "high")) == expected


def test_land_of_unknown_use_moves_both_sides_of_the_share(
    database: Database, put: Callable[..., int], box: Any, adds_up: Callable[[Any], None]
) -> None:
    """2,500 of 5,000 m² are covered; as much land that may be residential is covered as a whole, or the least of it."""
    lots = [
        {"code": P1, **LOTS, "geom": box(50, 0, 50, 100)},
        {"code": f"{P1[:-1]}2", "geom": box(0, 0, 50, 100)},
    ]
    park = {"code": "GR-1", "kind": "park", "geom": box(-475, 0, 50, 100)}
    land = {"renewal_district": [{"code": DISTRICT, "geom": box(0, 0, 100, 400)}]}
    put(database, {**land, "parcel": lots, "green_space": [park]})
    result = coverage(database, kinds=PARKS, explain=["/"])
    share = result["parks"]["share"]
    assert (share["value"], share["low"], share["high"]) == (50, 50, 75)
    assert (share["n"], share["n_known"]) == (2, 1)
    adds_up(result)
    put(database, {"green_space": [{"code": "GR-2", "kind": "pocket_park", "geom": box(75, -100, 25, 80)}]})  # 2,000 m²
    assert coverage(database, kinds=PARKS)["parks"]["share"]["value"] == 100


def test_what_parks_cover_is_what_those_near_each_lot_do(database: Database, put: Callable[..., int], box: Any) -> None:
    """Lots in the midst of what parks reach, at its edge, beyond it, and at the edge of the district: each against the
    parks for itself. Some are of unknown kind."""
    lots = [
        {"code": f"{P1[:-3]}{i:03d}", **LOTS, "geom": box(70 * (i % 16) - 30, 70 * (i // 16) - 30, 60.5, 61.25)}
        for i in range(256)
    ]
    parks = [
        {"code": f"GR-{i}", **({"kind": kind} if kind else {}), "geom": box(x, y, 50.001, height)}
        for i, (kind, x, y, height) in enumerate(
            [
                ("park", -300.123, -300.5, 130),
                ("park", 120.25, -180, 60),
                ("pocket_park", -150, 250.037, 60),
                ("park", 60.5, 333.3, 60),
                (None, -220.7, 480, 130),
                (None, 210.1, 420.9, 60),
                (None, 333.3, 111.1, 60),
            ]
        )
    ]
    district = {"code": DISTRICT, "geom": box(0, 0, 1000, 1000)}
    put(database, {"renewal_district": [district], "parcel": lots, "green_space": parks})
    covered = coverage(database, kinds=PARKS)["parks"]["covered"]
    # Each lot for itself, against all parks: whole, in part and not at all, surely and perhaps.
    statement = """
        SELECT round(ST_Area(lot) * 10000) AS land, of.sure, of.perhaps
        FROM city.parcel p, city.renewal_district d
        CROSS JOIN LATERAL (SELECT ST_Intersection(p.geom, d.geom) AS lot) cut
        CROSS JOIN LATERAL (
            SELECT round(ST_Area(ST_Intersection(lot, ST_Union(reached) FILTER (WHERE kind > ''))) * 10000) AS sure,
                   round(ST_Area(ST_Intersection(lot, ST_Union(reached))) * 10000) AS perhaps
            FROM (SELECT kind, ST_Buffer(geom, CASE WHEN ST_Area(geom) >= 5000 THEN 500 ELSE 300 END) AS reached
                  FROM city.green_space) g) of
        WHERE ST_Intersects(p.geom, d.geom)"""
    with database.engine.connect() as connection:
        rows = connection.execute(sa.text(statement)).all()
    assert {(row.sure > 0) + (row.sure == row.land) for row in rows} == {0, 1, 2}
    assert {(row.perhaps > row.sure, row.sure > 0) for row in rows} >= {(False, False), (True, False), (True, True)}
    assert covered["low"] == sum(row.sure for row in rows) / 10_000
    assert covered["high"] == sum(row.perhaps for row in rows) / 10_000


def test_kinds_tell_whether_parks_are_asked_for(street: Database, put: Callable[..., int], box: Any) -> None:
    put(street, {"green_space": [{"code": "GR-1", "kind": "park", "geom": box(0, 300, 80, 80)}]})
    put(street, {"parcel": [{"code": P1, **LOTS, "geom": box(0, 0, 100, 100)}]})
    without, with_parks = (run(street, "service-coverage", INPUTS | {"kinds": kinds}) for kinds in (PARKS[:1], PARKS))
    assert without["result"]["parks"] is None
    assert with_parks["result"]["parks"]["share"]["value"] == 100
    assert with_parks["result"]["kinds"] == without["result"]["kinds"]  # a park is no facility
    # What was not read is in no seal, and makes nothing stale.
    sealed = [document["assessment"]["read_set"]["objects"] for document in (without, with_parks)]
    assert sealed == [7, 8]  # the district, three houses, the street, the kindergarten, the lot; the park
    only = coverage(street, kinds=["park"], list_objects=True)
    assert (only["kinds"], only["gaps"], only["parks"]["share"]["value"]) == ([], [], 100)
    assert coverage(street, kinds=None)["parks"]["share"]["value"] == 100


def test_streets_are_not_read_where_nobody_walks(street: Database) -> None:
    walked, straight = (run(street, "service-coverage", INPUTS | {"mode": mode}) for mode in ("network", "buffer"))
    counted = [document["assessment"]["read_set"]["objects"] for document in (walked, straight)]
    assert counted == [6, 5]


def test_minutes_are_those_of_the_speed(street: Database) -> None:
    assert coverage(street)["kinds"][0]["minutes"] == 3.75  # 300 m at 80 m a minute
    assert coverage(street, speed=6)["kinds"][0]["minutes"] == 3.0


def test_a_facility_beyond_the_district_is_part_of_what_was_read(street: Database, put: Callable[..., int]) -> None:
    document = run(street, "service-coverage", INPUTS)
    put(street, {"facility": [{"code": "FA-9", "kind": "market", "geom": point(-301, 0)}]})
    put(street, {"road": [{"code": "RO-9", "geom": f"LINESTRING({499_000} 4320000,{499_500} 4320000)"}]})
    assert run(street, "verify-assessment", {"document": document})["result"]["status"] == "valid"
    put(street, {"facility": [{"code": "FA-8", "kind": "kindergarten", "geom": point(-200, 10)}]})
    verified = run(street, "verify-assessment", {"document": document})["result"]
    assert (verified["status"], verified["changes"][0]["code"]) == ("stale", "FA-8")


def test_straight_distances_are_those_of_postgis(unchanging: Database, street: Database) -> None:
    rings = [245, 250, 260, 275, 280, 285, 295]
    entries = coverage(street, mode="buffer", rings=rings)["kinds"]
    with street.engine.connect() as connection:
        for entry in entries:
            count = connection.execute(
                sa.text(
                    "SELECT count(*) FROM city.building b WHERE EXISTS"
                    " (SELECT FROM city.facility f WHERE ST_DWithin(f.geom, b.geom, :ring))"
                ),
                {"ring": entry["ring"]},
            ).scalar_one()
            assert entry["buildings"]["value"] == count, entry["ring"]


@pytest.mark.parametrize(
    ("codes", "among", "numbers"),
    [
        (["a", "c", "d", "e"], ["b", "c", "e", "f"], [-1, 1, -1, 2]),
        (["a", "b"], [], [-1, -1]),
        ([], ["a"], []),
        (["a", "ab", "b"], ["a", "ab", "b"], [0, 1, 2]),
        (["c"], ["a", "b"], [-1]),
    ],
)
def test_buildings_are_found_among_those_that_count(codes: list[str], among: list[str], numbers: list[int]) -> None:
    assert _numbers(codes, among).tolist() == numbers


def test_a_street_recorded_twice_is_no_longer_than_once() -> None:
    line = shapely.linestrings([[0, 0], [5, 0]])
    network = Network.of(np.array([line, line, shapely.reverse(line)]), 20.0)
    found = network.distances(np.array([0]), np.array([0]), 10_000)
    assert found.tolist() == [0, 5000]


def test_no_street_and_no_source_reach_nothing() -> None:
    empty = Network.of(np.array([], dtype=object), 20.0)
    assert len(empty.nodes) == 0
    node, connector = empty.nearest(np.array([[1, 2]]))
    assert connector.tolist() == [FAR]
    line = Network.of(np.array([shapely.linestrings([[0, 0], [5, 0]])]), 20.0)
    assert line.distances(node[:0], connector[:0], 1000).tolist() == [FAR, FAR]


def test_distances_are_those_of_pgrouting(
    server_url: sa.URL, clone: Callable[[], str], absent: Callable[[str], None]
) -> None:
    """A lattice with corners moved and streets taken out: every node's distance to its nearest of nine sources."""
    random = np.random.default_rng(7)
    side, step = 14, 90_000
    corners = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * step
    corners = corners + random.integers(-30_000, 30_000, corners.shape)
    across = [(i, i + 1) for i in range(side * side) if (i + 1) % side] + [
        (i, i + side) for i in range(side * (side - 1))
    ]
    streets = [pair for pair in across if random.random() < 0.8]
    lines = np.array([shapely.linestrings(corners[list(pair)] / 1000) for pair in streets])
    network = Network.of(lines, 1e9)
    where = {tuple(place): node for node, place in enumerate(network.nodes.tolist())}
    walked = sorted({end for pair in streets for end in pair})
    sources = random.choice(walked, 9, replace=False).tolist()
    connectors = [0, 0, 0, 12_345, 1, 50_000, 777, 99_999, 3]
    limit = 400_000
    nodes = np.array([where[tuple(corners[s].tolist())] for s in sources])
    found = network.distances(nodes, np.array(connectors), limit)

    edges = [(a, b, round(float(np.hypot(*(corners[a] - corners[b]))))) for a, b in streets]
    # A source with a connector is a vertex of its own for pgRouting too.
    starts = [s if c == 0 else 10_000 + i for i, (s, c) in enumerate(zip(sources, connectors, strict=True))]
    edges += [(s, start, c) for s, c, start in zip(sources, connectors, starts, strict=True) if c]
    engine = sa.create_engine(clone())
    with engine.connect() as connection:
        if connection.execute(sa.text("SELECT FROM pg_available_extensions WHERE name = 'pgrouting'")).first() is None:
            absent("pgRouting")
        connection.execute(sa.text("CREATE EXTENSION pgrouting"))
        connection.execute(sa.text("CREATE TEMP TABLE edge (id bigserial, source bigint, target bigint, cost float8)"))
        rows = [{"s": a, "t": b, "c": c} for a, b, c in edges]
        connection.execute(sa.text("INSERT INTO edge (source, target, cost) VALUES (:s, :t, :c)"), rows)
        reached = connection.execute(
            sa.text(
                "SELECT node, min(agg_cost) FROM pgr_drivingDistance("
                "'SELECT id, source, target, cost FROM edge', CAST(:starts AS bigint[]), :limit, directed => false)"
                " WHERE node < 10000 GROUP BY node"
            ),
            {"starts": starts, "limit": limit},
        ).all()
    engine.dispose()
    theirs = {where[tuple(corners[node].tolist())]: int(cost) for node, cost in reached}
    ours = {node: int(distance) for node, distance in enumerate(found) if distance != FAR}
    assert ours == theirs
    assert 20 < len(ours) < len(network.nodes)  # some are reached, and some are not


def measure(unit: str, value: int, low: int, high: int, *, n: int, n_known: int) -> dict[str, Any]:
    return {"value": value, "unit": unit, "n": n, "n_known": n_known, "low": low, "high": high}


def test_what_nobody_can_be_served_by_is_refused(street: Database) -> None:
    with pytest.raises(InvalidData, match=r"input kinds: 'nosuch' is none; there are .*kindergarten"):
        coverage(street, kinds=["kindergarten", "nosuch"])
    with pytest.raises(InvalidData, match=r"input speed: 1e-300 is less than the minimum of 0\.1"):
        coverage(street, speed=1e-300)
