-- What is built and planted on parcels of a scope, on the whole of each, and the strictest limits of the development
-- control zones it lies under. Parcels: those of `parcels` and those under the green spaces of `greens`; where
-- `parcels` is null, those whose point on surface lies in the scope. What is unknown has its largest value in *_most.
-- With `explain`, stock and planted list what is summed.
-- Only what lies within reach of the scope is read; `within` tells the parcels of which nothing lies beyond. A scope of
-- many parts is widened only where a parcel leaves it.
-- The planner expects a parcel or two. So sums are MATERIALIZED, or they would be made anew for each parcel; and a
-- building's parcel is looked up in a hash: that is what IN does beside OR, and before IS TRUE.
WITH around AS MATERIALIZED (
    SELECT ST_Buffer(CAST(:scope AS geometry), CAST(:reach AS float8)) AS geom
), parcel AS MATERIALIZED (
    SELECT p.code, p.rev, p.geom, cim.square_centimetres(ST_Area(p.geom)) AS land,
           cim.covers(CAST(:scope AS geometry), p.geom) OR ST_Covers((SELECT geom FROM around), p.geom) AS within
    FROM city.parcel_at(CAST(:size AS bigint)) p
    WHERE ST_Intersects(p.geom, CAST(:scope AS geometry))
      AND coalesce(p.valid_from <= :reference_date, true) AND coalesce(p.valid_to > :reference_date, true)
      AND (CAST(:parcels AS text[]) IS NULL AND ST_Intersects(CAST(:scope AS geometry), ST_PointOnSurface(p.geom))
           OR p.code = ANY(CAST(:parcels AS text[]))
           OR CAST(:greens AS text[]) <> '{}' AND EXISTS (
                      SELECT FROM city.green_space_at(CAST(:size AS bigint)) g
                      WHERE g.code = ANY(CAST(:greens AS text[])) AND ST_Intersects(g.geom, p.geom)))
), located AS (
    SELECT b.code, b.rev, b.parcel_code, b.footprint_area, b.geom, b.gross_floor_area, b.storeys_above, b.height, b.status,
           b.valid_from, b.valid_to
    FROM city.building_at(CAST(:size AS bigint)) b
    WHERE cim.within_reach(b.geom, CAST(:scope AS geometry), CAST(:reach AS float8))
      AND (b.parcel_code IN (SELECT p.code FROM parcel p) OR b.parcel_code IS NULL)
    UNION ALL
    SELECT b.code, b.rev, b.parcel_code, b.footprint_area, b.geom, b.gross_floor_area, b.storeys_above, b.height, b.status,
           b.valid_from, b.valid_to
    FROM city.building_at(CAST(:size AS bigint)) b
    WHERE b.geom IS NULL AND (b.parcel_code IN (SELECT p.code FROM parcel p)) IS TRUE
), standing AS MATERIALIZED (
    SELECT l.code, l.rev, coalesce(l.parcel_code, beneath.code) AS parcel_code,
           CASE WHEN l.geom IS NULL THEN cim.square_centimetres(l.footprint_area)
                ELSE cim.square_centimetres(ST_Area(l.geom)) END AS footprint,
           cim.square_centimetres(l.gross_floor_area) AS gfa,
           coalesce(l.storeys_above, ceil(l.height * 1000 / CAST(:storey_height_min AS bigint))::bigint,
                    CAST(:storeys_max AS bigint)) AS storeys_most
    FROM located l
    LEFT JOIN LATERAL (
        SELECT p.code FROM parcel p
        WHERE l.parcel_code IS NULL AND ST_Intersects(p.geom, ST_PointOnSurface(l.geom))
        ORDER BY p.code COLLATE "C" LIMIT 1) beneath ON true
    WHERE coalesce(l.status = ANY(CAST(:existing AS text[])), CAST(:missing_exists AS boolean))
      AND coalesce(l.valid_from <= :reference_date, true) AND coalesce(l.valid_to > :reference_date, true)
), built AS MATERIALIZED (
    SELECT m.parcel_code, count(*) AS buildings, coalesce(sum(m.footprint), 0)::bigint AS footprint,
           count(m.footprint) AS footprint_known,
           count(*) FILTER (WHERE m.footprint IS NULL) * CAST(:footprint_max AS bigint) AS footprint_most,
           coalesce(sum(m.gfa), 0)::bigint AS gfa, count(m.gfa) AS gfa_known,
           coalesce(sum(coalesce(m.footprint * m.storeys_most, CAST(:floor_area_max AS bigint)))
                    FILTER (WHERE m.gfa IS NULL), 0)::bigint AS gfa_most,
           jsonb_agg(jsonb_build_array(m.code, (
               SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
               WHERE r.type = 'building' AND r.code = m.code AND r.rev = m.rev), m.footprint, m.gfa,
               coalesce(m.footprint * m.storeys_most, CAST(:floor_area_max AS bigint))))
               FILTER (WHERE CAST(:explain AS boolean)) AS stock
    FROM standing m
    GROUP BY m.parcel_code
), planted AS MATERIALIZED (
    SELECT p.code AS parcel_code, count(*) AS greens, count(g.counts_as_green) AS greens_known,
           coalesce(sum(a.area) FILTER (WHERE g.counts_as_green), 0)::bigint AS green,
           coalesce(sum(a.area) FILTER (WHERE g.counts_as_green IS NULL), 0)::bigint AS green_most,
           jsonb_agg(jsonb_build_array(g.code, (
               SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
               WHERE r.type = 'green_space' AND r.code = g.code AND r.rev = g.rev), g.counts_as_green, a.area))
               FILTER (WHERE CAST(:explain AS boolean)) AS planted
    FROM parcel p
    JOIN city.green_space_at(CAST(:size AS bigint)) g ON ST_Intersects(g.geom, p.geom)
    CROSS JOIN LATERAL (SELECT cim.square_centimetres(ST_Area(ST_Intersection(g.geom, p.geom))) AS area) a
    WHERE a.area > 0
    GROUP BY p.code
), zoned AS MATERIALIZED (
    SELECT p.code AS parcel_code, array_agg(z.code ORDER BY z.code COLLATE "C") AS zones,
           min(z.far_cap) AS far_cap, min(z.density_cap) AS density_cap, max(z.green_ratio_min) AS green_ratio_min
    FROM parcel p
    JOIN city.planning_zone_at(CAST(:size AS bigint)) z ON ST_Intersects(z.geom, p.geom)
    WHERE z.zone_kind = ANY(CAST(:zone_kinds AS text[])) AND coalesce(z.effective_from <= :reference_date, true)
      AND CASE WHEN ST_Covers(z.geom, p.geom) THEN true
               ELSE ST_Area(ST_Intersection(z.geom, p.geom)) * 100
                    >= CAST(:overlap_percent AS float8) * ST_Area(p.geom) END
    GROUP BY p.code
)
SELECT p.code,
       (SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
        WHERE r.type = 'parcel' AND r.code = p.code AND r.rev = p.rev) AS leaf,
       p.land, p.within,
       coalesce(b.buildings, 0) AS buildings, coalesce(b.footprint, 0) AS footprint,
       coalesce(b.footprint_known, 0) AS footprint_known, coalesce(b.footprint_most, 0) AS footprint_most,
       coalesce(b.gfa, 0) AS gfa, coalesce(b.gfa_known, 0) AS gfa_known, coalesce(b.gfa_most, 0) AS gfa_most,
       coalesce(g.greens, 0) AS greens, coalesce(g.greens_known, 0) AS greens_known,
       coalesce(g.green, 0) AS green, coalesce(g.green_most, 0) AS green_most, b.stock, g.planted,
       coalesce(z.zones, '{}') AS zones, z.far_cap, z.density_cap, z.green_ratio_min
FROM parcel p
LEFT JOIN built b ON b.parcel_code = p.code
LEFT JOIN planted g ON g.parcel_code = p.code
LEFT JOIN zoned z ON z.parcel_code = p.code
ORDER BY p.code COLLATE "C"
