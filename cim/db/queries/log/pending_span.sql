-- Between which ids revisions may wait for their leaf, and the snapshot horizon below which they can have it.
-- By the index on xid: min(id) alone would walk the ids from the first one.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, min(r.id) AS first, max(r.id) + 1 AS end
FROM (SELECT id FROM cim.revision
      WHERE xid >= (SELECT xid_floor FROM cim.tree_state) ORDER BY xid OFFSET 0) r
