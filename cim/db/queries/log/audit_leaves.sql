-- Leaves first to end, in order. The revisions they stand for are read apart, by log/audit_revisions: to join rows as
-- wide as both takes a quarter of what it takes to read them.
SELECT idx, revision_id, prev, entry, hash FROM cim.leaf WHERE idx >= :first AND idx < :end ORDER BY idx
