-- Salt and value of one private field of one revision; as text, so that no digit of a number is lost.
SELECT p.salt, jsonb_build_object('value', p.value)::text AS held
FROM cim.revision r JOIN cim.private_value p ON p.revision_id = r.id
WHERE r.type = :type AND r.code = :code AND r.rev = :rev AND p.field = :field
