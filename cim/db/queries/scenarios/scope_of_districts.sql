-- The renewal districts or divisions of those codes, and of each type their union, without a code; areas in square
-- centimetres.
WITH district AS MATERIALIZED (
    SELECT 'renewal_district' AS type, d.code, d.geom
    FROM city.renewal_district_at(CAST(:size AS bigint)) d
    WHERE d.code COLLATE "C" = ANY(CAST(:codes AS text[]))
    UNION ALL
    SELECT 'division', d.code, d.geom
    FROM city.division_at(CAST(:size AS bigint)) d
    WHERE d.code COLLATE "C" = ANY(CAST(:codes AS text[]))
), land AS (
    SELECT d.type, d.code, d.geom FROM district d
    UNION ALL
    SELECT d.type, NULL, ST_Union(d.geom ORDER BY d.code COLLATE "C") FROM district d GROUP BY d.type
)
SELECT l.type, l.code, ST_AsBinary(l.geom, 'NDR') AS geom, cim.square_centimetres(ST_Area(l.geom)) AS area
FROM land l
ORDER BY l.type, l.code COLLATE "C"
