-- Objects of a type whose live row is not what their latest revision says, with what differs.
CREATE OR REPLACE FUNCTION cim.live_differences(type_name text)
RETURNS TABLE (code text, rev bigint, problem text)
LANGUAGE plpgsql STABLE SET extra_float_digits = 1 AS $$
BEGIN
    RETURN QUERY EXECUTE format($query$
        WITH latest AS (  -- from the index alone; sorting whole revisions would be half of the work
            SELECT r.code, max(r.rev) AS rev FROM cim.revision r WHERE r.type = %1$L GROUP BY r.code
        ), recorded AS (
            SELECT r.code, r.rev, r.body, r.geom, p.personal
            FROM latest JOIN cim.revision r ON r.type = %1$L AND r.code = latest.code AND r.rev = latest.rev
            LEFT JOIN (SELECT revision_id, jsonb_object_agg(field, value) AS personal
                       FROM cim.private_value GROUP BY revision_id) p ON p.revision_id = r.id
            WHERE r.body IS NOT NULL
        )
        SELECT coalesce(live.code, recorded.code), coalesce(recorded.rev, live.rev),
               CASE WHEN live.code IS NULL THEN 'the row is gone, but no deletion was recorded'
                    WHEN recorded.code IS NULL THEN 'the row was never recorded, or was recorded as deleted'
                    WHEN live.rev <> recorded.rev THEN 'the row carries another revision number'
                    WHEN live.body IS DISTINCT FROM recorded.body THEN 'the row''s attributes differ from its revision'
                    WHEN live.personal IS DISTINCT FROM recorded.personal THEN 'the row''s private fields differ'
                    ELSE 'the row''s geometry differs from its revision' END
        FROM city.%2$I() live FULL JOIN recorded USING (code)
        WHERE live.code IS NULL OR recorded.code IS NULL OR live.rev <> recorded.rev
           OR live.body IS DISTINCT FROM recorded.body OR live.personal IS DISTINCT FROM recorded.personal
           OR ST_AsBinary(live.geom, 'NDR') IS DISTINCT FROM ST_AsBinary(recorded.geom, 'NDR')
        ORDER BY 1
    $query$, type_name, type_name || '_live');
END;
$$;
