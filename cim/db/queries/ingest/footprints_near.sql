-- Surveyed footprints near a point of the storage CRS, the nearest first; those made of models are left out.
SELECT code, ST_AsBinary(geom) AS geom
FROM city.building, ST_SetSRID(ST_MakePoint(:x, :y), Find_SRID('city', 'building', 'geom')) AS point
WHERE model_file IS NULL AND ST_DWithin(geom, point, :radius)
ORDER BY ST_Distance(geom, point), code
LIMIT :most;
