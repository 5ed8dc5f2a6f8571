-- Revisions whose ids lie between first_id and last_id, in any order; their predecessors stand in their leaves.
SELECT r.id, r.type, r.code, r.rev, r.op, r.at, r.actor, r.reason, r.dataset, substr(jsonb_send(r.body), 2) AS body,
       ST_SRID(r.geom) AS srid, sha256(ST_AsBinary(r.geom, 'NDR')) AS geometry_sha256,
       NULL::bigint AS prev,
       p.private,
       r.erased, r.superseded::text AS superseded,
       r.xid::text::bigint AS xid
FROM cim.revision r
LEFT JOIN (SELECT revision_id, jsonb_object_agg(field, jsonb_build_array(encode(salt, 'hex'), value))::text AS private
           FROM cim.private_value WHERE revision_id BETWEEN :first_id AND :last_id
           GROUP BY revision_id) p ON p.revision_id = r.id
WHERE r.id BETWEEN :first_id AND :last_id
