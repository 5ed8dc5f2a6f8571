-- The private fields of which an object has values, in any revision.
SELECT DISTINCT p.field
FROM cim.revision r JOIN cim.private_value p ON p.revision_id = r.id
WHERE r.type = :type AND r.code = :code
ORDER BY p.field
