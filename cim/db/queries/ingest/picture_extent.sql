-- What this transaction recorded that has a place: how much, and where; nulls where it recorded nothing.
SELECT count(*) AS number, ST_XMin(ST_Extent(geom)) AS west, ST_YMin(ST_Extent(geom)) AS south,
       ST_XMax(ST_Extent(geom)) AS east, ST_YMax(ST_Extent(geom)) AS north
FROM cim.revision WHERE xid = pg_current_xact_id() AND geom IS NOT NULL AND op IN ('insert', 'update');
