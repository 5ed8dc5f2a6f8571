-- Area of a scope in square centimetres, planar in the storage CRS.
SELECT cim.square_centimetres(ST_Area(CAST(:scope AS geometry)))
