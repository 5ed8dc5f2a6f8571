-- Each geometry that a leaf below a size names, once, as the bytes that were hashed.
SELECT DISTINCT ON (sha256(g.wkb)) sha256(g.wkb) AS sha256, g.wkb
FROM cim.leaf l JOIN cim.revision r ON r.id = l.revision_id
CROSS JOIN LATERAL (SELECT ST_AsBinary(r.geom, 'NDR') AS wkb) g
WHERE l.idx < :size AND r.geom IS NOT NULL
