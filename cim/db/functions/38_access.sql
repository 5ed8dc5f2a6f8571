-- What the API's connections may read. Three roles, which nobody logs in as:
--   cim_public     public columns of the collections that are open to everyone
--   cim_staff      public columns of all collections
--   cim_district   the same, but only rows in the divisions that the setting cim.divisions lists
-- None may read private columns, salts, rejects, keys, or write anything.

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cim.private_read
    FOR EACH STATEMENT EXECUTE FUNCTION cim.refuse('who read personal data stays recorded');
ALTER TABLE cim.private_read ENABLE ALWAYS TRIGGER append_only;

-- Roles belong to the server, not to the database: another one of it may have made them, or be making them just now.
CREATE OR REPLACE FUNCTION cim.make_roles() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['cim_public', 'cim_staff', 'cim_district'] LOOP
        IF to_regrole(role) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        -- From PostgreSQL 16 on, who makes a role administers it and may yet not become it.
        IF NOT pg_has_role(role, CASE WHEN current_setting('server_version_num')::int >= 160000
                                      THEN 'SET' ELSE 'MEMBER' END) THEN
            EXECUTE format('GRANT %I TO %I', role, session_user);
        END IF;
    END LOOP;
END;
$$;

-- The divisions a caller is limited to, with all below them. Asked with the owner's rights, since it decides on rights.
CREATE OR REPLACE FUNCTION cim.own_divisions() RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN QUERY WITH RECURSIVE own (code) AS (
        SELECT unnest(string_to_array(current_setting('cim.divisions', true), ',')) COLLATE "C"
        UNION
        SELECT d.code::text COLLATE "C" FROM city.division d JOIN own ON d.parent_code = own.code
    ) SELECT own.code FROM own;
END;
$$;

-- The condition by which a row of a type lies in a caller's divisions: by the division it names, by what contains it,
-- or else by its place. A subquery without reference to the row is asked once, not for each row.
CREATE OR REPLACE FUNCTION cim.district_condition(type_name text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found text;
BEGIN
    IF type_name = 'division' THEN
        RETURN 'code IN (SELECT cim.own_divisions())';
    END IF;
    SELECT string_agg(part, ' OR ') INTO found FROM (
        SELECT 'division_code IN (SELECT cim.own_divisions())' AS part
        FROM cim.feature_property p WHERE p.type = type_name AND p.name = 'division_code'
        UNION ALL
        SELECT format('%I IN (SELECT p.code FROM city.%I p)', h.property, h.parent)
        FROM cim.hierarchy h WHERE h.type = type_name AND h.parent <> 'division'
    ) parts;
    IF found IS NULL AND EXISTS (SELECT FROM cim.feature_type t WHERE t.name = type_name AND t.geometry IS NOT NULL) THEN
        -- With the table's name: a bare geom would be the division's own.
        found := format('EXISTS (SELECT FROM city.division d WHERE public.ST_Intersects(d.geom, %I.geom)
                         AND d.code = ANY (string_to_array(current_setting(''cim.divisions'', true), '','')))', type_name);
    END IF;
    RETURN coalesce(found, 'false');
END;
$$;

-- Make a policy unless it is there and the same: making one waits for all who use the table.
CREATE OR REPLACE FUNCTION cim.make_policy(name text, relation regclass, definition text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT obj_description(oid, 'pg_policy') FROM pg_policy WHERE polrelid = relation AND polname = name)
        IS NOT DISTINCT FROM md5(definition) THEN
        RETURN;
    END IF;
    EXECUTE format('DROP POLICY IF EXISTS %I ON %s', name, relation);
    IF definition <> '' THEN
        EXECUTE format('CREATE POLICY %I ON %s %s', name, relation, definition);
        EXECUTE format('COMMENT ON POLICY %I ON %s IS %L', name, relation, md5(definition));
    END IF;
END;
$$;

-- A condition for one role alone: for everybody else table rights decide, as if there were no policies.
CREATE OR REPLACE FUNCTION cim.restrict(relation regclass, role text, condition text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = relation) THEN
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
    END IF;
    PERFORM cim.make_policy('everyone', relation, 'USING (true) WITH CHECK (true)');
    PERFORM cim.make_policy(role, relation,
        CASE WHEN condition = '' THEN '' ELSE format('AS RESTRICTIVE TO %I USING (%s)', role, condition) END);
END;
$$;

-- Bring the rights of the API's roles up to the dictionary and to what is public.
--
-- A table gets its policies at the first time only; then whoever loads it for long is not waited for, which would make
-- everybody else wait as well.
CREATE OR REPLACE FUNCTION cim.publish(public_types text[], embedded boolean) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '10s' AS $$
DECLARE
    kind record;
    dangerous record;
    closed text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('cim.publish'));
    PERFORM cim.make_roles();
    GRANT USAGE ON SCHEMA cim, city TO cim_public, cim_staff, cim_district;
    GRANT SELECT ON cim.tree_state, cim.tree_head, cim.revision, cim.replaced TO cim_public, cim_staff, cim_district;
    GRANT SELECT (idx, revision_id, prev, hash) ON cim.leaf TO cim_public, cim_district;
    GRANT SELECT ON cim.leaf TO cim_staff;

    FOR kind IN
        SELECT t.name, t.name = ANY (public_types) AS public, string_agg(quote_ident(a.attname), ', ') AS columns
        FROM cim.feature_type t
        JOIN pg_attribute a ON a.attrelid = format('city.%I', t.name)::regclass AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN cim.feature_property p ON p.type = t.name AND p.name = a.attname
        WHERE p.private IS NOT TRUE
        GROUP BY t.name ORDER BY t.name
    LOOP
        EXECUTE format('REVOKE ALL ON city.%I FROM cim_public, cim_staff, cim_district', kind.name);
        EXECUTE format('GRANT SELECT (%s) ON city.%I TO cim_staff, cim_district', kind.columns, kind.name);
        IF kind.public THEN
            EXECUTE format('GRANT SELECT (%s) ON city.%I TO cim_public', kind.columns, kind.name);
        END IF;
        PERFORM cim.restrict(format('city.%I', kind.name), 'cim_district', cim.district_condition(kind.name));
    END LOOP;

    -- Past states obey today's rights: a revision shows where its object shows, and identifiers are of no collection.
    SELECT string_agg(format('WHEN %L THEN code IN (SELECT t.code FROM city.%I t)', name, name), ' ' ORDER BY name)
    INTO closed FROM cim.feature_type;
    PERFORM cim.restrict('cim.revision', 'cim_district', format('CASE type %s ELSE false END', closed));
    PERFORM cim.restrict('cim.revision', 'cim_public', CASE
        WHEN EXISTS (SELECT FROM cim.feature_type WHERE name <> ALL (public_types))
        THEN format('type = ANY (%L::text[])', public_types) ELSE '' END);

    -- What is added up by parcel shows to those only who may see all of what it adds up; others add up what they see.
    GRANT SELECT ON cim.parcel_indicator, cim.parcel_touched TO cim_public, cim_staff, cim_district;
    PERFORM cim.restrict(kept.name, 'cim_district', 'false'), cim.restrict(kept.name, 'cim_public',
        CASE WHEN ARRAY['building', 'parcel'] <@ public_types THEN '' ELSE 'false' END)
    FROM (VALUES ('cim.parcel_indicator'::regclass), ('cim.parcel_touched')) AS kept(name);

    -- Functions that run SQL from text, sleep, or read and write large objects. Only a superuser can take them away.
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOR dangerous IN
            SELECT p.oid::regprocedure AS signature FROM pg_proc p
            JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname IN ('pg_catalog', 'public') AND has_function_privilege('cim_public', p.oid, 'EXECUTE')
              AND (p.proname ~ '^(pg_sleep|query_to_xml|table_to_xml|schema_to_xml|database_to_xml|cursor_to_xml|dblink|lo_)'
                   OR p.proname IN ('loread', 'lowrite', 'ts_stat', 'pg_cancel_backend', 'pg_terminate_backend',
                                    'pg_logical_emit_message')
                   -- By it a session takes back the role it gave up, or forges its divisions. On a server of others
                   -- their programs need it: pg_dump calls it first of all.
                   OR embedded AND p.proname = 'set_config')
        LOOP
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', dangerous.signature);
        END LOOP;
    END IF;
END;
$$;
