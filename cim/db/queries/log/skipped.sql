-- Revisions that should have their leaf and have none: their transaction lies below the floor.
-- First by ids alone, which two indexes hold, and only then the wide rows.
WITH leafless AS MATERIALIZED (
    SELECT r.id FROM cim.revision r WHERE NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id))
SELECT r.type, r.code, r.rev FROM leafless JOIN cim.revision r USING (id)
WHERE r.xid < (SELECT xid_floor FROM cim.tree_state)
ORDER BY r.id LIMIT 1000
