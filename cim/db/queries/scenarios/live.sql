-- Do the live tables of these types stand exactly at tree size n? Only if n is the whole tree, and no revision of
-- such a type waits for its leaf. By the index on xid, in whose order the planner must take them: it cannot know that
-- next to none lie above the floor, and would read all revisions of the types.
SELECT CAST(:size AS bigint) = (SELECT size FROM cim.tree_state)
   AND NOT EXISTS (
       SELECT FROM (SELECT id, type FROM cim.revision
                    WHERE xid >= (SELECT xid_floor FROM cim.tree_state) ORDER BY xid OFFSET 0) r
       WHERE r.type = ANY(CAST(:types AS text[]))
         AND NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id))
