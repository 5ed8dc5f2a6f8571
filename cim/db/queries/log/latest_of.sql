-- The last revision below a leaf of each of some objects.
SELECT o.type, o.code, last.idx, last.rev
FROM unnest(CAST(:types AS text[]), CAST(:codes AS text[])) AS o(type, code)
CROSS JOIN LATERAL (
    SELECT l.idx, r.rev FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
    WHERE r.type = o.type COLLATE "C" AND r.code = o.code COLLATE "C" AND l.idx < :before
    ORDER BY r.rev DESC LIMIT 1
) last
