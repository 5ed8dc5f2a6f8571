-- Land, footprint, floor area, green of a scope: gross (the whole scope), net (its parcels), and each parcel.
-- Whatever divides these sums does so later. What is unknown is null and has its largest value in *_most; where
-- footprint and floor area of one building are both unknown they move together (both_*).
-- Parcels that lie in the scope with all their buildings are added up already, where all of these count (whole_parcel);
-- those of `aside`, which a proposal acts on, are measured like all others, and those written since `unwritten_since`.
-- MATERIALIZED: beside the stated cost of ST_Intersects the planner takes a good and a bad join for equals.
WITH whole_parcel AS MATERIALIZED (
    SELECT w.*, w.storeyed + w.unstoreyed * CAST(:storeys_max AS bigint) AS gfa_most
    FROM cim.whole_parcels(CAST(:unwritten_since AS bigint), CAST(:scope AS geometry)) w
    WHERE :gfa_rule = 'above_ground' AND w.code <> ALL (CAST(:aside AS text[]))
      AND w.statuses <@ CAST(:existing AS text[]) AND (w.without_status = 0 OR CAST(:missing_exists AS boolean))
      AND coalesce(w.valid_from <= :reference_date, true) AND coalesce(w.valid_to > :reference_date, true)
), parcel AS MATERIALIZED (
    SELECT p.code, cim.square_centimetres(m.part) AS land, m.counted,
           CASE WHEN CAST(:explain AS boolean) THEN (
               SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
               WHERE r.type = 'parcel' AND r.code = p.code AND r.rev = p.rev) END AS leaf
    FROM city.parcel_at(CAST(:size AS bigint)) p
    CROSS JOIN LATERAL cim.membership(p.geom, CAST(:scope AS geometry), :membership) m
    WHERE p.code NOT IN (SELECT w.code FROM whole_parcel w) AND ST_Intersects(p.geom, CAST(:scope AS geometry))
      AND coalesce(p.valid_from <= :reference_date, true) AND coalesce(p.valid_to > :reference_date, true)
      AND (m.counted OR cim.square_centimetres(m.part) > 0)
    UNION ALL
    SELECT w.code, w.land, true, CASE WHEN CAST(:explain AS boolean) THEN w.leaf END FROM whole_parcel w
), located AS (
    SELECT b.*, m.whole, m.part, m.counted
    FROM city.building_at(CAST(:size AS bigint)) b
    CROSS JOIN LATERAL cim.membership(b.geom, CAST(:scope AS geometry), :membership) m
    WHERE coalesce(b.parcel_code NOT IN (SELECT w.code FROM whole_parcel w), true)
      AND ST_Intersects(b.geom, CAST(:scope AS geometry))
    UNION ALL
    -- A building without geometry stands where its parcel lies.
    SELECT b.*, b.footprint_area, b.footprint_area, true
    FROM parcel p
    JOIN city.building_at(CAST(:size AS bigint)) b ON b.parcel_code = p.code AND b.geom IS NULL
    WHERE p.counted
), standing AS MATERIALIZED (
    SELECT b.code, b.parcel_code, b.geom, b.counted, b.storeys_above, b.geom IS NULL AS without_geometry,
           b.status IS NULL AS without_status,
           cim.square_centimetres(b.whole) AS whole,
           least(cim.square_centimetres(b.part), cim.square_centimetres(b.whole)) AS part,
           cim.square_centimetres(b.gross_floor_area) AS above,
           coalesce(cim.square_centimetres(b.gross_floor_area_below),
                    CASE WHEN b.storeys_below = 0 THEN 0 END) AS below,
           coalesce(b.storeys_above, ceil(b.height * 1000 / CAST(:storey_height_min AS bigint))::bigint,
                    CAST(:storeys_max AS bigint)) AS storeys_most,
           coalesce(b.storeys_below, CAST(:storeys_below_max AS bigint)) AS storeys_below_most
    FROM located b
    WHERE coalesce(b.status = ANY(CAST(:existing AS text[])), CAST(:missing_exists AS boolean))
      AND coalesce(b.valid_from <= :reference_date, true) AND coalesce(b.valid_to > :reference_date, true)
), floored AS (
    SELECT s.*,
           cim.share(s.above, s.part, s.whole) AS above_part,
           cim.share(s.below, s.part, s.whole) AS below_part,
           coalesce(s.part * s.storeys_most, CAST(:floor_area_max AS bigint)) AS above_most,
           coalesce(s.part * s.storeys_below_most, CAST(:floor_area_max AS bigint)) AS below_most
    FROM standing s
    WHERE s.counted OR s.part > 0
), measured AS MATERIALIZED (
    -- IN: looked up in a hash, however few parcels the planner expects.
    SELECT f.counted, f.without_geometry, f.without_status, f.part AS footprint,
           CASE WHEN coalesce(f.parcel_code, beneath.code) IN (SELECT p.code FROM parcel p)
                THEN coalesce(f.parcel_code, beneath.code) END AS parcel_code,
           CASE :gfa_rule WHEN 'above_ground' THEN f.above_part
                          WHEN 'with_basement' THEN f.above_part + f.below_part
                          WHEN 'footprint_storeys' THEN f.part * f.storeys_above END AS gfa,
           CASE :gfa_rule WHEN 'with_basement'
                          THEN coalesce(f.above_part, f.above_most) + coalesce(f.below_part, f.below_most)
                          ELSE f.above_most END AS gfa_most
    FROM floored f
    LEFT JOIN LATERAL (
        -- The parcel under a building that names none; one of the scope's, or the answer would read beyond the scope.
        SELECT p.code
        FROM city.parcel_at(CAST(:size AS bigint)) p
        WHERE f.parcel_code IS NULL AND ST_Intersects(p.geom, CAST(:scope AS geometry))
          AND ST_Intersects(p.geom, ST_PointOnSurface(f.geom))
        ORDER BY p.code COLLATE "C" LIMIT 1) beneath ON true
), added AS (
    -- Sums of each parcel are looked at by nobody who asks for the district.
    SELECT m.parcel_code IS NOT NULL AS on_parcel, CASE WHEN :level = 'parcel' THEN m.parcel_code END AS parcel_code,
           1 AS members, m.counted::int AS n, m.without_geometry::int AS without_geometry,
           m.without_status::int AS without_status, m.footprint, (m.footprint IS NOT NULL)::int AS footprint_known,
           m.gfa, (m.gfa IS NOT NULL)::int AS gfa_known,
           (m.footprint IS NOT NULL AND m.gfa IS NOT NULL)::int AS both_known,
           CASE WHEN m.footprint IS NULL AND m.gfa IS NOT NULL THEN CAST(:footprint_max AS bigint) END AS footprint_most,
           CASE WHEN m.footprint IS NOT NULL AND m.gfa IS NULL THEN m.gfa_most END AS gfa_most,
           CASE WHEN m.footprint IS NULL AND m.gfa IS NULL THEN CAST(:footprint_max AS bigint) END AS both_footprint_most,
           CASE WHEN m.footprint IS NULL AND m.gfa IS NULL THEN m.gfa_most END AS both_gfa_most
    FROM measured m
    UNION ALL
    SELECT true, CASE WHEN :level = 'parcel' THEN w.code END, w.buildings, w.buildings, 0, w.without_status,
           w.footprint, w.buildings, w.gfa, w.gfa_known, w.gfa_known, 0, w.gfa_most, 0, 0
    FROM whole_parcel w
), built AS (
    SELECT CASE WHEN GROUPING(a.parcel_code) = 0 THEN 'parcel'
                WHEN GROUPING(a.on_parcel) = 0 THEN 'net'
                ELSE 'gross' END AS extent,
           a.parcel_code AS code, a.on_parcel,
           sum(a.members)::bigint AS members, sum(a.n)::bigint AS n,
           sum(a.without_geometry)::bigint AS without_geometry, sum(a.without_status)::bigint AS without_status,
           coalesce(sum(a.footprint), 0)::bigint AS footprint, sum(a.footprint_known)::bigint AS footprint_known,
           coalesce(sum(a.gfa), 0)::bigint AS gfa, sum(a.gfa_known)::bigint AS gfa_known,
           sum(a.both_known)::bigint AS both_known,
           coalesce(sum(a.footprint_most), 0)::bigint AS footprint_most,
           coalesce(sum(a.gfa_most), 0)::bigint AS gfa_most,
           coalesce(sum(a.both_footprint_most), 0)::bigint AS both_footprint_most,
           coalesce(sum(a.both_gfa_most), 0)::bigint AS both_gfa_most
    FROM added a
    GROUP BY GROUPING SETS ((), (a.on_parcel), (a.parcel_code))
), planted AS MATERIALIZED (
    SELECT g.code, g.rev, g.counts_as_green,
           CASE WHEN m.part = m.whole THEN g.geom
                ELSE ST_Intersection(CASE WHEN ST_IsValid(g.geom) THEN g.geom ELSE ST_MakeValid(g.geom) END,
                                     CAST(:scope AS geometry)) END AS geom,
           cim.square_centimetres(m.part) AS area
    FROM city.green_space_at(CAST(:size AS bigint)) g
    CROSS JOIN LATERAL cim.membership(g.geom, CAST(:scope AS geometry), :membership) m
    WHERE ST_Intersects(g.geom, CAST(:scope AS geometry)) AND m.part > 0
), shaded AS MATERIALIZED (
    SELECT g.code AS green, g.rev, g.counts_as_green, p.code,
           cim.square_centimetres(CASE WHEN ST_Covers(p.geom, g.geom) THEN ST_Area(g.geom)
                                       ELSE ST_Area(ST_Intersection(g.geom, p.geom)) END) AS area
    FROM planted g
    CROSS JOIN LATERAL (
        -- OFFSET 0: a look into the index of parcels for each green, however few the planner takes either for.
        SELECT p.code, p.geom FROM city.parcel_at(CAST(:size AS bigint)) p WHERE ST_Intersects(p.geom, g.geom)
        OFFSET 0) p
    WHERE p.code IN (SELECT p.code FROM parcel p)
), green AS (
    SELECT 'gross' AS extent, NULL AS code, g.code AS green, g.rev, g.counts_as_green, g.area FROM planted g
    UNION ALL
    SELECT 'net', NULL, s.green, s.rev, s.counts_as_green, s.area FROM shaded s
    UNION ALL
    SELECT 'parcel', s.code, s.green, s.rev, s.counts_as_green, s.area FROM shaded s WHERE :level = 'parcel'
), greened AS (
    SELECT g.extent, g.code,
           count(*) AS green_n, count(g.counts_as_green) AS green_known,
           coalesce(sum(g.area) FILTER (WHERE g.counts_as_green), 0)::bigint AS green,
           coalesce(sum(g.area) FILTER (WHERE g.counts_as_green IS NULL), 0)::bigint AS green_most,
           CASE WHEN CAST(:explain AS boolean) THEN jsonb_agg(jsonb_build_array(g.green, (
               SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
               WHERE r.type = 'green_space' AND r.code = g.green AND r.rev = g.rev), g.counts_as_green, g.area))
               END AS greens
    FROM green g
    WHERE g.area > 0
    GROUP BY 1, 2
), land AS (
    SELECT 'gross' AS extent, NULL AS code, cim.square_centimetres(ST_Area(CAST(:scope AS geometry))) AS land,
           1 AS pieces, NULL::bigint AS leaf
    UNION ALL
    SELECT 'net', NULL, coalesce(sum(p.land), 0)::bigint, count(*), NULL FROM parcel p
    UNION ALL
    SELECT 'parcel', p.code, p.land, 1, p.leaf FROM parcel p WHERE :level = 'parcel'
), network AS (
    -- A street along the edge of the scope serves both sides: half of it is ours.
    SELECT count(*) AS roads, coalesce(sum(r.length), 0)::bigint AS length,
           CASE WHEN CAST(:explain AS boolean) THEN jsonb_agg(jsonb_build_array(r.code, (
               SELECT l.idx FROM cim.revision v JOIN cim.leaf l ON l.revision_id = v.id
               WHERE v.type = 'road' AND v.code = r.code AND v.rev = r.rev), r.length)) END AS streets
    FROM (
        SELECT r.code, r.rev, cim.millimetres(
            ST_Length(ST_Intersection(r.geom, CAST(:scope AS geometry)))
            - ST_Length(ST_Intersection(r.geom, ST_Boundary(CAST(:scope AS geometry)))) / 2) AS length
        FROM city.road_at(CAST(:size AS bigint)) r
        WHERE ST_Intersects(r.geom, CAST(:scope AS geometry))
          AND coalesce(r.status = ANY(CAST(:road_status AS text[])), CAST(:road_missing AS boolean))) r
)
SELECT l.extent, l.code, l.leaf, l.land, l.pieces, network.roads, network.length, network.streets, g.greens,
       coalesce(b.members, 0) AS members, coalesce(b.n, 0) AS n,
       coalesce(b.without_geometry, 0) AS without_geometry, coalesce(b.without_status, 0) AS without_status,
       coalesce(b.footprint, 0) AS footprint, coalesce(b.footprint_known, 0) AS footprint_known,
       coalesce(b.gfa, 0) AS gfa, coalesce(b.gfa_known, 0) AS gfa_known, coalesce(b.both_known, 0) AS both_known,
       coalesce(b.footprint_most, 0) AS footprint_most, coalesce(b.gfa_most, 0) AS gfa_most,
       coalesce(b.both_footprint_most, 0) AS both_footprint_most, coalesce(b.both_gfa_most, 0) AS both_gfa_most,
       coalesce(g.green_n, 0) AS green_n, coalesce(g.green_known, 0) AS green_known,
       coalesce(g.green, 0) AS green, coalesce(g.green_most, 0) AS green_most
FROM land l
CROSS JOIN network
LEFT JOIN built b ON b.extent = l.extent AND (l.extent <> 'net' OR b.on_parcel)
    AND b.code IS NOT DISTINCT FROM l.code
LEFT JOIN greened g ON g.extent = l.extent AND g.code IS NOT DISTINCT FROM l.code
ORDER BY l.extent, l.code COLLATE "C"
