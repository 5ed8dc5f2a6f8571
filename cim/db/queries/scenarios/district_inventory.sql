-- The building stock of a scope, in one pass: in total, by each dimension, crossed, by year built, and by object.
-- Areas belong by share, counts by the point on surface. What is unknown is null and has its largest value in *_most.
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
    UNION ALL
    -- A building without geometry stands where its parcel lies. OFFSET 0: beside codes to look for the planner would find
    -- what has none in the index of geometries, all of which it goes through.
    SELECT b.*, b.footprint_area, b.footprint_area, true
    FROM parcel p
    JOIN (SELECT * FROM city.building_at(CAST(:size AS bigint)) b WHERE b.geom IS NULL OFFSET 0) b
         ON b.parcel_code = p.code
    WHERE p.counted
), standing AS MATERIALIZED (
    SELECT b.code, b.parcel_code, b.usage, b.structure, b.danger_grade, b.storeys_above, b.dwellings, b.households,
           b.counted, b.geom IS NULL AS without_geometry, b.status IS NULL AS without_status,
           CASE WHEN b.year_built <= CAST(:reference_year AS bigint) THEN b.year_built END AS built,
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
      AND (CAST(:codes AS text[]) IS NULL OR b.code = ANY(CAST(:codes AS text[])))
), bounded AS (
    SELECT s.*,
           coalesce(s.whole * s.storeys_most, CAST(:floor_area_max AS bigint)) AS whole_most,
           coalesce(s.part * s.storeys_most, CAST(:floor_area_max AS bigint)) AS part_most,
           coalesce(s.part * s.storeys_below_most, CAST(:floor_area_max AS bigint)) AS part_below_most
    FROM standing s
    WHERE s.counted OR s.part > 0
), measured AS (
    SELECT b.code, b.counted, b.without_geometry, b.without_status, b.built, b.structure, b.usage,
           b.danger_grade AS danger, p.tenure,
           b.built - mod(b.built - CAST(:decade_origin AS bigint), CAST(:decade_years AS bigint)) AS decade,
           width_bucket(b.storeys_above, CAST(:class_starts AS bigint[]))::bigint AS height_class,
           b.part AS footprint, CASE WHEN b.part IS NULL THEN CAST(:footprint_max AS bigint) END AS footprint_most,
           cim.share(b.above, b.part, b.whole) AS above, CASE WHEN b.above IS NULL THEN b.part_most END AS above_most,
           cim.share(b.below, b.part, b.whole) AS below,
           CASE WHEN b.below IS NULL THEN b.part_below_most END AS below_most,
           b.dwellings, b.households,
           CASE WHEN b.dwellings IS NULL
                THEN coalesce(b.above, b.whole_most) / CAST(:dwelling_area_min AS bigint) END AS dwellings_most,
           b.usage = ANY(CAST(:old_usage AS text[])) AND b.built <= CAST(:old_year AS bigint) AS old
    FROM bounded b LEFT JOIN parcel p ON p.code = b.parcel_code
), crossed AS (
    SELECT m.*,
           CASE WHEN m.households IS NULL
                THEN coalesce(m.dwellings, m.dwellings_most) * CAST(:households_per_dwelling AS bigint)
                END AS households_most,
           CASE WHEN 'decade' = ANY(CAST(:group_by AS text[])) THEN m.decade END AS x_decade,
           CASE WHEN 'structure' = ANY(CAST(:group_by AS text[])) THEN m.structure END AS x_structure,
           CASE WHEN 'usage' = ANY(CAST(:group_by AS text[])) THEN m.usage END AS x_usage,
           CASE WHEN 'height_class' = ANY(CAST(:group_by AS text[])) THEN m.height_class END AS x_height_class,
           CASE WHEN 'danger' = ANY(CAST(:group_by AS text[])) THEN m.danger END AS x_danger,
           CASE WHEN 'tenure' = ANY(CAST(:group_by AS text[])) THEN m.tenure END AS x_tenure
    FROM measured m
)
SELECT CASE WHEN GROUPING(c.code) = 0 THEN 'object'
            WHEN GROUPING(c.x_decade) = 0 THEN 'cross'
            WHEN GROUPING(c.built) = 0 THEN 'built'
            WHEN GROUPING(c.decade) = 0 THEN 'decade'
            WHEN GROUPING(c.structure) = 0 THEN 'structure'
            WHEN GROUPING(c.usage) = 0 THEN 'usage'
            WHEN GROUPING(c.height_class) = 0 THEN 'height_class'
            WHEN GROUPING(c.danger) = 0 THEN 'danger'
            WHEN GROUPING(c.tenure) = 0 THEN 'tenure'
            ELSE 'total' END AS grouped,
       c.code, c.built,
       coalesce(c.decade, c.x_decade) AS decade,
       coalesce(c.structure, c.x_structure) AS structure,
       coalesce(c.usage, c.x_usage) AS usage,
       coalesce(c.height_class, c.x_height_class) AS height_class,
       coalesce(c.danger, c.x_danger) AS danger,
       coalesce(c.tenure, c.x_tenure) AS tenure,
       count(*) AS members,
       count(*) FILTER (WHERE c.counted) AS n,
       count(*) FILTER (WHERE c.without_geometry) AS without_geometry,
       count(*) FILTER (WHERE c.without_status) AS without_status,
       coalesce(sum(c.footprint), 0)::bigint AS footprint,
       count(c.footprint) AS footprint_known,
       coalesce(sum(c.footprint_most), 0)::bigint AS footprint_most,
       coalesce(sum(c.above), 0)::bigint AS gfa_above,
       count(c.above) AS gfa_above_known,
       coalesce(sum(c.above_most), 0)::bigint AS gfa_above_most,
       coalesce(sum(c.below), 0)::bigint AS gfa_below,
       count(c.below) AS gfa_below_known,
       coalesce(sum(c.below_most), 0)::bigint AS gfa_below_most,
       coalesce(sum(c.dwellings) FILTER (WHERE c.counted), 0)::bigint AS dwellings,
       count(c.dwellings) FILTER (WHERE c.counted) AS dwellings_known,
       coalesce(sum(c.dwellings_most) FILTER (WHERE c.counted), 0)::bigint AS dwellings_most,
       coalesce(sum(c.households) FILTER (WHERE c.counted), 0)::bigint AS households,
       count(c.households) FILTER (WHERE c.counted) AS households_known,
       coalesce(sum(c.households_most) FILTER (WHERE c.counted), 0)::bigint AS households_most,
       count(*) FILTER (WHERE c.counted AND c.old) AS old,
       count(c.old) FILTER (WHERE c.counted) AS old_known,
       count(*) FILTER (WHERE c.counted AND c.old IS NULL) AS old_most,
       coalesce(sum(c.above) FILTER (WHERE c.old), 0)::bigint AS old_gfa,
       count(*) FILTER (WHERE NOT c.old OR (c.old AND c.above IS NOT NULL)) AS old_gfa_known,
       coalesce(sum(CASE WHEN c.old THEN c.above_most
                         WHEN c.old IS NULL THEN coalesce(c.above, c.above_most) END), 0)::bigint AS old_gfa_most
FROM crossed c
GROUP BY GROUPING SETS (
    (), (c.built), (c.decade), (c.structure), (c.usage), (c.height_class), (c.danger), (c.tenure),
    (c.x_decade, c.x_structure, c.x_usage, c.x_height_class, c.x_danger, c.x_tenure),
    (c.code, c.decade, c.structure, c.usage, c.height_class, c.danger, c.tenure))
HAVING GROUPING(c.code) = 1 OR CAST(:list_objects AS boolean)
ORDER BY grouped, c.code COLLATE "C", c.built, 4, 5, 6, 7, 8, 9
