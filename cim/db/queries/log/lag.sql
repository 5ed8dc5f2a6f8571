-- How far the tree is behind the revisions this snapshot sees.
-- By the index on xid, then leaf by leaf: the planner takes a third of all to lie above the floor, and would read all.
SELECT count(*) AS revisions, min(r.at) AS oldest
FROM (SELECT id, at FROM cim.revision
      WHERE xid >= (SELECT xid_floor FROM cim.tree_state) ORDER BY xid OFFSET 0) r
WHERE (SELECT l.idx FROM cim.leaf l WHERE l.revision_id = r.id) IS NULL
