-- The existing buildings of a scope, one a row: what of each belongs there, what is unknown of it (null) and how much
-- that may be at most (*_most). With `leaves` each has its leaf, looked up in the log one by one, since joined the planner
-- reads all revisions of the type; an object that a branch adds has none. Of all of them, or of `codes` alone.
-- MATERIALIZED: beside the stated cost of ST_Intersects the planner takes a good and a bad join for equals.
WITH parcel AS MATERIALIZED (
    SELECT p.code, p.tenure, m.counted
    FROM city.parcel_at(CAST(:size AS bigint)) p
    CROSS JOIN LATERAL cim.membership(p.geom, CAST(:scope AS geometry), :membership) m
    WHERE ST_Intersects(p.geom, CAST(:scope AS geometry))
      AND coalesce(p.valid_from <= :reference_date, true) AND coalesce(p.valid_to > :reference_date, true)
), located AS (
    SELECT b.*, m.whole, m.part, m.counted
    FROM city.building_at(CAST(:size AS bigint)) b
    CROSS JOIN LATERAL cim.membership(b.geom, CAST(:scope AS geometry), :membership) m
    WHERE ST_Intersects(b.geom, CAST(:scope AS geometry))
      AND (CAST(:codes AS text[]) IS NULL OR b.code COLLATE "C" = ANY(CAST(:codes AS text[])))
    UNION ALL
    -- A building without geometry stands where its parcel lies. OFFSET 0: beside codes to look for the planner would find
    -- what has none in the index of geometries, all of which it goes through.
    SELECT b.*, b.footprint_area, b.footprint_area, true
    FROM parcel p
    JOIN (SELECT * FROM city.building_at(CAST(:size AS bigint)) b WHERE b.geom IS NULL OFFSET 0) b
         ON b.parcel_code = p.code
    WHERE p.counted AND (CAST(:codes AS text[]) IS NULL OR b.code COLLATE "C" = ANY(CAST(:codes AS text[])))
), standing AS MATERIALIZED (
    SELECT b.code, b.rev, b.parcel_code, CASE WHEN b.parcel_code IS NULL THEN b.geom END AS geom, -- or sorts spill to disk
           b.counted, b.usage, b.structure, b.danger_grade, b.year_built,
           b.danger_certificate, b.heritage, b.storeys_above, b.dwellings, b.households,
           cim.millimetres(b.height) AS height,
           cim.square_centimetres(b.whole) AS whole,
           least(cim.square_centimetres(b.part), cim.square_centimetres(b.whole)) AS part,
           cim.square_centimetres(b.gross_floor_area) AS above,
           coalesce(cim.square_centimetres(b.gross_floor_area_below),
                    CASE WHEN b.storeys_below = 0 THEN 0 END) AS below,
           coalesce(b.storeys_below, CAST(:storeys_below_max AS bigint)) AS storeys_below_most,
           coalesce(b.storeys_above, ceil(b.height * 1000 / CAST(:storey_height_min AS bigint))::bigint,
                    CAST(:storeys_max AS bigint)) AS storeys_most
    FROM located b
    WHERE coalesce(b.status = ANY(CAST(:existing AS text[])), CAST(:missing_exists AS boolean))
      AND coalesce(b.valid_from <= :reference_date, true) AND coalesce(b.valid_to > :reference_date, true)
), bounded AS (
    SELECT s.*, coalesce(s.whole * s.storeys_most, CAST(:floor_area_max AS bigint)) AS whole_most,
           coalesce(s.part * s.storeys_most, CAST(:floor_area_max AS bigint)) AS part_most,
           coalesce(s.part * s.storeys_below_most, CAST(:floor_area_max AS bigint)) AS part_below_most
    FROM standing s
    WHERE s.counted OR s.part > 0
), peopled AS (
    SELECT b.*,
           CASE WHEN b.dwellings IS NULL
                THEN coalesce(b.above, b.whole_most) / CAST(:dwelling_area_min AS bigint) END AS dwellings_most
    FROM bounded b
)
SELECT b.code,
       CASE WHEN CAST(:leaves AS boolean) THEN (
           SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
           WHERE r.type = 'building' AND r.code = b.code AND r.rev = b.rev) END AS leaf,
       coalesce(b.parcel_code, beneath.code) AS parcel_code, own.tenure, b.counted, b.usage, b.structure, b.year_built,
       b.danger_grade, b.danger_certificate, b.heritage, b.storeys_above, b.height,
       b.part AS footprint, CASE WHEN b.part IS NULL THEN CAST(:footprint_max AS bigint) ELSE 0 END AS footprint_most,
       cim.share(b.above, b.part, b.whole) AS gfa,
       CASE WHEN b.above IS NULL THEN b.part_most ELSE 0 END AS gfa_most, b.part_most AS floors_most,
       cim.share(b.below, b.part, b.whole) AS gfa_below,
       CASE WHEN b.below IS NULL THEN b.part_below_most ELSE 0 END AS gfa_below_most,
       b.dwellings, coalesce(b.dwellings_most, 0) AS dwellings_most,
       b.households,
       CASE WHEN b.households IS NULL
            THEN coalesce(b.dwellings, b.dwellings_most) * CAST(:households_per_dwelling AS bigint)
            ELSE 0 END AS households_most
FROM peopled b
LEFT JOIN parcel own ON own.code = b.parcel_code
LEFT JOIN LATERAL (
    -- The parcel under a building that names none; one of the scope's, or the answer would read beyond the scope.
    SELECT p.code
    FROM city.parcel_at(CAST(:size AS bigint)) p
    WHERE b.parcel_code IS NULL AND ST_Intersects(p.geom, CAST(:scope AS geometry))
      AND ST_Intersects(p.geom, ST_PointOnSurface(b.geom))
    ORDER BY p.code COLLATE "C" LIMIT 1) beneath ON true
ORDER BY b.code COLLATE "C"
