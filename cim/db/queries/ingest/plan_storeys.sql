-- The storeys that a model gave, from the lowest up, building by building.
SELECT b.code AS building_code, coalesce(b.name, b.code) AS building, s.code, s.name, s.elevation, s.gross_floor_area,
       ST_AsBinary(s.geom, 'NDR') AS shape
FROM city.storey s JOIN city.building b ON b.code = s.building_code
WHERE s.model_file = :content
ORDER BY 2, 1, s.elevation NULLS LAST, s.number, s.code
LIMIT :most;
