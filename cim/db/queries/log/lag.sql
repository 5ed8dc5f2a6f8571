-- How far the tree is behind the revisions this snapshot sees.
SELECT count(*) AS revisions, min(r.at) AS oldest
FROM cim.revision r
WHERE r.xid >= (SELECT xid_floor FROM cim.tree_state)
  AND NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id)
