-- Private values of revisions before the erasure of their field: brought back, by a restored backup perhaps.
SELECT DISTINCT r.type, r.code, r.rev, p.field
FROM cim.revision e
JOIN cim.revision r ON r.type = e.type AND r.code = e.code AND r.rev < e.rev
JOIN cim.private_value p ON p.revision_id = r.id AND p.field = ANY (e.erased)
WHERE e.op = 'erase'
ORDER BY 1, 2, 3, 4
LIMIT 1000
