-- Revisions that should have their leaf and have none: their transaction lies below the floor.
SELECT r.type, r.code, r.rev FROM cim.revision r
WHERE r.xid < (SELECT xid_floor FROM cim.tree_state)
  AND NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id)
ORDER BY r.id LIMIT 1000
