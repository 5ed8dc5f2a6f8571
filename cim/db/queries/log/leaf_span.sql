-- Between which ids the revisions of leaves first to end lie.
-- OFFSET 0: or the planner walks the index on revision_id from both its ends until it meets one of these leaves.
SELECT min(revision_id) AS first_id, max(revision_id) AS last_id
FROM (SELECT revision_id FROM cim.leaf WHERE idx >= :first AND idx < :end OFFSET 0) l
