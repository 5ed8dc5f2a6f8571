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
