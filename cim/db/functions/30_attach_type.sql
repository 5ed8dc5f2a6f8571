-- Give the table city.<type> its capture triggers, its as-of function, and the function the audit reads it by,
-- all from cim.feature_property.
--
-- The capture functions name each column: casting a whole row with its geometry to json looks up the CRS per row.
-- They print doubles with all their digits, whatever the session says. Their plans are made once a session, maybe for
-- one row, and must serve a hundred thousand: no nested loops.
-- One function per operation, because a transition table cannot be chosen at run time.
CREATE OR REPLACE FUNCTION cim.attach_type(type_name text) RETURNS void
LANGUAGE plpgsql AS $attach$
DECLARE
    spelt text;       -- public columns of the row n, as the text of a jsonb
    body text;        -- the same as jsonb
    members CONSTANT text := 'nullif(concat_ws('', '', %s), '''')';
    nested text;      -- a public column of jsonb
    personal text;    -- (field, value) rows of the private columns of n
    geom text;        -- geometry of the row n
    operation record;
BEGIN
    -- Text concatenation that passes over nulls, parsed once: a third of the time of to_jsonb on a wide, sparse row.
    -- concat_ws takes at most 100 arguments, so it goes in chunks. Spaces and the order of keys, by length first, are
    -- those in which jsonb is printed: text that is the same spares the audit the parsing.
    SELECT format('(''{'' || concat_ws('', '', %s) || ''}'')', string_agg(chunk, ', ' ORDER BY number)),
           format('(''{'' || concat_ws('', '', %s) || ''}'')::jsonb', string_agg(plain, ', ' ORDER BY number))
    INTO spelt, body
    FROM (
        SELECT number / 90 AS number,
               format(members, string_agg(member, ', ' ORDER BY number)) AS chunk,
               format(members, coalesce(
                   string_agg(member, ', ' ORDER BY number) FILTER (WHERE kind <> 'object'), 'NULL')) AS plain
        FROM (SELECT kind, row_number() OVER (ORDER BY octet_length(name), name COLLATE "C") AS number,
                     format('%L || ', to_json(name)::text || ': ')
                     || CASE kind WHEN 'string' THEN format('to_json(n.%I)::text', name)
                                  WHEN 'date' THEN format('to_json(n.%I)::text', name)
                                  WHEN 'datetime' THEN format('to_json(cim.rfc3339(n.%I))::text', name)
                                  ELSE format('n.%I::text', name) END AS member
              FROM cim.feature_property WHERE type = type_name AND NOT private) p
        GROUP BY number / 90
    ) AS chunks;
    -- What is jsonb already goes in as it is: to print and parse it takes as long as all the rest.
    FOR nested IN SELECT name FROM cim.feature_property
                  WHERE type = type_name AND NOT private AND kind = 'object' ORDER BY position LOOP
        body := format('jsonb_set_lax(%s, %L, n.%I, true, ''return_target'')', body, ARRAY[nested], nested);
    END LOOP;
    SELECT string_agg(format('(%L, to_jsonb(n.%I))', name, name), ', ' ORDER BY position)
    INTO personal FROM cim.feature_property p WHERE p.type = type_name AND private;
    SELECT CASE WHEN t.geometry IS NULL THEN 'NULL' ELSE 'n.geom' END
    INTO geom FROM cim.feature_type t WHERE t.name = type_name;

    FOR operation IN
        SELECT * FROM (VALUES
            ('insert', 'NEW', 'n.rev', '''insert'', NULL::text[], NULL::jsonb', 'changed n', body, geom),
            ('update', 'NEW', 'n.rev', 'CASE WHEN erasing IS NULL THEN ''update'' ELSE ''erase'' END, erasing, NULL::jsonb',
             'changed n', body, geom),
            ('delete', 'OLD', 'n.rev + 1',
             'CASE WHEN s.key IS NULL THEN ''delete'' ELSE ''supersede'' END, NULL::text[], jsonb_strip_nulls(s.value)',
             'changed n LEFT JOIN jsonb_each(superseding) s ON s.key = n.code', 'NULL', 'NULL')
        ) AS o(op, side, rev, recorded, source, body, geom)
    LOOP
        EXECUTE format($function$
            CREATE OR REPLACE FUNCTION city.%1$I() RETURNS trigger
            LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = pg_catalog, public SET extra_float_digits = 1 SET enable_nestloop = off AS $body$
            #variable_conflict use_variable
            DECLARE  -- once, not for each row
                instant timestamptz := clock_timestamp();
                who text := coalesce(nullif(current_setting('cim.actor', true), ''), session_user);
                why text := nullif(current_setting('cim.reason', true), '');
                source text := nullif(current_setting('cim.dataset', true), '');
                erasing text[] := nullif(current_setting('cim.erasing', true), '');  -- see cim.erase
                superseding jsonb := nullif(current_setting('cim.superseding', true), '');  -- see cim.supersede
            BEGIN
                %6$s
                INSERT INTO cim.revision (xid, type, code, rev, op, erased, superseded, at, actor, reason, dataset, body, geom)
                SELECT pg_current_xact_id(), %2$L, n.code, %4$s, %3$s, instant,
                       who, why, source, %5$s, %8$s
                FROM %9$s
                %7$s
                RETURN NULL;
            END;
            $body$
            $function$,
            'capture_' || operation.op || '_' || type_name, type_name, operation.recorded,
            operation.rev, operation.body,
            CASE WHEN personal IS NULL OR operation.op = 'delete' THEN '' ELSE 'WITH recorded AS (' END,
            CASE WHEN personal IS NULL OR operation.op = 'delete' THEN ';'
                 ELSE format('RETURNING id, code)
                    INSERT INTO cim.private_value (revision_id, field, salt, value)
                    SELECT recorded.id, p.field, public.gen_random_bytes(32), p.value
                    FROM recorded JOIN changed n USING (code)
                    CROSS JOIN LATERAL (VALUES %s) AS p(field, value)
                    WHERE p.value IS NOT NULL;', personal) END,
            operation.geom, operation.source);
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER capture_%1$s AFTER %1$s ON city.%2$I
             REFERENCING %3$s TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION city.%4$I()',
            operation.op, type_name, operation.side, 'capture_' || operation.op || '_' || type_name);
        EXECUTE format('ALTER TABLE city.%I ENABLE ALWAYS TRIGGER %I', type_name, 'capture_' || operation.op);
    END LOOP;

    -- A bulk writer that knows a code to be new says so with rev 1 and spares the look-up, a quarter of the cost of an
    -- insert. If it errs, the unique index on (type, code, rev) refuses the row; any other number is overwritten.
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER number_insert BEFORE INSERT ON city.%I
         FOR EACH ROW WHEN (NEW.rev IS DISTINCT FROM 1) EXECUTE FUNCTION cim.number_revision()', type_name);
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER number_revision BEFORE UPDATE ON city.%I
         FOR EACH ROW EXECUTE FUNCTION cim.number_revision()', type_name);
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER keep BEFORE TRUNCATE ON city.%I
         FOR EACH STATEMENT EXECUTE FUNCTION cim.refuse(''delete rows instead, so that each is recorded'')', type_name);
    EXECUTE format(
        'ALTER TABLE city.%I ENABLE ALWAYS TRIGGER number_insert, ENABLE ALWAYS TRIGGER number_revision,
         ENABLE ALWAYS TRIGGER keep', type_name);
    PERFORM cim.attach_as_of(type_name);
    PERFORM cim.attach_hierarchy(type_name);
    PERFORM cim.attach_parcel_indicator(type_name);

    -- The live rows in the form in which they are captured, the body as text. Without a SET of its own, so that the
    -- planner inlines it.
    EXECUTE format('DROP FUNCTION IF EXISTS city.%I()', type_name || '_live');
    EXECUTE format($function$
        CREATE FUNCTION city.%I() RETURNS TABLE (code text, rev bigint, body text, personal jsonb, geom geometry)
        LANGUAGE sql STABLE AS $body$
            SELECT n.code, n.rev, %s, %s, %s FROM city.%I n
        $body$
        $function$,
        type_name || '_live', spelt,
        coalesce((SELECT 'nullif(jsonb_strip_nulls(jsonb_build_object('
                  || string_agg(format('%L, n.%I', name, name), ', ') || ')), ''{}'')'
                  FROM cim.feature_property p WHERE p.type = type_name AND private), 'NULL::jsonb'),
        geom || '::geometry', type_name);
END;
$attach$;
