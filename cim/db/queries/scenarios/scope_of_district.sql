-- The renewal district or division of that code; its area in square centimetres.
SELECT 'renewal_district' AS type, d.code, ST_AsBinary(d.geom, 'NDR') AS geom,
       cim.square_centimetres(ST_Area(d.geom)) AS area
FROM city.renewal_district_at(CAST(:size AS bigint)) d
WHERE d.code = :code
UNION ALL
SELECT 'division', d.code, ST_AsBinary(d.geom, 'NDR'), cim.square_centimetres(ST_Area(d.geom))
FROM city.division_at(CAST(:size AS bigint)) d
WHERE d.code = :code
ORDER BY type DESC
