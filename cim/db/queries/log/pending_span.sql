-- Between which ids revisions may wait for their leaf, and the snapshot horizon below which they can have it.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, min(id) AS first, max(id) + 1 AS end
FROM cim.revision WHERE xid >= (SELECT xid_floor FROM cim.tree_state)
