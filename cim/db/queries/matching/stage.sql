CREATE TEMPORARY TABLE IF NOT EXISTS unmatched (
    record bigint PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    minted boolean NOT NULL,
    how text,
    code text COLLATE "C",
    score float8,
    objects jsonb
) ON COMMIT DROP;
