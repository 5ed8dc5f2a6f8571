-- Keys of the API. The secret itself is nowhere: it is 256 random bits, so that one round of SHA-256 keeps it.
CREATE TABLE cim.api_key (
    id text COLLATE "C" PRIMARY KEY,
    secret bytea NOT NULL CHECK (octet_length(secret) = 32),
    name text NOT NULL,
    scopes text[] NOT NULL,
    divisions text[],
    created timestamptz NOT NULL DEFAULT now(),
    expires timestamptz,
    revoked timestamptz
);
COMMENT ON COLUMN cim.api_key.id IS 'Visible part of the key';
COMMENT ON COLUMN cim.api_key.secret IS 'SHA-256 of the secret part';
COMMENT ON COLUMN cim.api_key.divisions IS 'Divisions it is limited to, with all below them; null for no limit';
REVOKE ALL ON cim.api_key FROM PUBLIC;

CREATE TABLE cim.private_read (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reader text NOT NULL,
    type text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    fields text[] NOT NULL,
    request text NOT NULL
);
CREATE INDEX private_read_object ON cim.private_read (type, code);
COMMENT ON TABLE cim.private_read IS 'Who read which private fields of which object over the API; append-only';
REVOKE ALL ON cim.private_read FROM PUBLIC;
