-- Work that the API was asked for and that a client does not wait for. Who works on a job holds an advisory lock of its
-- number, which ends with the connection: a job that is running and not locked was left by a server that ended.
CREATE TABLE cim.job (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind text NOT NULL CHECK (kind IN ('process', 'ingest')),
    process text NOT NULL,
    owner text,
    request jsonb NOT NULL,
    status text NOT NULL DEFAULT 'accepted'
        CHECK (status IN ('accepted', 'running', 'successful', 'failed', 'dismissed')),
    begun integer NOT NULL DEFAULT 0,
    message text,
    failure integer,
    created timestamptz NOT NULL DEFAULT now(),
    started timestamptz,
    finished timestamptz,
    result bytea,
    media_type text,
    headers jsonb
);
CREATE INDEX job_open ON cim.job (number) WHERE status IN ('accepted', 'running');
CREATE INDEX job_owner ON cim.job (owner, number);
COMMENT ON COLUMN cim.job.owner IS 'Subject that asked, as key:… or oidc:…; null for everybody, who is known by the id';
COMMENT ON COLUMN cim.job.begun IS 'How often it was begun: more than once where a server ended in between';
COMMENT ON COLUMN cim.job.failure IS 'HTTP status that tells what kind of failure it was';
REVOKE ALL ON cim.job FROM PUBLIC;
