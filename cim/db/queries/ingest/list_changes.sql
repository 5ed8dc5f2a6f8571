-- What this transaction did to objects of some types: the first and the last revision it made of each decide.
-- `moved` is how far the geometry moved at most (Hausdorff distance), metres; null where either is missing.
WITH mine AS (
    SELECT type, code, min(rev) AS first, max(rev) AS last
    FROM cim.revision WHERE xid = pg_current_xact_id() AND type = ANY(:types)
    GROUP BY type, code ORDER BY type, code
)
SELECT m.type, m.code, o.body AS before, n.body AS after, o.geom IS NOT DISTINCT FROM n.geom AS in_place,
       ST_HausdorffDistance(o.geom, n.geom) AS moved
FROM mine m
JOIN cim.revision n ON n.type = m.type AND n.code = m.code AND n.rev = m.last
LEFT JOIN cim.revision o ON o.type = m.type AND o.code = m.code AND o.rev = m.first - 1
WHERE o.body IS NOT NULL OR n.body IS NOT NULL
ORDER BY m.type, m.code
LIMIT :most;
