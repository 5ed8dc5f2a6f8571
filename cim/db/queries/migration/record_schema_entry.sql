-- The dictionary's version is itself a record of the log: type `schema`, one object, its digests as body.
INSERT INTO cim.revision (xid, type, code, rev, op, at, actor, reason, body)
SELECT pg_current_xact_id(), 'schema', 'v1', coalesce(max(rev), 0) + 1,
       CASE WHEN count(*) = 0 THEN 'insert' ELSE 'update' END,
       clock_timestamp(), session_user, 'dictionary changed', CAST(:digests AS jsonb)
FROM cim.revision WHERE type = 'schema' AND code = 'v1'
