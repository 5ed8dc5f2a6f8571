-- Leaves first to end with the revisions they stand for.
SELECT l.idx, l.entry, l.hash,
       r.id, r.type, r.code, r.rev, r.op, r.at, r.actor, r.reason, r.dataset, r.body::text AS body,
       ST_SRID(r.geom) AS srid, sha256(ST_AsBinary(r.geom, 'NDR')) AS geometry_sha256,
       l.prev,
       (SELECT jsonb_object_agg(p.field, jsonb_build_array(encode(p.salt, 'hex'), p.value))::text
        FROM cim.private_value p WHERE p.revision_id = r.id) AS private,
       r.erased, r.superseded::text AS superseded
FROM cim.leaf l JOIN cim.revision r ON r.id = l.revision_id
WHERE l.idx >= :first AND l.idx < :end
ORDER BY l.idx
