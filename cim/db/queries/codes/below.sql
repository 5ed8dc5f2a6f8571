-- Every code ever recorded that begins with a prefix: codes are never reused, so the deleted count too.
SELECT DISTINCT r.code FROM cim.revision r
WHERE r.type = ANY(:types) AND r.code >= :prefix AND starts_with(r.code, :prefix)
ORDER BY r.code
