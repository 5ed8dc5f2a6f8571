-- The union of the parcels of those codes, and which of the codes there are.
SELECT coalesce(array_agg(p.code ORDER BY p.code COLLATE "C"), '{}') AS codes,
       ST_AsBinary(ST_Union(p.geom ORDER BY p.code COLLATE "C"), 'NDR') AS geom
FROM city.parcel_at(CAST(:size AS bigint)) p
WHERE p.code COLLATE "C" = ANY(CAST(:codes AS text[]))
