-- Between which ids the revisions of leaves first to end lie.
SELECT min(revision_id) AS first_id, max(revision_id) AS last_id FROM cim.leaf WHERE idx >= :first AND idx < :end
