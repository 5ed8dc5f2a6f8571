-- What this transaction did that has a place: to how many objects, and where; nulls where to none.
SELECT count(*) AS number, ST_XMin(ST_Extent(geom)) AS west, ST_YMin(ST_Extent(geom)) AS south,
       ST_XMax(ST_Extent(geom)) AS east, ST_YMax(ST_Extent(geom)) AS north
FROM cim.recorded_here(CAST(:ends AS jsonb));
