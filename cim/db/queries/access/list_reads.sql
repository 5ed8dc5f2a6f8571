SELECT at, reader, type, code, fields, request
FROM cim.private_read
WHERE (CAST(:type AS text) IS NULL OR type = :type) AND (CAST(:code AS text) IS NULL OR code = :code)
ORDER BY id DESC LIMIT :limit
