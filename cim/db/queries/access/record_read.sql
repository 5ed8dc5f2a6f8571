INSERT INTO cim.private_read (reader, type, code, fields, request)
VALUES (:reader, :type, :code, CAST(:fields AS text[]), :request)
