-- Outlines of objects in a box that this transaction did not record.
SELECT ST_AsBinary(ST_SimplifyPreserveTopology(r.geom, :tolerance), 'NDR') AS shape
FROM (SELECT DISTINCT ON (type, code) op, geom, xid FROM cim.revision
      WHERE type = ANY(CAST(:types AS text[])) AND geom && ST_MakeEnvelope(:west, :south, :east, :north, :srid)
      ORDER BY type, code, rev DESC) r
WHERE r.op IN ('insert', 'update') AND r.xid <> pg_current_xact_id()
LIMIT :most;
