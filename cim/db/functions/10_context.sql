-- Who writes, why, and from which dataset: set for one transaction, read by the capture triggers.
CREATE OR REPLACE FUNCTION cim.set_context(actor text, reason text, dataset text) RETURNS void
LANGUAGE sql AS $$
    SELECT set_config('cim.actor', coalesce(actor, ''), true),
           set_config('cim.reason', coalesce(reason, ''), true),
           set_config('cim.dataset', coalesce(dataset, ''), true);
$$;

-- RFC 3339 in UTC with microseconds, whatever the session's time zone and date style.
CREATE OR REPLACE FUNCTION cim.rfc3339(instant timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
$$;

-- A text as one segment of a path (RFC 3986): all but unreserved characters percent-encoded.
CREATE OR REPLACE FUNCTION cim.uri_segment(text text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN text ~ '^[A-Za-z0-9._~-]*$' THEN text ELSE (
        SELECT string_agg(CASE WHEN c ~ '[A-Za-z0-9._~-]' THEN c ELSE
                   regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g') END, '' ORDER BY n)
        FROM regexp_split_to_table(text, '') WITH ORDINALITY AS parts (c, n)) END;
$$;
