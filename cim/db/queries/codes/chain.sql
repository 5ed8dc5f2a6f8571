-- The supersessions that lead from a code to what holds today, and those that led to it, oldest first.
WITH RECURSIVE later AS (
    SELECT CAST(:code AS text) COLLATE "C" AS code
    UNION
    SELECT n.code COLLATE "C" FROM later l
    JOIN cim.revision s ON s.op = 'supersede' AND s.type = :type AND s.code = l.code
    CROSS JOIN jsonb_array_elements_text(s.superseded -> 'new') n(code)
), earlier AS (
    SELECT CAST(:code AS text) COLLATE "C" AS code
    UNION
    SELECT s.code FROM earlier e
    JOIN cim.revision s ON s.op = 'supersede' AND s.type = :type AND s.superseded -> 'new' ? e.code
)
SELECT s.code AS old, ARRAY(SELECT jsonb_array_elements_text(s.superseded -> 'new')) AS new,
       s.superseded ->> 'date' AS date, s.superseded ->> 'evidence' AS evidence, s.at, s.actor, s.reason, l.idx AS leaf
FROM cim.revision s LEFT JOIN cim.leaf l ON l.revision_id = s.id
WHERE s.op = 'supersede' AND s.type = :type AND s.code IN (SELECT code FROM later UNION SELECT code FROM earlier)
ORDER BY s.id
