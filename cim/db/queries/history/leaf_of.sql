-- The leaf that holds an object's state at tree size n (null: the latest), whatever it says.
SELECT r.type, r.code, r.rev, r.op, l.idx, l.entry, l.hash
FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
WHERE r.type = ANY(:types) AND r.code = :code
  AND (CAST(:size AS bigint) IS NULL OR l.idx < :size)
  AND NOT EXISTS (
      SELECT FROM cim.leaf s WHERE s.prev = l.idx AND (CAST(:size AS bigint) IS NULL OR s.idx < :size))
ORDER BY r.type
