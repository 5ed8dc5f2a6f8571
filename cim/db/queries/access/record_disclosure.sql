-- Who takes a private value out by the library or the command line is known by the database alone.
INSERT INTO cim.private_read (reader, type, code, fields, request)
VALUES ('database:' || session_user || coalesce(' ' || CAST(:actor AS text), ''),
        :type, :code, ARRAY[CAST(:field AS text)], 'disclosure')
