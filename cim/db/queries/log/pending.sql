-- Revisions that can have their leaf now, in order: of transactions below the snapshot horizon, and not while an
-- earlier revision of the same object is still above it (a long transaction may commit after a younger one).
WITH horizon AS MATERIALIZED (
    SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xid
), waiting AS MATERIALIZED (
    SELECT r.type, r.code, min(r.rev) AS rev
    FROM cim.revision r
    WHERE r.xid >= (SELECT xid FROM horizon)
    GROUP BY r.type, r.code
)
SELECT r.id, r.type, r.code, r.rev, r.op, r.at, r.actor, r.reason, r.dataset, r.erased, r.body::text AS body,
       ST_SRID(r.geom) AS srid, sha256(ST_AsBinary(r.geom, 'NDR')) AS geometry_sha256,
       previous_leaf.idx AS prev,
       (SELECT jsonb_object_agg(p.field, jsonb_build_array(encode(p.salt, 'hex'), p.value))::text
        FROM cim.private_value p WHERE p.revision_id = r.id) AS private
FROM cim.revision r
LEFT JOIN cim.revision previous
    ON r.rev > 1 AND previous.type = r.type AND previous.code = r.code AND previous.rev = r.rev - 1
LEFT JOIN cim.leaf previous_leaf ON previous_leaf.revision_id = previous.id
WHERE r.xid >= (SELECT xid_floor FROM cim.tree_state)
  AND r.xid < (SELECT xid FROM horizon)
  AND NOT EXISTS (SELECT FROM cim.leaf l WHERE l.revision_id = r.id)
  AND NOT EXISTS (SELECT FROM waiting w WHERE w.type = r.type AND w.code = r.code AND w.rev < r.rev)
ORDER BY r.id
LIMIT :batch
