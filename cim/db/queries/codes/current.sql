-- What (scheme, value) pairs name today, a row for each object: own codes, and identifiers of the crosswalk, each
-- followed through its supersessions. An identifier that ended counts only where no other row of it is in force.
-- `query_as_of` makes of it what they named by the log at tree size n, on a day.
WITH RECURSIVE asked AS (
    SELECT DISTINCT a.scheme COLLATE "C" AS scheme, a.value COLLATE "C" AS value
    FROM unnest(CAST(:schemes AS text[]), CAST(:values AS text[])) AS a(scheme, value)
), crosswalk AS (
    SELECT a.scheme, a.value, i.type, i.code, i.valid_to IS NULL OR i.valid_to > current_date AS in_force
    FROM asked a CROSS JOIN LATERAL cim.identifiers_named(a.scheme, a.value) i
    WHERE CAST(:type AS text) IS NULL OR i.type = :type
), named AS (
    SELECT a.scheme, a.value, t.name AS type, a.value AS code
    FROM asked a JOIN cim.feature_type t
      ON a.scheme = CASE WHEN starts_with(a.value, 'PV') THEN 'provisional' ELSE t.code_scheme END
    WHERE (CAST(:type AS text) IS NULL OR t.name = :type)
      AND EXISTS (SELECT FROM cim.revision r WHERE r.type = t.name AND r.code = a.value)
    UNION
    SELECT c.scheme, c.value, c.type, c.code FROM crosswalk c
    WHERE c.in_force OR NOT EXISTS (
        SELECT FROM crosswalk o WHERE (o.scheme, o.value, o.type) = (c.scheme, c.value, c.type) AND o.in_force)
), chain AS (
    SELECT scheme, value, type, code FROM named
    UNION
    SELECT c.scheme, c.value, c.type, n.code COLLATE "C"
    FROM chain c
    JOIN cim.revision s ON s.op = 'supersede' AND s.type = c.type AND s.code = c.code
    CROSS JOIN jsonb_array_elements_text(s.superseded -> 'new') n(code)
)
SELECT c.scheme, c.value, c.type, c.code, last.op NOT IN ('delete', 'supersede') AND last.body IS NOT NULL AS live
FROM chain c
CROSS JOIN LATERAL (SELECT r.op, r.body FROM cim.revision r WHERE r.type = c.type AND r.code = c.code
                    ORDER BY r.rev DESC LIMIT 1) last
WHERE NOT EXISTS (SELECT FROM cim.revision s WHERE s.op = 'supersede' AND s.type = c.type AND s.code = c.code)
ORDER BY c.scheme, c.value, c.type, c.code
