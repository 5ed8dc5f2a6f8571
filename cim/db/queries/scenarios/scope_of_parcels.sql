-- The union of the parcels of those codes, its area in square centimetres, and which of the codes there are.
SELECT u.codes, ST_AsBinary(u.geom, 'NDR') AS geom, cim.square_centimetres(ST_Area(u.geom)) AS area
FROM (SELECT coalesce(array_agg(p.code ORDER BY p.code COLLATE "C"), '{}') AS codes,
             ST_Union(p.geom ORDER BY p.code COLLATE "C") AS geom
      FROM city.parcel_at(CAST(:size AS bigint)) p
      WHERE p.code COLLATE "C" = ANY(CAST(:codes AS text[]))) u
