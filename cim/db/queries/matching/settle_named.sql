-- Note what a person decided, by the names of the records; an object that does not exist decides nothing. Who decides
-- otherwise about a record that was left out takes that back.
WITH d AS (
    SELECT * FROM unnest(CAST(:names AS text[]), CAST(:hows AS text[]), CAST(:codes AS text[])) AS d(name, how, code)
), taken_back AS (
    DELETE FROM cim.decision o USING d
    WHERE o.how = 'left out' AND o.type = :type AND o.name = d.name AND d.how <> 'left out'
)
UPDATE unmatched u SET how = d.how, code = CASE WHEN d.how = 'left out' THEN NULL ELSE coalesce(d.code, u.name) END
FROM d
WHERE u.name = d.name
  AND (d.code IS NULL OR (SELECT r.op FROM cim.revision r WHERE r.type = :type AND r.code = d.code
                          ORDER BY r.rev DESC LIMIT 1) NOT IN ('delete', 'supersede'));
