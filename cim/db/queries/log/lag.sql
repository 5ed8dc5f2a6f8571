-- How far the tree is behind the revisions this snapshot sees, and how many of them an open transaction holds back.
-- By the index on xid, then leaf by leaf: the planner takes a third of all to lie above the floor, and would read all.
SELECT count(*) AS revisions, min(r.at) AS oldest,
       extract(epoch FROM clock_timestamp() - min(r.at))::float8 AS seconds,
       count(*) FILTER (WHERE r.xid >= pg_snapshot_xmin(pg_current_snapshot())) AS held
FROM (SELECT id, at, xid FROM cim.revision
      WHERE xid >= (SELECT xid_floor FROM cim.tree_state) ORDER BY xid OFFSET 0) r
WHERE (SELECT l.idx FROM cim.leaf l WHERE l.revision_id = r.id) IS NULL
