-- Note what a person decided, by the names of the records; an object that does not exist decides nothing.
UPDATE unmatched u SET how = d.how, code = CASE WHEN d.how = 'left out' THEN NULL ELSE coalesce(d.code, u.name) END
FROM unnest(CAST(:names AS text[]), CAST(:hows AS text[]), CAST(:codes AS text[])) AS d(name, how, code)
WHERE u.name = d.name
  AND (d.code IS NULL OR (SELECT r.op FROM cim.revision r WHERE r.type = :type AND r.code = d.code
                          ORDER BY r.rev DESC LIMIT 1) NOT IN ('delete', 'supersede'));
