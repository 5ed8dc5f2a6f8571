-- Every revision below the new floor has its leaf: the floor is the oldest transaction with one that has not,
-- else the horizon.
UPDATE cim.tree_state SET xid_floor = coalesce(
    (SELECT r.xid FROM cim.revision r
     WHERE r.xid >= tree_state.xid_floor AND r.xid < pg_snapshot_xmin(pg_current_snapshot())
       AND NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id)
     ORDER BY r.xid LIMIT 1),
    pg_snapshot_xmin(pg_current_snapshot()))
