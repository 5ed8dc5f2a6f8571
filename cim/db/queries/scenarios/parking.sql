-- The parking facilities of a scope with their spaces.
SELECT f.code,
       (SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
        WHERE r.type = 'facility' AND r.code = f.code AND r.rev = f.rev) AS leaf,
       f.capacity
FROM city.facility_at(CAST(:size AS bigint)) f
WHERE f.kind = 'parking' AND ST_Intersects(f.geom, CAST(:scope AS geometry))
ORDER BY f.code COLLATE "C"
