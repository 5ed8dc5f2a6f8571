-- The planning zones in force that buildings stand in, a pair a row: what limits height, and heritage zones. Touching
-- along an edge is not standing in.
WITH zone AS MATERIALIZED (
    SELECT z.code, z.geom, z.zone_kind, z.height_cap, (
        SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
        WHERE r.type = 'planning_zone' AND r.code = z.code AND r.rev = z.rev) AS leaf
    FROM city.planning_zone_at(CAST(:size AS bigint)) z
    WHERE ST_DWithin(z.geom, CAST(:scope AS geometry), CAST(:reach AS float8))
      AND z.zone_kind = ANY(CAST(:zone_kinds AS text[])) AND coalesce(z.effective_from <= :reference_date, true)
)
SELECT b.code, z.code AS zone, z.leaf, z.zone_kind, cim.millimetres(z.height_cap) AS height_cap
FROM city.building_at(CAST(:size AS bigint)) b
JOIN zone z ON ST_Intersects(z.geom, b.geom)
WHERE b.code = ANY(CAST(:codes AS text[])) AND ST_Intersects(b.geom, CAST(:scope AS geometry))
  AND CASE WHEN ST_Covers(z.geom, b.geom) THEN true
           ELSE cim.square_centimetres(ST_Area(ST_Intersection(z.geom, b.geom))) > 0 END
ORDER BY b.code COLLATE "C", z.code COLLATE "C"
