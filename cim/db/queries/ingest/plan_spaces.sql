-- The spaces of storeys, larger ones first.
SELECT storey_code, name, number, usage, coalesce(net_floor_area, gross_floor_area) AS floor_area,
       ST_AsBinary(geom, 'NDR') AS shape
FROM city.space
WHERE storey_code = ANY(CAST(:storeys AS text[])) AND geom IS NOT NULL
ORDER BY ST_Area(geom) DESC, code;
