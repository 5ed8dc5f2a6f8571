-- Every private value of an object as it is now; as text, so that no digit of a number is lost.
SELECT p.field, jsonb_build_object('value', p.value)::text AS held
FROM cim.revision r JOIN cim.private_value p ON p.revision_id = r.id
WHERE r.type = :type AND r.code = :code
  AND r.rev = (SELECT max(l.rev) FROM cim.revision l WHERE l.type = :type AND l.code = :code)
ORDER BY p.field
