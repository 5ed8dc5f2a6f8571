-- Records as they came, by their digests, and the revision at which each left its object: where an object still has that
-- revision, the record would change nothing, and need not be looked at again. Nothing but time depends on what is here:
-- it is empty after a crash, and may be deleted whenever one likes.
CREATE UNLOGGED TABLE cim.familiar_layer (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type text COLLATE "C" NOT NULL,
    lineage text NOT NULL,
    basis text NOT NULL,
    used timestamptz NOT NULL,
    UNIQUE (type, lineage, basis)
);
COMMENT ON TABLE cim.familiar_layer IS 'Layers some of whose records are familiar, by all that decides about them';
COMMENT ON COLUMN cim.familiar_layer.basis IS 'Digest of all that decides, with a record, what becomes of it';

CREATE UNLOGGED TABLE cim.familiar (
    layer integer NOT NULL,
    record uuid NOT NULL,
    code text COLLATE "C" NOT NULL,
    rev bigint NOT NULL,
    traits integer NOT NULL
);
CREATE INDEX familiar_layer_records ON cim.familiar (layer);
COMMENT ON TABLE cim.familiar IS 'Records that would change nothing where their object still has this revision';
COMMENT ON COLUMN cim.familiar.layer IS 'Row of familiar_layer; no foreign key, which would look up each row of a load';
COMMENT ON COLUMN cim.familiar.record IS 'First 16 bytes of the SHA-256 of the record';
COMMENT ON COLUMN cim.familiar.traits IS 'What reports count of it; see ingest/familiar.py';
REVOKE ALL ON cim.familiar FROM PUBLIC;
