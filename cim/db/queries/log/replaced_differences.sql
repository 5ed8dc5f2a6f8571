-- Revisions of which cim.replaced says otherwise than their leaves do.
WITH differing AS MATERIALIZED (
    SELECT revision_id
    FROM (SELECT p.revision_id, l.idx FROM cim.leaf l JOIN cim.leaf p ON p.idx = l.prev WHERE l.prev IS NOT NULL) said
    FULL JOIN cim.replaced kept USING (revision_id)
    WHERE said.idx IS DISTINCT FROM kept.leaf)
SELECT r.type, r.code, r.rev FROM differing JOIN cim.revision r ON r.id = differing.revision_id
ORDER BY r.id LIMIT 1000
