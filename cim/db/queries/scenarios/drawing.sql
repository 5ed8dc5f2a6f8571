-- What a map of some lands shows: whatever meets the envelope of one, widened by the margin; of buildings that stand and
-- of parcels no more than the most, the first by code.
WITH frame AS MATERIALIZED (
    SELECT ST_Expand(CAST(l.land AS geometry), CAST(:margin AS float8)) AS box
    FROM unnest(CAST(:lands AS text[])) AS l (land)
), building AS (
    SELECT DISTINCT ON (b.code COLLATE "C") b.*
    FROM frame, city.building_at(CAST(:size AS bigint)) b
    WHERE b.geom && frame.box
      AND coalesce(b.status = ANY(CAST(:existing AS text[])), CAST(:missing_exists AS boolean))
      AND coalesce(b.valid_from <= :reference_date, true) AND coalesce(b.valid_to > :reference_date, true)
    ORDER BY b.code COLLATE "C" LIMIT CAST(:most AS bigint)
), parcel AS (
    SELECT DISTINCT ON (p.code COLLATE "C") p.*
    FROM frame, city.parcel_at(CAST(:size AS bigint)) p
    WHERE p.geom && frame.box
    ORDER BY p.code COLLATE "C" LIMIT CAST(:most AS bigint)
)
SELECT 'building' AS type, b.code, ST_AsBinary(b.geom, 'NDR') AS geom, b.storeys_above, b.height, b.usage, b.year_built
FROM building b
UNION ALL
SELECT 'parcel', p.code, ST_AsBinary(p.geom, 'NDR'), NULL, NULL, p.land_use, NULL FROM parcel p
UNION ALL
(SELECT DISTINCT ON (g.code) 'green_space', g.code, ST_AsBinary(g.geom, 'NDR'), NULL, NULL, g.kind, NULL
 FROM frame, city.green_space_at(CAST(:size AS bigint)) g WHERE g.geom && frame.box)
UNION ALL
(SELECT DISTINCT ON (r.code) 'road', r.code, ST_AsBinary(r.geom, 'NDR'), NULL, r.width, r.road_class, NULL
 FROM frame, city.road_at(CAST(:size AS bigint)) r WHERE r.geom && frame.box)
