-- Each feature type that has a record of a code, with the leaf that holds the object's state at tree size n (null: the
-- latest), whatever it says; idx is null where none does.
SELECT known.type, leaf.rev, leaf.op, leaf.idx, leaf.entry
FROM (SELECT DISTINCT r.type FROM cim.revision r WHERE r.type = ANY(:types) AND r.code = :code) known
LEFT JOIN LATERAL (
    SELECT r.rev, r.op, l.idx, l.entry FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
    WHERE r.type = known.type AND r.code = :code AND (CAST(:size AS bigint) IS NULL OR l.idx < :size)
    ORDER BY r.rev DESC LIMIT 1
) leaf ON true
ORDER BY known.type
