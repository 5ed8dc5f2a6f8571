-- Erase private fields of an object: their salts and values in all its revisions, and in its live row. The erasure is
-- itself a revision; the object may have been deleted before. Answers how many values were erased.
--
-- The live row comes first: its lock waits for a writer who is just recording another value.
CREATE OR REPLACE FUNCTION cim.erase(type_name text, object text, fields text[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    touched bigint;
BEGIN
    PERFORM set_config('cim.erasing', fields::text, true);
    EXECUTE format('UPDATE city.%I SET %s WHERE code = $1', type_name,
                   (SELECT string_agg(format('%I = NULL', field), ', ') FROM unnest(fields) AS field)) USING object;
    GET DIAGNOSTICS touched = ROW_COUNT;
    PERFORM set_config('cim.erasing', '', true);
    IF touched = 0 THEN
        INSERT INTO cim.revision (xid, type, code, rev, op, erased, at, actor, reason)
        SELECT pg_current_xact_id(), type_name, object, max(r.rev) + 1, 'erase', fields, clock_timestamp(),
               coalesce(nullif(current_setting('cim.actor', true), ''), session_user),
               nullif(current_setting('cim.reason', true), '')
        FROM cim.revision r WHERE r.type = type_name AND r.code = object;
    END IF;
    DELETE FROM cim.private_value p USING cim.revision r
    WHERE r.type = type_name AND r.code = object AND p.revision_id = r.id AND p.field = ANY (fields);
    GET DIAGNOSTICS touched = ROW_COUNT;
    -- A digest could be tried with guesses of what was erased.
    DELETE FROM cim.familiar f USING cim.familiar_layer l
    WHERE l.id = f.layer AND l.type = type_name AND f.code = object;
    RETURN touched;
END;
$$;
