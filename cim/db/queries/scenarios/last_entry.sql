-- When the last entry of a tree size was made, RFC 3339 in UTC as the entry says it.
SELECT convert_from(entry, 'UTF8')::jsonb ->> 'at' FROM cim.leaf WHERE idx = CAST(:size AS bigint) - 1
