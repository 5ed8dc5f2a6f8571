-- Land of a scope's parcels that is residential, or of unknown use, and what of it lies within reach of a park, straight.
-- A park reaches as far as the greatest of `areas` that it has says in `reaches` (metres). land and covered are cut at the
-- edge of the scope; covered_most counts green spaces of unknown kind too. With `explain` the leaf of each parcel.
-- Most land lies in the midst of what parks reach, or far from it: where that is cut into pieces, a piece around a parcel
-- tells that all of it is covered. Other parcels are measured one by one against the parks near them, since a sum of
-- pieces would hang on where they were cut.
WITH home AS MATERIALIZED (
    SELECT p.code, p.rev, p.land_use IS NOT NULL AS known, cim.square_centimetres(ST_Area(
               CASE WHEN ST_Covers(CAST(:scope AS geometry), p.geom) THEN p.geom
                    ELSE ST_Intersection(p.geom, CAST(:scope AS geometry)) END)) AS land
    FROM city.parcel_at(CAST(:size AS bigint)) p
    WHERE ST_Intersects(p.geom, CAST(:scope AS geometry))
      AND (p.land_use IS NULL OR p.land_use = ANY(CAST(:land_uses AS text[])))
      AND coalesce(p.valid_from <= :reference_date, true) AND coalesce(p.valid_to > :reference_date, true)
), park AS MATERIALIZED (
    SELECT g.code, g.kind IS NOT NULL AS sure, g.geom, g.reach, ST_Buffer(g.geom, g.reach) AS served
    FROM (
        SELECT g.code, g.kind, g.geom, (
            SELECT max(t.reach) FROM unnest(CAST(:areas AS bigint[]), CAST(:reaches AS bigint[])) AS t (area, reach)
            WHERE cim.square_centimetres(ST_Area(g.geom)) >= t.area) AS reach
        FROM city.green_space_at(CAST(:size AS bigint)) g
        WHERE ST_DWithin(g.geom, CAST(:scope AS geometry), CAST(:reach AS bigint))
          AND (g.kind IS NULL OR g.kind = ANY(CAST(:kinds AS text[])))
        OFFSET 0) g
    WHERE g.reach IS NOT NULL
), piece AS MATERIALIZED (
    SELECT true AS sure, ST_Subdivide(ST_Union(p.served), 128) AS geom FROM park p WHERE p.sure
    UNION ALL
    SELECT false, ST_Subdivide(ST_Union(p.served), 128) FROM park p WHERE EXISTS (SELECT FROM park WHERE NOT sure)
), whole AS MATERIALIZED (
    SELECT p.code, i.sure
    FROM piece i JOIN city.parcel_at(CAST(:size AS bigint)) p ON ST_Covers(i.geom, p.geom)
), edge AS (
    SELECT n.code, n.geom, array_agg(n.served ORDER BY n.park COLLATE "C") FILTER (WHERE n.sure) AS sure,
           array_agg(n.served ORDER BY n.park COLLATE "C") AS perhaps, bool_and(n.sure) AS known
    FROM (
        -- IN beside coalesce: looked up in a hash, however few parcels the planner expects.
        SELECT p.code, k.code AS park, k.sure, k.served, k.geom AS green, k.reach,
               CASE WHEN ST_Covers(CAST(:scope AS geometry), p.geom) THEN p.geom
                    ELSE ST_Intersection(p.geom, CAST(:scope AS geometry)) END AS geom
        FROM park k
        JOIN city.parcel_at(CAST(:size AS bigint)) p ON ST_DWithin(p.geom, k.geom, k.reach)
        WHERE coalesce(p.code IN (SELECT h.code FROM home h), false)
          AND coalesce(p.code NOT IN (SELECT w.code FROM whole w WHERE w.sure), true)
        OFFSET 0) n
    WHERE ST_DWithin(n.green, n.geom, n.reach)
    GROUP BY n.code, n.geom
), told AS (
    -- What each of them tells of a parcel, to be put together by its code: joined, misjudged numbers would cost minutes.
    SELECT h.code, h.rev, h.known, h.land, NULL::bigint AS covered, NULL::bigint AS covered_most,
           NULL::boolean AS sure, NULL::boolean AS perhaps
    FROM home h
    UNION ALL
    SELECT w.code, NULL, NULL, NULL, NULL, NULL, w.sure, true FROM whole w
    UNION ALL
    SELECT e.code, NULL, NULL, NULL, cim.square_centimetres(ST_Area(ST_Intersection(e.geom, ST_Union(e.sure)))),
           CASE WHEN NOT e.known
                THEN cim.square_centimetres(ST_Area(ST_Intersection(e.geom, ST_Union(e.perhaps)))) END, NULL, NULL
    FROM edge e
), parcel AS (
    SELECT t.code, max(t.rev) AS rev, bool_and(t.known) AS known, max(t.land) AS land,
           CASE WHEN bool_or(t.sure) THEN max(t.land) ELSE coalesce(max(t.covered), 0) END AS covered,
           CASE WHEN bool_or(t.perhaps) THEN max(t.land) ELSE coalesce(max(t.covered_most), max(t.covered), 0) END
               AS covered_most
    FROM told t
    GROUP BY t.code
)
SELECT p.code,
       CASE WHEN CAST(:explain AS boolean) THEN (
           SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
           WHERE r.type = 'parcel' AND r.code = p.code AND r.rev = p.rev) END AS leaf,
       p.known, p.land, p.covered, p.covered_most
FROM parcel p
WHERE p.land > 0
ORDER BY p.code COLLATE "C"
