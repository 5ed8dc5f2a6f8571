-- The feature types that know a code: one, unless two schemes collide.
SELECT DISTINCT r.type FROM cim.revision r WHERE r.type = ANY(:types) AND r.code = :code ORDER BY r.type
