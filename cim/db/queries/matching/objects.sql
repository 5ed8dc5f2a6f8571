-- The objects of codes as they were last recorded.
SELECT DISTINCT ON (r.type, r.code) r.type, r.code, r.body ->> 'name' AS name, ST_AsBinary(r.geom, 'NDR') AS geom
FROM unnest(CAST(:types AS text[]), CAST(:codes AS text[])) AS wanted(type, code)
JOIN cim.revision r ON r.type = wanted.type COLLATE "C" AND r.code = wanted.code COLLATE "C"
ORDER BY r.type, r.code, r.rev DESC;
