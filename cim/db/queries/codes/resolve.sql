-- Objects that a text names: by their own code, or by another published identifier.
SELECT DISTINCT r.type, r.code, t.code_scheme AS scheme, r.code AS value
FROM cim.revision r JOIN cim.feature_type t ON t.name = r.type
WHERE r.type = ANY(:types) AND r.code = ANY(:values)
UNION
SELECT i.type, i.code, i.scheme, i.value FROM cim.identifier i
WHERE i.value = ANY(:values) AND (i.valid_to IS NULL OR i.valid_to > current_date)
ORDER BY type, code, scheme
