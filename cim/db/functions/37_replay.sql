-- Make room for a log that is replayed: the database must be new. The dictionary's own revision, which making it
-- recorded, goes; the log brings its own.
CREATE OR REPLACE FUNCTION cim.begin_replay() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE cim.revision IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM cim.leaf) OR EXISTS (SELECT FROM cim.revision WHERE type <> 'schema') THEN
        RAISE EXCEPTION 'the database holds revisions already' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    ALTER TABLE cim.revision DISABLE TRIGGER append_only;
    DELETE FROM cim.revision;
    ALTER TABLE cim.revision ENABLE ALWAYS TRIGGER append_only;
END;
$$;

-- Fill the table of a type with its state at a tree size, without recording that. A geometry that is required, but
-- that nobody has any more, becomes the empty one. Answers the number of objects.
CREATE OR REPLACE FUNCTION cim.replay_type(type_name text, size bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    target regclass := format('city.%I', type_name);
    watching text[] := ARRAY(SELECT tgname FROM pg_trigger WHERE tgrelid = target AND NOT tgisinternal);
    watcher text;
    columns text;
    written bigint;
BEGIN
    SELECT string_agg(
        CASE WHEN a.attname = 'geom' AND a.attnotnull
             THEN format('coalesce(geom, ST_SetSRID(%L::geometry, %s))',
                         postgis_typmod_type(a.atttypmod) || ' EMPTY', postgis_typmod_srid(a.atttypmod))
             ELSE quote_ident(a.attname) END, ', ' ORDER BY a.attnum)
    INTO columns FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped;
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', target);
    EXECUTE format('INSERT INTO %s SELECT %s FROM city.%I($1)', target, columns, type_name || '_at') USING size;
    GET DIAGNOSTICS written = ROW_COUNT;
    FOREACH watcher IN ARRAY watching LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', target, watcher);
    END LOOP;
    RETURN written;
END;
$$;

-- Fill the crosswalk with what its revisions say, without recording that. Answers the number of identifiers.
CREATE OR REPLACE FUNCTION cim.replay_identifiers() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    ALTER TABLE cim.identifier DISABLE TRIGGER USER;
    INSERT INTO cim.identifier
    SELECT (jsonb_populate_record(NULL::cim.identifier, l.body || jsonb_build_object('rev', l.rev))).*
    FROM (SELECT DISTINCT ON (r.code) r.rev, r.body FROM cim.revision r
          WHERE r.type = 'identifier' ORDER BY r.code, r.rev DESC) l
    WHERE l.body IS NOT NULL;
    GET DIAGNOSTICS written = ROW_COUNT;
    ALTER TABLE cim.identifier
        ENABLE ALWAYS TRIGGER number_revision, ENABLE ALWAYS TRIGGER capture_insert,
        ENABLE ALWAYS TRIGGER capture_update, ENABLE ALWAYS TRIGGER capture_delete, ENABLE ALWAYS TRIGGER keep;
    RETURN written;
END;
$$;
