-- The footprint of one building.
SELECT code, ST_AsBinary(geom) AS geom FROM city.building WHERE code = :code AND geom IS NOT NULL;
