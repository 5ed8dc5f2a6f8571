-- Every revision of one object, oldest first; idx is null until it is sequenced.
SELECT r.type, r.code, r.rev, r.op, r.at, r.actor, r.reason, r.dataset, r.body, r.geom, l.idx, l.hash
FROM cim.revision r LEFT JOIN cim.leaf l ON l.revision_id = r.id
WHERE r.type = ANY(:types) AND r.code = :code
ORDER BY r.type, r.rev
