-- Revisions that can have their leaf now, of a span of ids, in order: of transactions below the horizon, and not while
-- an earlier revision of the same object is still above it (a long transaction may commit after a younger one).
-- Sub-selects stand where few rows need them: most revisions of a bulk load are first ones.
WITH waiting AS MATERIALIZED (
    SELECT r.type, r.code, min(r.rev) AS rev
    FROM cim.revision r
    WHERE r.xid >= CAST(:horizon AS xid8)
    GROUP BY r.type, r.code
)
SELECT r.id, r.type, r.code, r.rev, r.op, r.at, r.actor, r.reason, r.dataset, r.body::text AS body,
       ST_SRID(r.geom) AS srid, sha256(ST_AsBinary(r.geom, 'NDR')) AS geometry_sha256,
       CASE WHEN r.rev > 1 THEN (
           SELECT l.idx FROM cim.revision p JOIN cim.leaf l ON l.revision_id = p.id
           WHERE p.type = r.type AND p.code = r.code AND p.rev = r.rev - 1) END AS prev,
       (SELECT jsonb_object_agg(p.field, jsonb_build_array(encode(p.salt, 'hex'), p.value))::text
        FROM cim.private_value p WHERE p.revision_id = r.id) AS private,
       r.erased
FROM cim.revision r
WHERE r.id >= :first AND r.id < :end
  AND r.xid >= (SELECT xid_floor FROM cim.tree_state)
  AND r.xid < CAST(:horizon AS xid8)
  AND NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id)
  AND NOT EXISTS (SELECT FROM waiting w WHERE w.type = r.type AND w.code = r.code AND w.rev < r.rev)
ORDER BY r.id
