-- The objects that a proposal acts on, whole, geometry as hex EWKB, with the leaf of each.
-- COLLATE: codes are in order of their bytes, which an as-of function forgets; without it no index on them serves.
WITH target AS (
    SELECT 'building' AS type, b.code, b.rev,
           to_jsonb(b) || jsonb_build_object('geom', encode(ST_AsEWKB(b.geom), 'hex')) AS object
    FROM city.building_at(CAST(:size AS bigint)) b
    WHERE b.code COLLATE "C" = ANY(CAST(:buildings AS text[]))
    UNION ALL
    SELECT 'parcel', p.code, p.rev, to_jsonb(p) || jsonb_build_object('geom', encode(ST_AsEWKB(p.geom), 'hex'))
    FROM city.parcel_at(CAST(:size AS bigint)) p
    WHERE p.code COLLATE "C" = ANY(CAST(:parcels AS text[]))
)
SELECT t.type, t.code,
       (SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
        WHERE r.type = t.type AND r.code = t.code AND r.rev = t.rev) AS leaf,
       t.object
FROM target t
