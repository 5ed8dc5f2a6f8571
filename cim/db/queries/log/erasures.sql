-- Up to which revision each private field of an object was erased.
SELECT r.type, r.code, f.field, max(r.rev) AS rev
FROM cim.revision r CROSS JOIN LATERAL unnest(r.erased) AS f(field)
WHERE r.op = 'erase'
GROUP BY r.type, r.code, f.field
