-- The crosswalk's schemes that some values stand in, or stood in at tree size n.
SELECT DISTINCT scheme, value FROM cim.identifier WHERE value = ANY(:values) AND CAST(:size AS bigint) IS NULL
UNION
SELECT i.scheme, i.value FROM cim.identifiers_at(CAST(:size AS bigint)) i
WHERE i.value = ANY(:values) AND CAST(:size AS bigint) IS NOT NULL
