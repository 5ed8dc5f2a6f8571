-- Tell the planner what the table holds, and that every transaction sees it. Nothing is ever deleted from it, so there is
-- nothing to clean up in indexes.
VACUUM (ANALYZE, SKIP_LOCKED, INDEX_CLEANUP OFF, TRUNCATE OFF) cim.revision (type, code, op, xid, geom)
