-- Make city.<type>_logged(n): the type's objects at tree size n, as the log has them; city.<type>_now(): as the live
-- table has them; city.<type>_at(n): the one, or the other where n is null, for queries that read either, which costs a
-- step for each row, and planning both; city.<type>_in(n, branch): the same as read through a branch, {type: {code: row,
-- or null for an object it takes away}}; and city.<type>_in(branch): the live table so. A row of a branch holds what is
-- another of an object, geometry as hex EWKB; one with a rev is an object more, and whole.
--
-- A revision stands at n when its leaf is below n, and that of the next one is not. The function is one SELECT, so the
-- planner inlines it, drops the branch not asked for, and pushes a bounding box down to the index of either.
-- Both are looked up row by row, so by OFFSET 0, in indexes alone: the planner never joins all leaves where few are asked
-- for. The first only above the floor of n. As a condition on the rows themselves, the planner would take few to pass,
-- and fetch those in a box one by one.
-- Its parameter has no name, so that no column can hide it. Private columns are null in it, live as well: who may read
-- the public ones may read it.

-- The oldest transaction that may have a revision whose leaf is not below tree size n: every older one's is. A floor above
-- every transaction of this server is another server's, from which the database was dumped, and says nothing.
CREATE OR REPLACE FUNCTION cim.leaf_floor(bigint) RETURNS xid8
LANGUAGE sql STABLE AS $floor$
    SELECT coalesce((
        SELECT known.xid_floor
        FROM (SELECT xid_floor FROM cim.tree_state WHERE size <= $1
              UNION ALL
              (SELECT xid_floor FROM cim.tree_head WHERE size <= $1 ORDER BY size DESC LIMIT 1)) known
        WHERE known.xid_floor <= pg_snapshot_xmax(pg_current_snapshot())
        ORDER BY known.xid_floor DESC LIMIT 1), '0')
$floor$;

CREATE OR REPLACE FUNCTION cim.attach_as_of(type_name text) RETURNS void
LANGUAGE plpgsql AS $attach$
DECLARE
    signature text;
    live text;
    logged text;
    reading record;
BEGIN
    SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, NULL)), ', ' ORDER BY a.attnum),
           string_agg(CASE WHEN p.private THEN format('NULL::%s', format_type(a.atttypid, NULL))
                           ELSE format('t.%I', a.attname) END, ', ' ORDER BY a.attnum),
           string_agg(
               CASE WHEN a.attname IN ('code', 'rev', 'geom') THEN format('r.%I', a.attname)
                    WHEN p.private THEN format('NULL::%s', format_type(a.atttypid, NULL))
                    WHEN p.kind = 'string' THEN format('r.body ->> %L', a.attname)
                    WHEN p.kind = 'object' THEN format('r.body -> %L', a.attname)
                    ELSE format('(r.body ->> %L)::%s', a.attname, format_type(a.atttypid, NULL)) END,
               ', ' ORDER BY a.attnum)
    INTO signature, live, logged
    FROM pg_attribute a
    LEFT JOIN cim.feature_property p ON p.type = type_name AND p.name = a.attname
    WHERE a.attrelid = format('city.%I', type_name)::regclass AND a.attnum > 0 AND NOT a.attisdropped;

    EXECUTE format('DROP FUNCTION IF EXISTS city.%I(bigint, jsonb)', type_name || '_in');
    EXECUTE format('DROP FUNCTION IF EXISTS city.%I(jsonb)', type_name || '_in');
    EXECUTE format('DROP FUNCTION IF EXISTS city.%I(bigint)', type_name || '_at');
    EXECUTE format('DROP FUNCTION IF EXISTS city.%I(bigint)', type_name || '_logged');
    EXECUTE format('DROP FUNCTION IF EXISTS city.%I()', type_name || '_now');

    EXECUTE format($function$
        CREATE FUNCTION city.%1$I(bigint) RETURNS TABLE (%2$s)
        LANGUAGE sql STABLE ROWS 100000 AS $body$
            SELECT %4$s FROM cim.revision r
            CROSS JOIN LATERAL (
                SELECT WHERE (r.xid < (SELECT cim.leaf_floor($1)) OR EXISTS
                        (SELECT FROM cim.leaf l WHERE l.revision_id = r.id AND l.idx < $1 OFFSET 0))
                    AND NOT EXISTS
                        (SELECT FROM cim.replaced s WHERE s.revision_id = r.id AND s.leaf < $1 OFFSET 0)
                OFFSET 0) standing
            WHERE r.type = %3$L AND r.body IS NOT NULL
        $body$
        $function$, type_name || '_logged', signature, type_name, logged);
    EXECUTE format('COMMENT ON FUNCTION city.%I(bigint) IS %L', type_name || '_logged',
        format('Objects of type %s at tree size n, as the log has them', type_name));

    EXECUTE format($function$
        CREATE FUNCTION city.%1$I() RETURNS SETOF city.%3$I
        LANGUAGE sql STABLE ROWS 100000 AS $body$
            SELECT %2$s FROM city.%3$I t
        $body$
        $function$, type_name || '_now', live, type_name);
    EXECUTE format('COMMENT ON FUNCTION city.%I() IS %L', type_name || '_now',
        format('Objects of type %s as the live table has them', type_name));

    EXECUTE format($function$
        CREATE FUNCTION city.%1$I(bigint) RETURNS TABLE (%2$s)
        LANGUAGE sql STABLE ROWS 100000 AS $body$
            SELECT %3$s FROM city.%4$I t WHERE $1 IS NULL
            UNION ALL
            SELECT * FROM city.%5$I($1) WHERE $1 IS NOT NULL
        $body$
        $function$, type_name || '_at', signature, live, type_name, type_name || '_logged');
    EXECUTE format('COMMENT ON FUNCTION city.%I(bigint) IS %L', type_name || '_at',
        format('Objects of type %s at tree size n; the live table where n is null', type_name));

    -- Over the live table rows keep their type, or no index that has a condition on the geometry would serve.
    -- MATERIALIZED: the planner would make the branch's rows anew for each row that it joins them to.
    FOR reading IN SELECT * FROM (VALUES
        ('jsonb', '$1', '_now', '', format('SETOF city.%I', type_name)),
        ('bigint, jsonb', '$2', '_at', '$1', format('TABLE (%s)', signature))
    ) AS r(parameters, branch, source, size, rows) LOOP
        EXECUTE format($function$
            CREATE FUNCTION city.%1$I(%2$s) RETURNS %3$s
            LANGUAGE sql STABLE ROWS 100000 AS $body$
                SELECT %4$s FROM city.%5$I(%6$s) t WHERE NOT coalesce(%7$s -> %8$L ? t.code, false)
                UNION ALL
                SELECT t.* FROM (
                    WITH changed AS MATERIALIZED (
                        SELECT %4$s
                        FROM jsonb_each(%7$s -> %8$L) e
                        LEFT JOIN city.%5$I(%6$s) o ON o.code COLLATE "C" = e.key AND NOT e.value ? 'rev'
                        CROSS JOIN LATERAL jsonb_populate_record(ROW(o.*)::city.%8$I, e.value) t
                        WHERE e.value <> 'null'
                    )
                    SELECT * FROM changed) t
            $body$
            $function$, type_name || '_in', reading.parameters, reading.rows, live, type_name || reading.source,
            reading.size, reading.branch, type_name);
        EXECUTE format('COMMENT ON FUNCTION city.%I(%s) IS %L', type_name || '_in', reading.parameters,
            format('Objects of type %s as read through a branch, at tree size n or as the live table has them', type_name));
    END LOOP;
END;
$attach$;
