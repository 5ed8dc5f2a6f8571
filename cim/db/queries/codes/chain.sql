-- The supersessions that lead from a code to what holds today, or at tree size n, and those that led to it, oldest first.
WITH RECURSIVE known AS NOT MATERIALIZED (
    SELECT r.*, l.idx AS leaf FROM cim.revision r LEFT JOIN cim.leaf l ON l.revision_id = r.id
    WHERE r.op = 'supersede' AND r.type = :type AND (CAST(:size AS bigint) IS NULL OR l.idx < :size)
), later AS (
    SELECT CAST(:code AS text) COLLATE "C" AS code
    UNION
    SELECT n.code COLLATE "C" FROM later l
    JOIN known s ON s.code = l.code
    CROSS JOIN jsonb_array_elements_text(s.superseded -> 'new') n(code)
), earlier AS (
    SELECT CAST(:code AS text) COLLATE "C" AS code
    UNION
    SELECT s.code FROM earlier e
    JOIN known s ON s.superseded -> 'new' ? e.code
)
SELECT s.code AS old, ARRAY(SELECT jsonb_array_elements_text(s.superseded -> 'new')) AS new,
       s.superseded ->> 'date' AS date, s.superseded ->> 'evidence' AS evidence, s.at, s.actor, s.reason, s.leaf
FROM known s WHERE s.code IN (SELECT code FROM later UNION SELECT code FROM earlier)
ORDER BY s.id
