-- Supersession: the revision that ends an object because its code gave way to others, and says which.
ALTER TABLE cim.revision
    ADD COLUMN superseded jsonb,
    DROP CONSTRAINT revision_op_check,
    ADD CONSTRAINT revision_op_check CHECK (op IN ('insert', 'update', 'delete', 'erase', 'supersede')),
    -- Half of what an entry may hold; the constraint revision_fits_entry sees to the other half.
    ADD CONSTRAINT revision_superseded_check CHECK (
        (op = 'supersede') = (superseded IS NOT NULL)
        AND (superseded IS NULL OR octet_length(superseded::text) < 32768 AND jsonb_array_length(superseded -> 'new') > 0));
COMMENT ON COLUMN cim.revision.superseded IS 'Codes that took over, as "new"; "date" and "evidence" where known';
CREATE INDEX revision_superseded ON cim.revision (type, code) WHERE op = 'supersede';
CREATE INDEX revision_successor ON cim.revision USING gin ((superseded -> 'new')) WHERE op = 'supersede';

-- The crosswalk is captured like a feature table: type `identifier`, code "scheme value code".
ALTER TABLE cim.identifier
    ADD COLUMN rev bigint,
    ADD CONSTRAINT identifier_key_check CHECK (scheme !~ '\s' AND code !~ '\s' AND btrim(value) <> '' AND scheme <> ''),
    ADD CONSTRAINT identifier_valid_check CHECK (valid_to >= valid_from);
INSERT INTO cim.revision (xid, type, code, rev, op, at, actor, reason, body)
SELECT pg_current_xact_id(), 'identifier', concat_ws(' ', scheme, value, code), 1, 'insert', clock_timestamp(),
       session_user, 'recorded before identifiers were logged',
       jsonb_strip_nulls(jsonb_build_object('scheme', scheme, 'value', value, 'type', type, 'code', code,
                                            'valid_from', valid_from, 'valid_to', valid_to, 'issuer', issuer))
FROM cim.identifier;
UPDATE cim.identifier SET rev = 1;
CREATE INDEX identifier_value ON cim.identifier (value);
ALTER TABLE cim.identifier ALTER COLUMN rev SET NOT NULL;
COMMENT ON COLUMN cim.identifier.rev IS 'Number of the revision; set by the database';
