-- Objects of a type whose live row is not what their latest revision says, with what differs.
-- All rows meet all revisions: without statistics, as after a first load, a plan of nested loops would take hours, and
-- where a million rows do not fit into memory, a seventh of the work is to write them out and to read them again.
CREATE OR REPLACE FUNCTION cim.live_differences(type_name text)
RETURNS TABLE (code text, rev bigint, problem text)
LANGUAGE plpgsql STABLE SET extra_float_digits = 1 SET enable_nestloop = off SET work_mem = '256MB' AS $$
BEGIN
    RETURN QUERY EXECUTE format($query$
        WITH recorded AS (  -- most objects have one revision: to drop those that have a successor is the least work
            SELECT r.code, r.rev, r.body, r.geom, p.personal
            FROM cim.revision r
            LEFT JOIN (SELECT revision_id, jsonb_object_agg(field, value) AS personal
                       FROM cim.private_value GROUP BY revision_id) p ON p.revision_id = r.id
            WHERE r.type = %1$L AND r.body IS NOT NULL
              AND NOT EXISTS (SELECT FROM cim.revision s
                              WHERE s.type = %1$L AND s.code = r.code AND s.rev = r.rev + 1 AND s.rev > 1)
        ), compared AS (
            SELECT coalesce(live.code, recorded.code) AS code, coalesce(recorded.rev, live.rev) AS rev,
                   CASE WHEN live.code IS NULL THEN 'the row is gone, but no deletion was recorded'
                        WHEN recorded.code IS NULL THEN 'the row was never recorded, or was recorded as deleted'
                        WHEN live.rev <> recorded.rev THEN 'the row carries another revision number'
                        WHEN live.body <> recorded.body::text AND live.body::jsonb <> recorded.body
                        THEN 'the row''s attributes differ from its revision'
                        WHEN live.personal IS DISTINCT FROM recorded.personal THEN 'the row''s private fields differ'
                        WHEN live.geom::bytea IS DISTINCT FROM recorded.geom::bytea
                        THEN 'the row''s geometry differs from its revision' END AS problem
            FROM city.%2$I() live FULL JOIN recorded USING (code)
        )
        SELECT * FROM compared WHERE problem IS NOT NULL ORDER BY code
    $query$, type_name, type_name || '_live');
END;
$$;
