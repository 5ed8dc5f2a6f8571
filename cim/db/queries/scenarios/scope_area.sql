-- Area of a scope (WKB) in square centimetres, planar in the storage CRS.
SELECT cim.square_centimetres(ST_Area(ST_GeomFromWKB(CAST(:scope AS bytea))))
