-- The crosswalk `cim.identifier` is recorded as the feature tables are, under the type `identifier`.

-- The body of an identifier's revision. Its code is "scheme value code": neither scheme nor code holds a space.
CREATE OR REPLACE FUNCTION cim.identifier_body(i cim.identifier) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'scheme', i.scheme, 'value', i.value, 'type', i.type, 'code', i.code,
        'valid_from', i.valid_from, 'valid_to', i.valid_to, 'issuer', i.issuer));
$$;

CREATE OR REPLACE FUNCTION cim.number_identifier() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT coalesce(max(r.rev), 0) + 1 INTO NEW.rev FROM cim.revision r
        WHERE r.type = 'identifier' AND r.code = concat_ws(' ', NEW.scheme, NEW.value, NEW.code);
        RETURN NEW;
    END IF;
    IF (NEW.scheme, NEW.value, NEW.code) <> (OLD.scheme, OLD.value, OLD.code) THEN
        RAISE EXCEPTION 'identifier % % of % cannot become another: end its validity and add the other one',
            OLD.scheme, OLD.value, OLD.code USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.rev := OLD.rev;
    IF OLD *= NEW THEN
        RETURN NULL;  -- nothing changed, nothing to record
    END IF;
    NEW.rev := OLD.rev + 1;
    RETURN NEW;
END;
$$;

-- One function for the three operations: each trigger names its transition table `changed`.
CREATE OR REPLACE FUNCTION cim.capture_identifier() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO cim.revision (xid, type, code, rev, op, at, actor, reason, dataset, body)
    SELECT pg_current_xact_id(), 'identifier', concat_ws(' ', n.scheme, n.value, n.code),
           CASE WHEN TG_OP = 'DELETE' THEN n.rev + 1 ELSE n.rev END, lower(TG_OP), clock_timestamp(),
           coalesce(nullif(current_setting('cim.actor', true), ''), session_user),
           nullif(current_setting('cim.reason', true), ''), nullif(current_setting('cim.dataset', true), ''),
           CASE WHEN TG_OP <> 'DELETE' THEN cim.identifier_body(n) END
    FROM changed n;
    RETURN NULL;
END;
$$;

CREATE OR REPLACE TRIGGER number_revision BEFORE INSERT OR UPDATE ON cim.identifier
    FOR EACH ROW EXECUTE FUNCTION cim.number_identifier();
CREATE OR REPLACE TRIGGER capture_insert AFTER INSERT ON cim.identifier
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cim.capture_identifier();
CREATE OR REPLACE TRIGGER capture_update AFTER UPDATE ON cim.identifier
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cim.capture_identifier();
CREATE OR REPLACE TRIGGER capture_delete AFTER DELETE ON cim.identifier
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cim.capture_identifier();
CREATE OR REPLACE TRIGGER keep BEFORE TRUNCATE ON cim.identifier
    FOR EACH STATEMENT EXECUTE FUNCTION cim.refuse('delete rows instead, so that each is recorded');
ALTER TABLE cim.identifier
    ENABLE ALWAYS TRIGGER number_revision, ENABLE ALWAYS TRIGGER capture_insert,
    ENABLE ALWAYS TRIGGER capture_update, ENABLE ALWAYS TRIGGER capture_delete, ENABLE ALWAYS TRIGGER keep;

-- What the log had at tree size n.
CREATE OR REPLACE FUNCTION cim.revisions_at(bigint) RETURNS SETOF cim.revision
LANGUAGE sql STABLE AS $$
    SELECT r.* FROM cim.revision r
    WHERE EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id AND l.idx < $1 OFFSET 0);
$$;

-- The crosswalk as the log had it at tree size n; `key` is the code of a row's revisions.
CREATE OR REPLACE FUNCTION cim.identifiers_at(bigint) RETURNS TABLE (
    key text, scheme text, value text, type text, code text, valid_from date, valid_to date, issuer text)
LANGUAGE sql STABLE AS $$
    SELECT r.code, r.body ->> 'scheme', r.body ->> 'value', r.body ->> 'type', r.body ->> 'code',
           (r.body ->> 'valid_from')::date, (r.body ->> 'valid_to')::date, r.body ->> 'issuer'
    FROM cim.revisions_at($1) r
    WHERE r.type = 'identifier' AND r.body IS NOT NULL
      AND NOT EXISTS (SELECT FROM cim.replaced s WHERE s.revision_id = r.id AND s.leaf < $1 OFFSET 0);
$$;

-- The rows of the crosswalk that an identifier stands in: those that are, and those the log had at tree size n.
CREATE OR REPLACE FUNCTION cim.identifiers_named(scheme text, value text) RETURNS TABLE (type text, code text, valid_to date)
LANGUAGE sql STABLE AS $$
    SELECT i.type, i.code, i.valid_to FROM cim.identifier i WHERE i.scheme = $1 AND i.value = $2;
$$;
CREATE OR REPLACE FUNCTION cim.identifiers_named(scheme text, value text, size bigint)
RETURNS TABLE (type text, code text, valid_to date)
LANGUAGE sql STABLE AS $$
    SELECT i.type, i.code, i.valid_to FROM cim.identifiers_at($3) i
    WHERE i.key COLLATE "C" >= concat_ws(' ', $1, $2, '') COLLATE "C"
      AND i.key COLLATE "C" < concat($1, ' ', $2, '!') COLLATE "C"  -- the character behind the space
      AND i.scheme = $1 AND i.value = $2;
$$;

-- Identifiers that are not what their latest revision says, with what differs.
CREATE OR REPLACE FUNCTION cim.identifier_differences() RETURNS TABLE (code text, rev bigint, problem text)
LANGUAGE sql STABLE AS $$
    WITH latest AS (
        SELECT DISTINCT ON (r.code) r.code, r.rev, r.body
        FROM cim.revision r WHERE r.type = 'identifier' ORDER BY r.code, r.rev DESC
    ), recorded AS (
        SELECT * FROM latest WHERE body IS NOT NULL
    ), live AS (
        SELECT concat_ws(' ', i.scheme, i.value, i.code) AS code, i.rev, cim.identifier_body(i) AS body
        FROM cim.identifier i
    )
    SELECT coalesce(live.code, recorded.code), coalesce(recorded.rev, live.rev),
           CASE WHEN live.code IS NULL THEN 'the row is gone, but no deletion was recorded'
                WHEN recorded.code IS NULL THEN 'the row was never recorded, or was recorded as deleted'
                WHEN live.rev <> recorded.rev THEN 'the row carries another revision number'
                ELSE 'the row''s attributes differ from its revision' END
    FROM live FULL JOIN recorded USING (code)
    WHERE live.code IS NULL OR recorded.code IS NULL OR live.rev <> recorded.rev OR live.body <> recorded.body
    ORDER BY 1;
$$;
