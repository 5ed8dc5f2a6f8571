-- Between which ids revisions may wait for their leaf, and the snapshot horizon below which they can have it.
-- By the index on xid: min(id) alone would walk the ids from the first one.
-- A floor above every transaction of this server is another server's, from which the database was dumped.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, min(r.id) AS first, max(r.id) + 1 AS end,
       (SELECT xid_floor FROM cim.tree_state) > pg_snapshot_xmax(pg_current_snapshot()) AS foreign_floor
FROM (SELECT id FROM cim.revision
      WHERE xid >= (SELECT xid_floor FROM cim.tree_state) ORDER BY xid OFFSET 0) r
