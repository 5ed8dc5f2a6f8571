-- Objects without geometry meet every box. The spatial index finds them only by looking at all of itself.
DO $$
DECLARE
    type_name text;
BEGIN
    FOR type_name IN
        SELECT t.name FROM cim.feature_type t
        JOIN pg_attribute a ON a.attrelid = to_regclass(format('city.%I', t.name)) AND a.attname = 'geom'
        WHERE NOT a.attnotnull
    LOOP
        EXECUTE format(
            'CREATE INDEX IF NOT EXISTS %I ON city.%I (code) WHERE geom IS NULL', type_name || '_without_geom', type_name
        );
    END LOOP;
END;
$$;
