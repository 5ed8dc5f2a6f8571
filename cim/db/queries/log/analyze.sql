ANALYZE (SKIP_LOCKED) cim.revision (type, code, op, xid, geom), cim.leaf (idx, revision_id, prev)
