-- Surveyed footprints of about one area and perimeter, the closest first; those made of models are left out.
SELECT code, ST_AsBinary(geom) AS geom
FROM city.building
WHERE model_file IS NULL
  AND ST_Area(geom) BETWEEN :area * CAST(:share AS float8) AND :area / CAST(:share AS float8)
  AND ST_Perimeter(geom) BETWEEN :perimeter * CAST(:share AS float8) AND :perimeter / CAST(:share AS float8)
ORDER BY abs(ST_Area(geom) - :area), code
LIMIT :most;
