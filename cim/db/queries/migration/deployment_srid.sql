-- The first caller fixes the storage CRS; everyone gets what was fixed.
WITH fixed AS (
    INSERT INTO cim.deployment (srid) VALUES (:srid) ON CONFLICT (singleton) DO NOTHING RETURNING srid
)
SELECT srid FROM fixed UNION ALL SELECT srid FROM cim.deployment LIMIT 1
