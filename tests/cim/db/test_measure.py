from __future__ import annotations

import shapely
import sqlalchemy as sa

from cim.db.engine import Database

X, Y = 421_000.123, 4_320_000.456
SIDE, COUNT = 20.25, 7


def square(column: float, row: float, wide: float = 1, high: float = 1) -> shapely.Polygon:
    west, south = X + column * SIDE, Y + row * SIDE
    return shapely.box(west, south, west + wide * SIDE, south + high * SIDE)


# Parcels as they lie: side by side but for one in the midst, some across a street, and two that touch in a corner.
LAND = [
    shapely.union_all([square(c, r) for c in range(COUNT) for r in range(COUNT) if (c, r) != (3, 3)]),
    shapely.union_all([square(9 + 1.5 * n, 0) for n in range(COUNT)]),
    shapely.union_all([square(0, 9), square(1, 10)]),
]
# A building in each place: as large as a parcel, smaller and in its midst or on its edge, larger, and across two.
BUILDINGS = [
    square(c / 2 + shift, r / 2 + shift, size, size)
    for c in range(-1, 42)
    for r in range(-1, 24)
    for shift, size in ((0, 1), (0.25, 0.5), (0, 0.5), (0.5, 0.5), (-0.25, 1.5))
]


def test_what_shares_a_boundary_with_a_scope_is_covered_as_all_else(database: Database) -> None:
    """Held to GEOS itself, of another version than the server's and without preparing anything."""
    scope = shapely.multipolygons([part for land in LAND for part in shapely.get_parts(land)])
    shapely.prepare(BUILDINGS)
    expected = shapely.covers(scope, BUILDINGS)
    near = shapely.dwithin(scope, BUILDINGS, 5.0)
    assert 0 < expected.sum() < near.sum() < len(BUILDINGS)
    statement = sa.text(
        """SELECT cim.covers(s.geom, b.geom), cim.within_reach(b.geom, s.geom, 5)
           FROM (SELECT ST_GeomFromWKB(:scope, 4548) AS geom) s,
                unnest(CAST(:buildings AS bytea[])) WITH ORDINALITY AS u (wkb, n),
                LATERAL (SELECT ST_GeomFromWKB(u.wkb, 4548) AS geom OFFSET 0) b
           ORDER BY u.n"""
    )
    with database.engine.connect() as connection:
        given = {"scope": scope.wkb, "buildings": [one.wkb for one in BUILDINGS]}
        rows = connection.execute(statement, given).all()
    assert [row[0] for row in rows] == expected.tolist()
    assert [row[1] for row in rows] == near.tolist()
