-- Surveyed footprints of about one area and perimeter, the closest first; those made of models are left out.
SELECT code, ST_AsBinary(geom) AS geom
FROM city.building
WHERE model_file IS NULL
  AND ST_Area(geom) BETWEEN :area * 0.95 AND :area * 1.05
  AND ST_Perimeter(geom) BETWEEN :perimeter * 0.95 AND :perimeter * 1.05
ORDER BY abs(ST_Area(geom) - :area), code
LIMIT :most;
