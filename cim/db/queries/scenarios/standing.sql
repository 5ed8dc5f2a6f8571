-- When the last entry of tree size n was made, RFC 3339 in UTC as the entry says it, and whether the live tables of these
-- types stand exactly at n: only if n is the whole tree, and no revision of such a type waits for its leaf. Those are
-- found by the index on xid, in whose order the planner must take them: it cannot know that next to none lie above the
-- floor, and would read all revisions of the types.
SELECT convert_from(e.entry, 'UTF8')::jsonb ->> 'at' AS at,
       CAST(:size AS bigint) = (SELECT size FROM cim.tree_state)
       AND NOT EXISTS (
           SELECT FROM (SELECT id, type FROM cim.revision
                        WHERE xid >= (SELECT xid_floor FROM cim.tree_state) ORDER BY xid OFFSET 0) r
           WHERE r.type = ANY(CAST(:types AS text[]))
             AND NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id)) AS live
FROM cim.leaf e
WHERE e.idx = CAST(:size AS bigint) - 1
