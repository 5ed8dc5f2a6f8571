-- Land of a scope's parcels that is residential, or of unknown use, and what of it lies within reach of a park, straight.
-- A park reaches as far as the greatest of `areas` that it has says in `reaches` (metres). land and covered are cut at the
-- edge of the scope; covered_most counts green spaces of unknown kind too.
WITH home AS (
    SELECT p.code, p.rev, p.land_use IS NOT NULL AS known,
           CASE WHEN ST_Covers(CAST(:scope AS geometry), p.geom) THEN p.geom
                ELSE ST_Intersection(p.geom, CAST(:scope AS geometry)) END AS geom
    FROM city.parcel_at(CAST(:size AS bigint)) p
    WHERE ST_Intersects(p.geom, CAST(:scope AS geometry))
      AND (p.land_use IS NULL OR p.land_use = ANY(CAST(:land_uses AS text[])))
      AND coalesce(p.valid_from <= :reference_date, true) AND coalesce(p.valid_to > :reference_date, true)
), measured AS (
    SELECT h.code, h.rev, h.known, cim.square_centimetres(ST_Area(h.geom)) AS land, h.geom
    FROM home h
)
SELECT m.code,
       (SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
        WHERE r.type = 'parcel' AND r.code = m.code AND r.rev = m.rev) AS leaf,
       m.known, m.land,
       coalesce(cim.square_centimetres(ST_Area(ST_Intersection(m.geom, near.sure))), 0) AS covered,
       coalesce(cim.square_centimetres(ST_Area(ST_Intersection(m.geom, near.perhaps))), 0) AS covered_most
FROM measured m
CROSS JOIN LATERAL (
    -- OFFSET 0: a look into the index of green spaces for each parcel, however few the planner takes either for.
    SELECT ST_Union(ST_Buffer(g.geom, g.reach) ORDER BY g.code COLLATE "C") FILTER (WHERE g.kind IS NOT NULL) AS sure,
           ST_Union(ST_Buffer(g.geom, g.reach) ORDER BY g.code COLLATE "C") AS perhaps
    FROM (
        SELECT g.code, g.kind, g.geom, (
            SELECT max(t.reach) FROM unnest(CAST(:areas AS bigint[]), CAST(:reaches AS bigint[])) AS t (area, reach)
            WHERE cim.square_centimetres(ST_Area(g.geom)) >= t.area) AS reach
        FROM city.green_space_at(CAST(:size AS bigint)) g
        WHERE ST_DWithin(g.geom, m.geom, CAST(:reach AS bigint))
          AND ST_DWithin(g.geom, CAST(:scope AS geometry), CAST(:reach AS bigint))
          AND (g.kind IS NULL OR g.kind = ANY(CAST(:kinds AS text[])))
        OFFSET 0) g
    WHERE ST_DWithin(g.geom, m.geom, g.reach)) near
WHERE m.land > 0
ORDER BY m.code COLLATE "C"
