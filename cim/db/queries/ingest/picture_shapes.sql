-- The outlines this transaction recorded, coarse enough to be drawn.
SELECT op AS fate, ST_AsBinary(ST_SimplifyPreserveTopology(geom, :tolerance), 'NDR') AS shape
FROM cim.revision WHERE xid = pg_current_xact_id() AND geom IS NOT NULL AND op IN ('insert', 'update')
ORDER BY id;
