-- Leaves first to end with the revisions they stand for.
SELECT l.idx, l.entry, l.hash,
       r.id, r.type, r.code, r.rev, r.op, r.at, r.actor, r.reason, r.dataset, r.body::text AS body,
       ST_SRID(r.geom) AS srid, sha256(ST_AsBinary(r.geom, 'NDR')) AS geometry_sha256,
       l.prev,
       p.private,
       r.erased, r.superseded::text AS superseded
FROM cim.leaf l JOIN cim.revision r ON r.id = l.revision_id
LEFT JOIN (SELECT v.revision_id,
                  jsonb_object_agg(v.field, jsonb_build_array(encode(v.salt, 'hex'), v.value))::text AS private
           FROM cim.private_value v,
                (SELECT min(revision_id) AS first, max(revision_id) AS last
                 FROM (SELECT revision_id FROM cim.leaf WHERE idx >= :first AND idx < :end OFFSET 0) these) span
           WHERE v.revision_id BETWEEN span.first AND span.last
           GROUP BY v.revision_id) p ON p.revision_id = r.id
WHERE l.idx >= :first AND l.idx < :end
ORDER BY l.idx
