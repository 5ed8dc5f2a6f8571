-- Platform tables: what every deployment has, whatever its dictionary says.
CREATE EXTENSION IF NOT EXISTS postgis;
CREATE EXTENSION IF NOT EXISTS pgcrypto;

CREATE SCHEMA cim;
CREATE SCHEMA city;

COMMENT ON SCHEMA cim IS 'Platform: revisions, the Merkle log, datasets, identifiers';
COMMENT ON SCHEMA city IS 'City objects, one table per feature type; safe to edit, every change is captured';

CREATE TABLE cim.deployment (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    srid integer NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE cim.deployment IS 'What a deployment may not change once it holds data';

CREATE TABLE cim.migration (
    version text PRIMARY KEY,
    sha256 text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE cim.migration IS 'Digest of each applied migration, so that an edited one is noticed';

CREATE TABLE cim.feature_type (
    name text COLLATE "C" PRIMARY KEY,
    code_scheme text NOT NULL,
    geometry text,
    digest text NOT NULL,
    schema jsonb NOT NULL
);
COMMENT ON TABLE cim.feature_type IS 'The data dictionary this database was last brought up to';

CREATE TABLE cim.feature_property (
    type text COLLATE "C" NOT NULL REFERENCES cim.feature_type (name),
    name text NOT NULL,
    position integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('string', 'integer', 'number', 'boolean', 'date', 'datetime', 'object')),
    private boolean NOT NULL,
    PRIMARY KEY (type, name)
);

CREATE TABLE cim.revision (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL,
    type text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    rev bigint NOT NULL CHECK (rev > 0),
    op text NOT NULL CHECK (op IN ('insert', 'update', 'delete')),
    at timestamptz NOT NULL,
    actor text NOT NULL,
    reason text,
    dataset text,
    body jsonb,
    geom geometry
);
COMMENT ON TABLE cim.revision IS 'Every revision of every object, appended by the capture triggers; never changed';
COMMENT ON COLUMN cim.revision.xid IS 'Transaction that made it: the sequencer takes those below the snapshot horizon';
COMMENT ON COLUMN cim.revision.rev IS 'Number of the revision within its object, from 1; goes on after a delete';
CREATE UNIQUE INDEX revision_object ON cim.revision (type, code, rev);
CREATE INDEX revision_xid ON cim.revision (xid);
CREATE INDEX revision_geom ON cim.revision USING gist (geom);

CREATE TABLE cim.private_value (
    revision_id bigint NOT NULL REFERENCES cim.revision (id),
    field text NOT NULL,
    salt bytea NOT NULL CHECK (octet_length(salt) = 32),
    value jsonb NOT NULL,
    PRIMARY KEY (revision_id, field)
);
COMMENT ON TABLE cim.private_value IS 'Personal data behind the commitments in the log; restricted';
REVOKE ALL ON cim.private_value FROM PUBLIC;

CREATE TABLE cim.leaf (
    idx bigint PRIMARY KEY CHECK (idx >= 0),
    revision_id bigint NOT NULL UNIQUE REFERENCES cim.revision (id),
    prev bigint UNIQUE CHECK (prev < idx),
    entry bytea NOT NULL CHECK (octet_length(entry) <= 65535),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE cim.leaf IS 'Leaves of the Merkle tree, in order; entry bytes are the truth and are served as they are';
COMMENT ON COLUMN cim.leaf.prev IS 'Leaf index of the same object''s previous revision';

CREATE TABLE cim.tree_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    size bigint NOT NULL,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    edge bytea NOT NULL,
    xid_floor xid8 NOT NULL
);
COMMENT ON COLUMN cim.tree_state.edge IS 'Compact range: size as 8 bytes, then the roots of the complete subtrees, 32 bytes each, largest first';
COMMENT ON COLUMN cim.tree_state.xid_floor IS 'Every revision of an older transaction has its leaf';
-- SHA-256 of nothing is the root of the empty tree (RFC 6962, 2.1).
INSERT INTO cim.tree_state (size, root, edge, xid_floor) VALUES (0, sha256(''), '\x0000000000000000', '0');

CREATE TABLE cim.tree_head (
    size bigint PRIMARY KEY,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    at timestamptz NOT NULL
);
COMMENT ON TABLE cim.tree_head IS 'Tree size and root after each batch: an instant resolves to the last head not after it';
INSERT INTO cim.tree_head (size, root, at) VALUES (0, sha256(''), now());

CREATE TABLE cim.dataset (
    sha256 text PRIMARY KEY,
    name text NOT NULL,
    format text NOT NULL,
    mapping text,
    loaded timestamptz NOT NULL DEFAULT now(),
    report jsonb NOT NULL
);
COMMENT ON TABLE cim.dataset IS 'Each source file taken in, by digest, with what became of its records';

CREATE TABLE cim.reject (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset text NOT NULL REFERENCES cim.dataset (sha256),
    layer text NOT NULL,
    source_id text,
    reason text NOT NULL,
    record jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX reject_dataset ON cim.reject (dataset);
COMMENT ON TABLE cim.reject IS 'Records that could not be taken, as they came, with the reason';

CREATE TABLE cim.identifier (
    scheme text NOT NULL,
    value text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    valid_from date,
    valid_to date,
    issuer text,
    PRIMARY KEY (scheme, value, code)
);
CREATE INDEX identifier_code ON cim.identifier (code);
COMMENT ON TABLE cim.identifier IS 'Other published identifiers of an object';
