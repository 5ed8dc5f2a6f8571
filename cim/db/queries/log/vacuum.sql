-- Tell the planner what the tables hold, and that every transaction sees it: look-ups in an index then leave the leaf
-- itself, which is wide, unread. Nothing is ever deleted from either, so there is nothing to clean up in indexes.
VACUUM (ANALYZE, SKIP_LOCKED, INDEX_CLEANUP OFF, TRUNCATE OFF)
    cim.revision (type, code, op, xid, geom), cim.leaf (idx, revision_id, prev)
