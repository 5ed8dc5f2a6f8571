-- What this transaction did to each object that has a place, by its last revision of it: insert, update, or end, which
-- removes the object or gives it the date that `ends` names by type. What is removed is where it was.
CREATE OR REPLACE FUNCTION cim.recorded_here(ends jsonb) RETURNS TABLE (id bigint, fate text, geom geometry)
LANGUAGE sql STABLE AS $$
    SELECT r.id,
           CASE WHEN r.body IS NULL THEN 'end'
                WHEN r.op = 'update' AND o.body ->> (ends ->> r.type) IS NULL AND r.body ->> (ends ->> r.type) IS NOT NULL
                THEN 'end' ELSE r.op END,
           coalesce(r.geom, o.geom)
    FROM cim.revision r
    LEFT JOIN cim.revision o ON o.type = r.type AND o.code = r.code AND o.rev = r.rev - 1 AND r.op <> 'insert'
    WHERE r.xid = pg_current_xact_id() AND coalesce(r.geom, o.geom) IS NOT NULL AND r.op <> 'erase'
      AND NOT EXISTS (SELECT FROM cim.revision n WHERE n.type = r.type AND n.code = r.code AND n.rev = r.rev + 1)
$$;
