CREATE TEMPORARY TABLE replayed (
    id bigint, type text, code text, rev bigint, op text, at timestamptz, actor text, reason text, dataset text,
    body text, srid integer, wkb bytea, erased text[], superseded text
) ON COMMIT DROP
