-- Remember which function scripts are in force.
CREATE OR REPLACE FUNCTION cim.comment_functions(digest text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('COMMENT ON SCHEMA cim IS %L',
        'Platform: revisions, the Merkle log, datasets, identifiers; functions ' || digest);
END;
$$;
