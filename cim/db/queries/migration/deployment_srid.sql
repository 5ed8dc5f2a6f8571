-- The first caller fixes the storage CRS; everyone gets what was fixed. Callers hold the migration's lock.
WITH fixed AS (
    INSERT INTO cim.deployment (srid)
    SELECT CAST(:srid AS integer) WHERE NOT EXISTS (SELECT FROM cim.deployment)
    RETURNING srid
)
SELECT srid FROM fixed UNION ALL SELECT srid FROM cim.deployment LIMIT 1
