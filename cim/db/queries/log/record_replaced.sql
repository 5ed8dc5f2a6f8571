-- Note which revisions the leaves from first to end replace. Looked up leaf by leaf, so by OFFSET 0: never by all leaves.
INSERT INTO cim.replaced (revision_id, leaf)
SELECT p.revision_id, l.idx
FROM (SELECT idx, prev FROM cim.leaf WHERE idx >= :first AND idx < :end AND prev IS NOT NULL OFFSET 0) l
CROSS JOIN LATERAL (SELECT revision_id FROM cim.leaf WHERE idx = l.prev OFFSET 0) p
