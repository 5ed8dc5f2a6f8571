-- The objects that a proposal acts on, whole, geometry as hex EWKB.
SELECT 'building' AS type, b.code, to_jsonb(b) || jsonb_build_object('geom', encode(ST_AsEWKB(b.geom), 'hex')) AS object
FROM city.building_at(CAST(:size AS bigint)) b
WHERE b.code = ANY(CAST(:buildings AS text[]))
UNION ALL
SELECT 'parcel', p.code, jsonb_build_object('code', p.code)
FROM city.parcel_at(CAST(:size AS bigint)) p
WHERE p.code = ANY(CAST(:parcels AS text[]))
