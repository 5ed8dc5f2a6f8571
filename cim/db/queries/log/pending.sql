-- Revisions of a span of ids that lie below the horizon and have no leaf, in order, each with its predecessor's leaf.
-- Sub-selects stand where few rows need them: most revisions of a bulk load are first ones, without a leaf.
SELECT r.id, r.type, r.code, r.rev, r.op, r.at, r.actor, r.reason, r.dataset, substr(jsonb_send(r.body), 2) AS body,
       ST_SRID(r.geom) AS srid, sha256(ST_AsBinary(r.geom, 'NDR')) AS geometry_sha256,
       CASE WHEN r.rev > 1 THEN (
           SELECT l.idx FROM cim.revision p JOIN cim.leaf l ON l.revision_id = p.id
           WHERE p.type = r.type AND p.code = r.code AND p.rev = r.rev - 1) END AS prev,
       p.private,
       r.erased, r.superseded::text AS superseded
FROM (SELECT * FROM cim.revision WHERE id >= :first AND id < :end ORDER BY id OFFSET 0) r  -- by id, never by xid
LEFT JOIN (SELECT revision_id, jsonb_object_agg(field, jsonb_build_array(encode(salt, 'hex'), value))::text AS private
           FROM cim.private_value WHERE revision_id >= :first AND revision_id < :end GROUP BY revision_id) p
       ON p.revision_id = r.id
WHERE r.xid >= (SELECT xid_floor FROM cim.tree_state)
  AND r.xid < CAST(:horizon AS xid8)
  AND r.id NOT IN (SELECT revision_id FROM cim.leaf WHERE revision_id >= :first AND revision_id < :end)
ORDER BY r.id
