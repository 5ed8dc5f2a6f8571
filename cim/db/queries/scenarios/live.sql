-- Do the live tables of these types stand exactly at tree size n? Only if n is the whole tree, and no revision of
-- such a type waits for its leaf.
SELECT CAST(:size AS bigint) = (SELECT size FROM cim.tree_state)
   AND NOT EXISTS (
       SELECT FROM cim.revision r
       WHERE r.xid >= (SELECT xid_floor FROM cim.tree_state)
         AND r.type = ANY(CAST(:types AS text[]))
         AND NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id))
