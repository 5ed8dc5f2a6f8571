-- A minted code is a record of the log from the moment it is given out: nobody else can get it, whatever becomes of it.
INSERT INTO cim.revision (xid, type, code, rev, op, at, actor, reason, body)
SELECT pg_current_xact_id(), 'reservation', code, 1, 'insert', clock_timestamp(),
       coalesce(nullif(current_setting('cim.actor', true), ''), session_user),
       nullif(current_setting('cim.reason', true), ''),
       jsonb_build_object('scheme', CAST(:scheme AS text), 'parent', CAST(:parent AS text))
FROM unnest(CAST(:codes AS text[])) AS minted(code)
