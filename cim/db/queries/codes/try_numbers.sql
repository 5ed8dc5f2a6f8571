-- New objects of all these types with all these codes, to be rolled back: only what nobody else has, nor is about to
-- have, goes in. For an open transaction that wrote one of them the index of revisions makes us wait.
INSERT INTO cim.revision (xid, type, code, rev, op, at, actor)
SELECT pg_current_xact_id(), type, code, 1, 'insert', clock_timestamp(), session_user
FROM unnest(CAST(:types AS text[])) AS types(type) CROSS JOIN unnest(CAST(:codes AS text[])) AS tried(code)
ORDER BY code, type
ON CONFLICT (type, code, rev) DO NOTHING
