-- The parking facilities of a scope with their spaces.
SELECT f.code, l.idx AS leaf, f.capacity
FROM city.facility_at(CAST(:size AS bigint)) f
LEFT JOIN cim.revision r ON r.type = 'facility' AND r.code = f.code AND r.rev = f.rev
LEFT JOIN cim.leaf l ON l.revision_id = r.id
WHERE f.kind = 'parking' AND ST_Intersects(f.geom, CAST(:scope AS geometry))
ORDER BY f.code COLLATE "C"
