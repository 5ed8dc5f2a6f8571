-- The objects that an object's code gave way to.
--
-- `links` is an object: old code -> {"new": [codes], "date": …, "evidence": …}. One new code is a rename, or a merger
-- where several old codes name it; several are a split. What a rename names and is not there yet becomes a copy of
-- the old object; otherwise the new objects must be there. What refers to the old object refers to the new one
-- afterwards; where there are several, somebody must have said before which. Other identifiers of the old object end
-- with the date and, where there is one new object, go on with it.
--
-- Answers the number of codes superseded. All errors are meant to be read by people.
CREATE OR REPLACE FUNCTION cim.supersede(type_name text, links jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    target regclass := format('city.%I', type_name);
    columns text;
    found text;
    reference record;
    written bigint;
BEGIN
    -- text[] from jsonb once: everything below joins to it.
    CREATE TEMPORARY TABLE link ON COMMIT DROP AS
        SELECT l.key COLLATE "C" AS old, n.code COLLATE "C" AS new,
               jsonb_array_length(l.value -> 'new') AS successors, (l.value ->> 'date')::date AS date
        FROM jsonb_each(links) l CROSS JOIN LATERAL jsonb_array_elements_text(l.value -> 'new') n(code);
    CREATE INDEX ON link (old);
    CREATE INDEX ON link (new);
    ANALYZE link;

    SELECT string_agg(DISTINCT l.new, ', ') INTO found FROM link l JOIN link o ON o.old = l.new;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION '% cannot take over and be superseded at once', found USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT string_agg(s.code || ' (by ' || (s.superseded ->> 'new') || ')', ', ' ORDER BY s.code) INTO found
    FROM cim.revision s JOIN (SELECT DISTINCT old FROM link) l ON l.old = s.code
    WHERE s.type = type_name AND s.op = 'supersede';
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'superseded already: %', found USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT string_agg(DISTINCT l.old, ', ') INTO found FROM link l
    WHERE NOT EXISTS (SELECT FROM cim.revision r WHERE r.type = type_name AND r.code = l.old);
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'no % was ever recorded under %', type_name, found USING ERRCODE = 'no_data_found';
    END IF;

    -- A rename: the object goes on under its new code.
    SELECT string_agg(quote_ident(a.attname), ', ') INTO columns
    FROM pg_attribute a
    WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND a.attname NOT IN ('code', 'rev');
    EXECUTE format('INSERT INTO %1$s (code, %2$s) SELECT l.new, %2$s FROM %1$s o JOIN link l ON l.old = o.code
                    WHERE l.successors = 1 AND NOT EXISTS (SELECT FROM %1$s n WHERE n.code = l.new)
                      AND (SELECT count(*) FROM link m WHERE m.new = l.new) = 1', target, columns);
    EXECUTE format('SELECT string_agg(DISTINCT l.new, '', '') FROM link l
                    WHERE NOT EXISTS (SELECT FROM %s n WHERE n.code = l.new)', target) INTO found;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'there is no % % to take over; write it first', type_name, found USING ERRCODE = 'no_data_found';
    END IF;

    FOR reference IN
        SELECT t.name AS type, p.key AS name FROM cim.feature_type t, jsonb_each(t.schema -> 'properties') p
        WHERE p.value ->> 'x-cim-references' = type_name ORDER BY 1, 2
    LOOP
        EXECUTE format('UPDATE city.%1$I c SET %2$I = l.new FROM link l
                        WHERE c.%2$I = l.old AND c.%2$I IS NOT NULL AND l.successors = 1', reference.type, reference.name);
        EXECUTE format('SELECT string_agg(code, '', '' ORDER BY code) FROM (
                            SELECT DISTINCT c.code FROM city.%1$I c JOIN link l ON c.%2$I = l.old AND c.%2$I IS NOT NULL
                            WHERE l.successors > 1 AND NOT EXISTS (SELECT FROM link o WHERE o.old = c.code)
                            ORDER BY c.code LIMIT 10) o', reference.type, reference.name) INTO found;
        IF found IS NOT NULL THEN
            RAISE EXCEPTION '% of % still names what is split: %; say first to which part each belongs',
                reference.name, reference.type, found USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;

    PERFORM set_config('cim.superseding', links::text, true);
    EXECUTE format('DELETE FROM %s o WHERE o.code IN (SELECT old FROM link)', target);
    PERFORM set_config('cim.superseding', '', true);
    -- Those that had been deleted before.
    INSERT INTO cim.revision (xid, type, code, rev, op, superseded, at, actor, reason, dataset)
    SELECT pg_current_xact_id(), type_name, l.key, last.rev + 1, 'supersede', jsonb_strip_nulls(l.value), clock_timestamp(),
           coalesce(nullif(current_setting('cim.actor', true), ''), session_user),
           nullif(current_setting('cim.reason', true), ''), nullif(current_setting('cim.dataset', true), '')
    FROM jsonb_each(links) l
    CROSS JOIN LATERAL (SELECT max(r.rev) AS rev FROM cim.revision r
                        WHERE r.type = type_name AND r.code = l.key COLLATE "C") last
    WHERE NOT EXISTS (SELECT FROM cim.revision s
                      WHERE s.type = type_name AND s.code = l.key COLLATE "C" AND s.op = 'supersede');

    INSERT INTO cim.identifier (scheme, value, type, code, valid_from, valid_to, issuer)
    SELECT DISTINCT ON (i.scheme, i.value, l.new)
           i.scheme, i.value, i.type, l.new, greatest(i.valid_from, l.date), i.valid_to, i.issuer
    FROM cim.identifier i JOIN link l ON l.old = i.code
    WHERE i.type = type_name AND l.successors = 1 AND (i.valid_to IS NULL OR i.valid_to > l.date)
    ON CONFLICT (scheme, value, code) DO NOTHING;
    UPDATE cim.identifier i SET valid_to = greatest(i.valid_from, l.date)
    FROM link l WHERE l.old = i.code AND i.type = type_name AND (i.valid_to IS NULL OR i.valid_to > l.date);

    SELECT count(DISTINCT old) INTO written FROM link;
    DROP TABLE link;
    RETURN written;
END;
$$;
