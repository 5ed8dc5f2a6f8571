-- Those of some codes that were never recorded.
SELECT a.code FROM unnest(CAST(:types AS text[]), CAST(:codes AS text[])) AS a(type, code)
WHERE NOT EXISTS (SELECT FROM cim.revision r WHERE r.type = a.type COLLATE "C" AND r.code = a.code COLLATE "C")
ORDER BY a.code
