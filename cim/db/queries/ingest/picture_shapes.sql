-- The outlines of what this transaction did, coarse enough to be drawn.
SELECT fate, ST_AsBinary(ST_SimplifyPreserveTopology(geom, :tolerance), 'NDR') AS shape
FROM cim.recorded_here(CAST(:ends AS jsonb)) ORDER BY id;
