-- The staged revisions as they were recorded once, but for their transactions, of which the log says nothing.
WITH staged AS (DELETE FROM replayed RETURNING *)
INSERT INTO cim.revision (id, xid, type, code, rev, op, at, actor, reason, dataset, body, geom, erased, superseded)
OVERRIDING SYSTEM VALUE
SELECT id, pg_current_xact_id(), type, code, rev, op, at, actor, reason, dataset, CAST(body AS jsonb),
       ST_GeomFromWKB(wkb, srid), erased, CAST(superseded AS jsonb)
FROM staged ORDER BY id
