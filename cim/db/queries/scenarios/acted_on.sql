-- The buildings that a proposal acts on, with what an intervention reads or sets of them, geometry as hex EWKB; and which
-- of the parcels that it builds on there are; `meets`: whether it meets the scope. As columns: whole rows as JSON take
-- several times as long.
-- COLLATE: codes are in order of their bytes, which an as-of function forgets; without it no index on them serves.
SELECT 'building' AS type, b.code, b.rev, b.parcel_code, b.status, b.usage, b.danger_grade, b.energy_class,
       b.seismic_intensity, b.has_lift, b.has_gas, b.gross_floor_area, b.storeys_above, b.height, b.dwellings, b.households,
       b.year_demolished, encode(ST_AsEWKB(b.geom), 'hex') AS geom,
       coalesce(ST_Intersects(b.geom, CAST(:scope AS geometry)), false) AS meets
FROM city.building_at(CAST(:size AS bigint)) b
WHERE b.code COLLATE "C" = ANY(CAST(:buildings AS text[]))
UNION ALL
SELECT 'parcel', p.code, p.rev, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       coalesce(ST_Intersects(p.geom, CAST(:scope AS geometry)), false)
FROM city.parcel_at(CAST(:size AS bigint)) p
WHERE p.code COLLATE "C" = ANY(CAST(:parcels AS text[]))
