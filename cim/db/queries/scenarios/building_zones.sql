-- The planning zones in force that buildings stand in, a pair a row: what limits height, and heritage zones. Touching
-- along an edge is not standing in.
SELECT b.code, z.code AS zone, l.idx AS leaf, z.zone_kind, cim.millimetres(z.height_cap) AS height_cap
FROM city.building_at(CAST(:size AS bigint)) b
JOIN city.planning_zone_at(CAST(:size AS bigint)) z ON ST_Intersects(z.geom, b.geom)
    AND ST_DWithin(z.geom, CAST(:scope AS geometry), CAST(:reach AS float8))
LEFT JOIN cim.revision r ON r.type = 'planning_zone' AND r.code = z.code AND r.rev = z.rev
LEFT JOIN cim.leaf l ON l.revision_id = r.id
WHERE b.code = ANY(CAST(:codes AS text[])) AND ST_Intersects(b.geom, CAST(:scope AS geometry))
  AND z.zone_kind = ANY(CAST(:zone_kinds AS text[])) AND coalesce(z.effective_from <= :reference_date, true)
  AND cim.square_centimetres(ST_Area(ST_Intersection(z.geom, b.geom))) > 0
ORDER BY b.code COLLATE "C", z.code COLLATE "C"
