-- The highest number ever given behind a prefix, up to the highest there may be: to objects, the deleted and the
-- superseded ones too, by minting, and as another identifier.
WITH given AS (
    SELECT substr(r.code, length(CAST(:prefix AS text)) + 1, :width) AS number FROM cim.revision r
    WHERE (r.type = ANY(:types) OR r.type = 'reservation')
      AND r.code >= CAST(:prefix AS text) AND starts_with(r.code, CAST(:prefix AS text))
    UNION ALL
    SELECT substr(r.code, length(CAST(:named AS text)) + 1, :width) FROM cim.revision r
    WHERE r.type = 'identifier' AND r.code >= CAST(:named AS text) AND starts_with(r.code, CAST(:named AS text))
)
SELECT max(CASE WHEN number ~ :digits THEN CAST(number AS bigint) END)
FROM given WHERE CASE WHEN number ~ :digits THEN CAST(number AS bigint) <= :highest END
