-- What has been recorded stays recorded.
CREATE OR REPLACE FUNCTION cim.refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %.% is refused: %', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cim.revision
    FOR EACH STATEMENT EXECUTE FUNCTION cim.refuse('revisions are append-only');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cim.leaf
    FOR EACH STATEMENT EXECUTE FUNCTION cim.refuse('leaves are append-only');
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cim.replaced
    FOR EACH STATEMENT EXECUTE FUNCTION cim.refuse('what was replaced stays so');
ALTER TABLE cim.revision ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE cim.leaf ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE cim.replaced ENABLE ALWAYS TRIGGER append_only;

-- Number the revision of each row. Row by row, because a row must know its number before it is written.
-- The look-up's plan is made once a session, often when the table is tiny: it must not be a scan when it is large.
CREATE OR REPLACE FUNCTION cim.number_revision() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    successors text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.code <> OLD.code THEN
            RAISE EXCEPTION 'code of % % cannot become %: a code is never changed in place; supersede it',
                TG_TABLE_NAME, OLD.code, NEW.code USING ERRCODE = 'restrict_violation';
        END IF;
        NEW.rev := OLD.rev;
        IF OLD *= NEW AND coalesce(current_setting('cim.erasing', true), '') = '' THEN
            RETURN NULL;  -- nothing changed, nothing to record; but an erasure is recorded where no value is left, too
        END IF;
        NEW.rev := OLD.rev + 1;
        RETURN NEW;
    END IF;
    -- An object that was deleted goes on counting. A race with its deletion ends at the unique index.
    -- TG_TABLE_NAME is of type name and collation "C": without the cast, or on a column of another collation, no
    -- index serves it.
    SELECT coalesce(max(r.rev), 0) + 1 INTO NEW.rev
    FROM cim.revision r WHERE r.type = TG_TABLE_NAME::text AND r.code = NEW.code;
    IF NEW.rev > 1 THEN
        SELECT r.superseded ->> 'new' INTO successors FROM cim.revision r
        WHERE r.type = TG_TABLE_NAME::text AND r.code = NEW.code AND r.op = 'supersede';
        IF successors IS NOT NULL THEN
            RAISE EXCEPTION '% % was superseded by %; a code is never used again, use what took over',
                TG_TABLE_NAME, NEW.code, successors USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END;
$$;
