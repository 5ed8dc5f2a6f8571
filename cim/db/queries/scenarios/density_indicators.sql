-- Land, footprint, floor area, green of some scopes, each by itself: gross (the whole scope), net (its parcels), and each
-- parcel.
-- Whatever divides these sums does so later. What is unknown is null and has its largest value in *_most; where
-- footprint and floor area of one building are both unknown they move together (both_*).
-- Parcels that lie in the scope with all their buildings are added up already, where all of these count (whole_parcel);
-- those of `aside`, which a proposal acts on, are measured like all others, and those written since `unwritten_since`.
-- MATERIALIZED: beside the stated cost of ST_Intersects the planner takes a good and a bad join for equals. OFFSET 0: a
-- part that is asked for twice would be cut twice.
WITH scope AS MATERIALIZED (
    SELECT s.number, CAST(s.land AS geometry) AS land
    FROM unnest(CAST(:scopes AS text[])) WITH ORDINALITY AS s (land, number)
), whole_parcel AS MATERIALIZED (
    SELECT s.number, w.code, w.land, w.leaf, w.without_status, w.buildings, w.footprint, w.gfa, w.gfa_known,
           w.storeyed + w.unstoreyed * CAST(:storeys_max AS bigint) AS gfa_most
    FROM scope s CROSS JOIN LATERAL cim.whole_parcels(CAST(:unwritten_since AS bigint), s.land) w
    WHERE :gfa_rule = 'above_ground' AND w.code <> ALL (CAST(:aside AS text[]))
      AND w.statuses <@ CAST(:existing AS text[]) AND (w.without_status = 0 OR CAST(:missing_exists AS boolean))
      AND coalesce(w.valid_from <= :reference_date, true) AND coalesce(w.valid_to > :reference_date, true)
), parcel AS MATERIALIZED (
    SELECT s.number, p.code, cim.square_centimetres(m.part) AS land, m.counted,
           CASE WHEN CAST(:explain AS boolean) THEN (
               SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
               WHERE r.type = 'parcel' AND r.code = p.code AND r.rev = p.rev) END AS leaf
    FROM scope s
    JOIN city.parcel_at(CAST(:size AS bigint)) p ON ST_Intersects(p.geom, s.land)
    CROSS JOIN LATERAL (SELECT * FROM cim.membership(p.geom, s.land, :membership) OFFSET 0) m
    WHERE (s.number, p.code) NOT IN (SELECT w.number, w.code FROM whole_parcel w)
      AND coalesce(p.valid_from <= :reference_date, true) AND coalesce(p.valid_to > :reference_date, true)
      AND (m.counted OR cim.square_centimetres(m.part) > 0)
    UNION ALL
    SELECT w.number, w.code, w.land, true, CASE WHEN CAST(:explain AS boolean) THEN w.leaf END FROM whole_parcel w
), located AS (
    SELECT s.number, b.*, m.whole, m.part, m.counted
    FROM scope s
    JOIN city.building_at(CAST(:size AS bigint)) b ON ST_Intersects(b.geom, s.land)
    CROSS JOIN LATERAL cim.membership(b.geom, s.land, :membership) m
    WHERE b.parcel_code IS NULL OR (s.number, b.parcel_code) NOT IN (SELECT w.number, w.code FROM whole_parcel w)
    UNION ALL
    -- A building without geometry stands where its parcel lies.
    SELECT p.number, b.*, b.footprint_area, b.footprint_area, true
    FROM parcel p
    JOIN city.building_at(CAST(:size AS bigint)) b ON b.parcel_code = p.code AND b.geom IS NULL
    WHERE p.counted
), standing AS MATERIALIZED (
    SELECT b.number, b.parcel_code, b.geom, b.counted, b.storeys_above, b.geom IS NULL AS without_geometry,
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
    SELECT f.number, f.counted, f.without_geometry, f.without_status, f.part AS footprint,
           CASE WHEN coalesce(f.parcel_code, beneath.code) IS NOT NULL
                     AND (f.number, coalesce(f.parcel_code, beneath.code)) IN (SELECT p.number, p.code FROM parcel p)
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
        FROM scope s
        JOIN city.parcel_at(CAST(:size AS bigint)) p ON ST_Intersects(p.geom, s.land)
        WHERE s.number = f.number AND f.parcel_code IS NULL AND ST_Intersects(p.geom, ST_PointOnSurface(f.geom))
        ORDER BY p.code COLLATE "C" LIMIT 1) beneath ON true
), added AS (
    -- Sums of each parcel are looked at by nobody who asks for the district.
    SELECT m.number, m.parcel_code IS NOT NULL AS on_parcel, CASE WHEN :level = 'parcel' THEN m.parcel_code END AS parcel_code,
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
    SELECT w.number, true, CASE WHEN :level = 'parcel' THEN w.code END, w.buildings, w.buildings, 0, w.without_status,
           w.footprint, w.buildings, w.gfa, w.gfa_known, w.gfa_known, 0, w.gfa_most, 0, 0
    FROM whole_parcel w
), built AS (
    SELECT CASE WHEN GROUPING(a.parcel_code) = 0 THEN 'parcel'
                WHEN GROUPING(a.on_parcel) = 0 THEN 'net'
                ELSE 'gross' END AS extent,
           a.number, coalesce(a.parcel_code, '') AS code,
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
    GROUP BY GROUPING SETS ((a.number), (a.number, a.on_parcel), (a.number, a.parcel_code))
    HAVING (GROUPING(a.on_parcel) = 1 OR a.on_parcel) AND (GROUPING(a.parcel_code) = 1 OR a.parcel_code IS NOT NULL)
), planted AS MATERIALIZED (
    SELECT s.number, g.code, g.rev, g.counts_as_green,
           CASE WHEN m.part = m.whole THEN g.geom
                ELSE ST_Intersection(CASE WHEN ST_IsValid(g.geom) THEN g.geom ELSE ST_MakeValid(g.geom) END, s.land)
                END AS geom,
           cim.square_centimetres(m.part) AS area
    FROM scope s
    JOIN city.green_space_at(CAST(:size AS bigint)) g ON ST_Intersects(g.geom, s.land)
    CROSS JOIN LATERAL (SELECT * FROM cim.membership(g.geom, s.land, :membership) OFFSET 0) m
    WHERE m.part > 0
), shaded AS MATERIALIZED (
    SELECT g.number, g.code AS green, g.rev, g.counts_as_green, p.code,
           cim.square_centimetres(CASE WHEN ST_Covers(p.geom, g.geom) THEN ST_Area(g.geom)
                                       ELSE ST_Area(ST_Intersection(g.geom, p.geom)) END) AS area
    FROM planted g
    CROSS JOIN LATERAL (
        -- OFFSET 0: a look into the index of parcels for each green, however few the planner takes either for.
        SELECT p.code, p.geom FROM city.parcel_at(CAST(:size AS bigint)) p WHERE ST_Intersects(p.geom, g.geom)
        OFFSET 0) p
    WHERE ((g.number, p.code) IN (SELECT p.number, p.code FROM parcel p)) IS TRUE
), green AS (
    SELECT 'gross' AS extent, g.number, '' AS code, g.code AS green, g.rev, g.counts_as_green, g.area FROM planted g
    UNION ALL
    SELECT 'net', s.number, '', s.green, s.rev, s.counts_as_green, s.area FROM shaded s
    UNION ALL
    SELECT 'parcel', s.number, s.code, s.green, s.rev, s.counts_as_green, s.area FROM shaded s WHERE :level = 'parcel'
), greened AS (
    SELECT g.extent, g.number, g.code,
           count(*) AS green_n, count(g.counts_as_green) AS green_known,
           coalesce(sum(g.area) FILTER (WHERE g.counts_as_green), 0)::bigint AS green,
           coalesce(sum(g.area) FILTER (WHERE g.counts_as_green IS NULL), 0)::bigint AS green_most,
           CASE WHEN CAST(:explain AS boolean) THEN jsonb_agg(jsonb_build_array(g.green, (
               SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
               WHERE r.type = 'green_space' AND r.code = g.green AND r.rev = g.rev), g.counts_as_green, g.area))
               END AS greens
    FROM green g
    WHERE g.area > 0
    GROUP BY 1, 2, 3
), land AS (
    SELECT 'gross' AS extent, s.number, '' AS code, cim.square_centimetres(ST_Area(s.land)) AS land,
           1 AS pieces, NULL::bigint AS leaf
    FROM scope s
    UNION ALL
    SELECT 'net', s.number, '', coalesce(sum(p.land), 0)::bigint, count(p.code), NULL
    FROM scope s LEFT JOIN parcel p ON p.number = s.number
    GROUP BY s.number
    UNION ALL
    SELECT 'parcel', p.number, p.code, p.land, 1, p.leaf FROM parcel p WHERE :level = 'parcel'
), network AS (
    -- A street along the edge of the scope serves both sides: half of it is ours.
    SELECT s.number, count(r.code) AS roads, coalesce(sum(r.length), 0)::bigint AS length,
           CASE WHEN CAST(:explain AS boolean) THEN jsonb_agg(jsonb_build_array(r.code, (
               SELECT l.idx FROM cim.revision v JOIN cim.leaf l ON l.revision_id = v.id
               WHERE v.type = 'road' AND v.code = r.code AND v.rev = r.rev), r.length)) FILTER (WHERE r.code IS NOT NULL) END AS streets
    FROM (SELECT s.number, s.land, ST_Boundary(s.land) AS edge FROM scope s OFFSET 0) s
    LEFT JOIN LATERAL (
        SELECT r.code, r.rev, cim.millimetres(
            ST_Length(ST_Intersection(r.geom, s.land)) - ST_Length(ST_Intersection(r.geom, s.edge)) / 2) AS length
        FROM city.road_at(CAST(:size AS bigint)) r
        WHERE ST_Intersects(r.geom, s.land)
          AND coalesce(r.status = ANY(CAST(:road_status AS text[])), CAST(:road_missing AS boolean))) r ON true
    GROUP BY s.number
)
-- FULL: in all three are the same lands, or fewer; the planner would look for each of many in a loop, expecting few.
SELECT number, extent, nullif(code, '') AS code, l.leaf, l.land, l.pieces, network.roads, network.length, network.streets,
       g.greens, coalesce(b.members, 0) AS members, coalesce(b.n, 0) AS n,
       coalesce(b.without_geometry, 0) AS without_geometry, coalesce(b.without_status, 0) AS without_status,
       coalesce(b.footprint, 0) AS footprint, coalesce(b.footprint_known, 0) AS footprint_known,
       coalesce(b.gfa, 0) AS gfa, coalesce(b.gfa_known, 0) AS gfa_known, coalesce(b.both_known, 0) AS both_known,
       coalesce(b.footprint_most, 0) AS footprint_most, coalesce(b.gfa_most, 0) AS gfa_most,
       coalesce(b.both_footprint_most, 0) AS both_footprint_most, coalesce(b.both_gfa_most, 0) AS both_gfa_most,
       coalesce(g.green_n, 0) AS green_n, coalesce(g.green_known, 0) AS green_known,
       coalesce(g.green, 0) AS green, coalesce(g.green_most, 0) AS green_most
FROM land l
FULL JOIN built b USING (number, extent, code)
FULL JOIN greened g USING (number, extent, code)
JOIN network USING (number)
ORDER BY number, extent, code COLLATE "C"
