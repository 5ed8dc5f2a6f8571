-- Where the buildings of a scope are, and the facilities and streets within reach of it, in metres: where people walk,
-- the points on surface of the buildings, else their footprints. Of one without geometry nothing is known here.
SELECT 'building' AS type, b.code, NULL AS kind,
       ST_AsBinary(CASE WHEN CAST(:walked AS boolean) THEN ST_PointOnSurface(b.geom) ELSE b.geom END, 'NDR') AS geom
FROM city.building_at(CAST(:size AS bigint)) b
WHERE ST_Intersects(b.geom, CAST(:scope AS geometry))
UNION ALL
SELECT 'facility', f.code, f.kind, ST_AsBinary(f.geom, 'NDR')
FROM city.facility_at(CAST(:size AS bigint)) f
WHERE (f.kind IS NULL OR f.kind = ANY(CAST(:kinds AS text[])))
  AND ST_DWithin(f.geom, CAST(:scope AS geometry), CAST(:facility_reach AS bigint))
UNION ALL
SELECT 'road', r.code, NULL, ST_AsBinary(r.geom, 'NDR')
FROM city.road_at(CAST(:size AS bigint)) r
WHERE CAST(:walked AS boolean)
  AND ST_DWithin(r.geom, CAST(:scope AS geometry), CAST(:road_reach AS bigint))
  AND coalesce(r.status = ANY(CAST(:road_status AS text[])), CAST(:road_missing AS boolean))
  AND coalesce(NOT r.road_class = ANY(CAST(:not_walked AS text[])), true)
