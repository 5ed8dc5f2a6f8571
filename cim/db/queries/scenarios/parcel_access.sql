-- The roads whose edge comes within a tolerance of each parcel: the widest known width, and how many have none. A road
-- reaches half its width to either side of its centre line, half of unknown_width where its width is unknown.
SELECT p.code,
       (SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
        WHERE r.type = 'parcel' AND r.code = p.code AND r.rev = p.rev) AS leaf,
       ST_Covers(ST_Buffer(CAST(:scope AS geometry), CAST(:reach AS float8)), p.geom) AS within, max(cim.millimetres(t.width)) AS width,
       count(*) FILTER (WHERE t.width IS NULL AND t.code IS NOT NULL) AS unknown,
       (array_agg(jsonb_build_array(t.code, (
           SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
           WHERE r.type = 'road' AND r.code = t.code AND r.rev = t.rev))
           ORDER BY t.width DESC, t.code COLLATE "C")
           FILTER (WHERE t.width IS NOT NULL AND CAST(:explain AS boolean)))[1] AS widest
FROM city.parcel_at(CAST(:size AS bigint)) p
LEFT JOIN city.road_at(CAST(:size AS bigint)) t
    ON ST_DWithin(t.geom, p.geom, coalesce(t.width, CAST(:unknown_width AS float8)) / 2 + CAST(:tolerance AS float8))
    AND coalesce(t.status = ANY(CAST(:road_status AS text[])), CAST(:road_missing AS boolean))
WHERE ST_Intersects(p.geom, CAST(:scope AS geometry))
  AND (CAST(:parcels AS text[]) IS NULL AND ST_Intersects(CAST(:scope AS geometry), ST_PointOnSurface(p.geom))
       OR p.code = ANY(CAST(:parcels AS text[])))
GROUP BY p.code, p.rev, p.geom
ORDER BY p.code COLLATE "C"
