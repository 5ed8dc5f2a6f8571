-- Erasures: a revision that says which private fields of its object were erased, in all revisions before it.
ALTER TABLE cim.revision
    ADD COLUMN erased text[],
    DROP CONSTRAINT revision_op_check,
    ADD CONSTRAINT revision_op_check CHECK (op IN ('insert', 'update', 'delete', 'erase')),
    ADD CONSTRAINT revision_erased_check CHECK ((op = 'erase') = ((cardinality(erased) > 0) IS TRUE));
COMMENT ON COLUMN cim.revision.body IS 'Public attributes; null where the object does not exist (any more)';
COMMENT ON COLUMN cim.revision.erased IS 'Private fields whose values this revision erased';
CREATE INDEX revision_erasure ON cim.revision (type, code) WHERE op = 'erase';

-- Whether the entry of a revision can be written: true, or an error that names the object.
--
-- C2SP writes an entry's length in two bytes. A revision that is too long must not be committed, because the log
-- could neither take it nor go past it. The exact length is known only when the entry has its place: 15 digits are
-- kept for that of its predecessor. For the rest this counts what RFC 8785 would write: PostgreSQL's JSON without
-- its spaces, and two quotes more for a number of many digits, which travels as text. It never counts too little.
CREATE FUNCTION cim.fits_entry(
    type text, code text, rev bigint, op text, actor text, reason text, dataset text, body jsonb, srid integer,
    erased text[]
) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    most CONSTANT bigint := 65535;
    entry text := (
        jsonb_build_object('v', 1, 'type', type, 'code', code, 'op', op, 'rev', rev, 'prev', 999999999999999,
                           'at', '2026-11-21T08:00:00.000000Z', 'by', actor)
        || CASE WHEN reason IS NULL THEN '{}' ELSE jsonb_build_object('reason', reason) END
        || CASE WHEN dataset IS NULL THEN '{}' ELSE jsonb_build_object('dataset', dataset) END
        || CASE WHEN erased IS NULL THEN '{}' ELSE jsonb_build_object('erased', erased) END
        || CASE WHEN body IS NULL THEN '{}' ELSE jsonb_build_object('body', body) END
        || CASE WHEN srid IS NULL THEN '{}' ELSE jsonb_build_object('geometry',
                jsonb_build_object('srid', srid, 'sha256', repeat('0', 64))) END
        || coalesce((SELECT jsonb_build_object('private', jsonb_object_agg(p.name, repeat('0', 64)))
                     FROM cim.feature_property p
                     WHERE p.type = fits_entry.type AND p.private AND fits_entry.body IS NOT NULL
                     HAVING count(*) > 0), '{}'))::text;
    structure text;
    bytes bigint := octet_length(entry);
BEGIN
    IF bytes < 3 * most THEN  -- at most every third byte is a space
        structure := regexp_replace(entry, '"(?:[^"\\]|\\.)*"', '""', 'g');
        bytes := bytes - (length(structure) - length(replace(structure, ' ', '')))
            + 2 * regexp_count(structure, '[-+.0-9eE]{16,}');
    END IF;
    IF bytes > most THEN
        RAISE EXCEPTION '% % is too large for the log: its entry would have % bytes, at most % fit; shorten its attributes',
            type, code, bytes, most USING ERRCODE = 'check_violation';
    END IF;
    RETURN true;
END;
$$;

-- Almost every revision is far smaller: what is left of 65,535 bytes serves quotes, names, commitments of private fields.
ALTER TABLE cim.revision ADD CONSTRAINT revision_fits_entry CHECK (
    coalesce(octet_length(body::text), 0)
    + 6 * octet_length(concat(code, actor, reason, dataset)) < 32768 AND erased IS NULL
    OR cim.fits_entry(type, code, rev, op, actor, reason, dataset, body, ST_SRID(geom), erased)
);
