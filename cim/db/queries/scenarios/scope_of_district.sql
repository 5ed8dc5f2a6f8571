-- The renewal district or division of that code.
SELECT 'renewal_district' AS type, d.code, ST_AsBinary(d.geom, 'NDR') AS geom
FROM city.renewal_district_at(CAST(:size AS bigint)) d
WHERE d.code = :code
UNION ALL
SELECT 'division', d.code, ST_AsBinary(d.geom, 'NDR')
FROM city.division_at(CAST(:size AS bigint)) d
WHERE d.code = :code
ORDER BY type DESC
