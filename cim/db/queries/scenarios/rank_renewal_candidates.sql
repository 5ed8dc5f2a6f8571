-- The existing buildings that count in a scope by how much they are in need of renewal, the first `pool` of them.
-- Each criterion looks its value up in a table of millionths: by an integer, counted from 0, or by a word; null is
-- unknown. score is the weighted mean with the unknown at nothing, score_most with it at its greatest.
WITH located AS MATERIALIZED (
    SELECT b.code, b.rev, b.parcel_code, b.structure, b.danger_grade, b.heritage, b.usage, b.storeys_above, b.has_lift,
           b.has_gas, b.energy_class, cim.square_centimetres(b.gross_floor_area) AS gfa,
           CAST(:reference_year AS bigint) - b.year_built AS age,
           CASE WHEN CAST(:weigh_service AS bigint) > 0 THEN b.geom END AS geom
    FROM city.building_at(CAST(:size AS bigint)) b
    WHERE b.geom && CAST(:scope AS geometry)
      -- On a parcel that lies in the scope with all its buildings none need be looked at.
      AND (b.parcel_code IN (
               SELECT w.code FROM cim.whole_parcels(CAST(:unwritten_since AS bigint), CAST(:scope AS geometry)) w
               WHERE w.code <> ALL (CAST(:aside AS text[])))
           OR ST_Intersects(b.geom, CAST(:scope AS geometry))
              AND (SELECT m.counted FROM cim.membership(b.geom, CAST(:scope AS geometry), :membership) m))
      AND coalesce(b.status = ANY(CAST(:existing AS text[])), CAST(:missing_exists AS boolean))
      AND coalesce(b.valid_from <= :reference_date, true) AND coalesce(b.valid_to > :reference_date, true)
), occupied AS (
    -- Vacant units of a building in per mille; unknown while it is unknown of one.
    SELECT u.building_code, CASE WHEN count(*) = count(u.occupied)
        THEN cim.half_even(count(*) FILTER (WHERE NOT u.occupied) * 1000, count(*)) END AS vacancy
    FROM city.unit_at(CAST(:size AS bigint)) u
    WHERE CAST(:weigh_vacancy AS bigint) > 0 AND u.building_code IN (SELECT code FROM located)
      AND coalesce(u.valid_from <= :reference_date, true) AND coalesce(u.valid_to > :reference_date, true)
    GROUP BY u.building_code
), used AS (
    SELECT l.parcel_code, CASE WHEN count(*) = count(l.gfa) THEN sum(l.gfa)::bigint END AS gfa
    FROM located l
    WHERE CAST(:weigh_slack AS bigint) > 0
    GROUP BY l.parcel_code
), zone AS MATERIALIZED (
    SELECT z.far_cap, z.geom
    FROM city.planning_zone_at(CAST(:size AS bigint)) z
    WHERE CAST(:weigh_slack AS bigint) > 0 AND z.zone_kind = ANY(CAST(:zone_kinds AS text[]))
      AND coalesce(z.effective_from <= :reference_date, true) AND ST_Intersects(z.geom, CAST(:scope AS geometry))
), capped AS MATERIALIZED (
    -- OFFSET 0: one look into the index of parcels for each zone, however few the planner takes either for.
    SELECT p.code, round(min(z.far_cap) * p.area)::bigint AS most
    FROM zone z
    CROSS JOIN LATERAL (
        SELECT p.code, cim.square_centimetres(ST_Area(p.geom)) AS area, ST_PointOnSurface(p.geom) AS point
        FROM city.parcel_at(CAST(:size AS bigint)) p
        WHERE p.geom && z.geom AND ST_Intersects(p.geom, CAST(:scope AS geometry))
        OFFSET 0) p
    WHERE ST_Intersects(z.geom, p.point)
    GROUP BY p.code, p.area
), served AS MATERIALIZED (
    -- Kinds of service out of reach in per mille of them; unknown where a facility of unknown kind may be the missing one.
    SELECT l.code, CASE WHEN missing.kinds = 0 OR NOT EXISTS (
               SELECT FROM city.facility_at(CAST(:size AS bigint)) f
               WHERE f.kind IS NULL AND ST_DWithin(f.geom, l.geom, CAST(:service_ring AS bigint))
                 AND ST_DWithin(f.geom, CAST(:scope AS geometry), CAST(:service_ring AS bigint)))
               THEN cim.half_even(missing.kinds * 1000, cardinality(CAST(:service_kinds AS text[]))) END AS missing
    FROM located l
    CROSS JOIN LATERAL (
        SELECT count(*) AS kinds FROM unnest(CAST(:service_kinds AS text[])) AS k (kind)
        WHERE NOT EXISTS (
            SELECT FROM city.facility_at(CAST(:size AS bigint)) f
            WHERE f.kind = k.kind AND ST_DWithin(f.geom, l.geom, CAST(:service_ring AS bigint))
              AND ST_DWithin(f.geom, CAST(:scope AS geometry), CAST(:service_ring AS bigint)))) missing
    WHERE CAST(:weigh_service AS bigint) > 0
), judged AS (
    -- OFFSET 0: written into what follows, each of these would be looked up half a dozen times.
    SELECT l.code, l.rev, l.danger_grade, l.heritage,
           CASE WHEN l.age >= 0 THEN (CAST(:age AS bigint[]))[least(l.age, cardinality(CAST(:age AS bigint[])) - 1) + 1]
                END AS age,
           (CAST(:structure AS jsonb) ->> l.structure)::bigint AS structure,
           (CAST(:danger AS jsonb) ->> l.danger_grade)::bigint AS danger,
           CASE WHEN NOT l.usage = ANY(CAST(:homes AS text[])) OR l.has_lift
                     OR l.storeys_above < CAST(:lift_storeys AS bigint) THEN 0
                WHEN l.usage = ANY(CAST(:homes AS text[])) AND NOT l.has_lift AND l.storeys_above IS NOT NULL
                THEN (CAST(:lift AS bigint[]))[least(l.storeys_above, cardinality(CAST(:lift AS bigint[])) - 1) + 1]
                END AS lift,
           CASE WHEN NOT l.usage = ANY(CAST(:homes AS text[])) OR l.has_gas THEN 0
                WHEN l.usage = ANY(CAST(:homes AS text[])) AND NOT l.has_gas THEN 1000000 END AS gas,
           (CAST(:energy AS jsonb) ->> l.energy_class)::bigint AS energy,
           (CAST(:vacancy AS bigint[]))[o.vacancy + 1] AS vacancy,
           -- What the parcel may still take of its floor area ratio, in per mille of the limit; unknown with either.
           (CAST(:slack AS bigint[]))[
               CASE WHEN c.most = 0 OR u.gfa >= c.most THEN 0
                    ELSE 1000 - cim.half_even(u.gfa * 1000, c.most) END + 1] AS slack,
           CASE WHEN NOT l.usage = ANY(CAST(:homes AS text[])) THEN 0
                WHEN l.usage = ANY(CAST(:homes AS text[])) THEN (CAST(:service AS bigint[]))[s.missing + 1] END AS service
    FROM located l
    LEFT JOIN served s ON s.code = l.code
    LEFT JOIN occupied o ON o.building_code = l.code
    LEFT JOIN used u ON u.parcel_code = l.parcel_code
    LEFT JOIN capped c ON c.code = l.parcel_code
    OFFSET 0
), weighed AS (
    SELECT j.*,
           coalesce(j.age, 0) * CAST(:weigh_age AS bigint)
           + coalesce(j.structure, 0) * CAST(:weigh_structure AS bigint)
           + coalesce(j.danger, 0) * CAST(:weigh_danger AS bigint) + coalesce(j.lift, 0) * CAST(:weigh_lift AS bigint)
           + coalesce(j.gas, 0) * CAST(:weigh_gas AS bigint) + coalesce(j.energy, 0) * CAST(:weigh_energy AS bigint)
           + coalesce(j.vacancy, 0) * CAST(:weigh_vacancy AS bigint)
           + coalesce(j.slack, 0) * CAST(:weigh_slack AS bigint)
           + coalesce(j.service, 0) * CAST(:weigh_service AS bigint) AS known,
           CASE WHEN j.age IS NULL THEN CAST(:weigh_age AS bigint) ELSE 0 END
           + CASE WHEN j.structure IS NULL THEN CAST(:weigh_structure AS bigint) ELSE 0 END
           + CASE WHEN j.danger IS NULL THEN CAST(:weigh_danger AS bigint) ELSE 0 END
           + CASE WHEN j.lift IS NULL THEN CAST(:weigh_lift AS bigint) ELSE 0 END
           + CASE WHEN j.gas IS NULL THEN CAST(:weigh_gas AS bigint) ELSE 0 END
           + CASE WHEN j.energy IS NULL THEN CAST(:weigh_energy AS bigint) ELSE 0 END
           + CASE WHEN j.vacancy IS NULL THEN CAST(:weigh_vacancy AS bigint) ELSE 0 END
           + CASE WHEN j.slack IS NULL THEN CAST(:weigh_slack AS bigint) ELSE 0 END
           + CASE WHEN j.service IS NULL THEN CAST(:weigh_service AS bigint) ELSE 0 END AS open
    FROM judged j
    OFFSET 0
), scored AS MATERIALIZED (
    SELECT w.*, cim.half_even(w.known, CAST(:weights AS bigint)) AS score,
           cim.half_even(w.known + w.open * 1000000, CAST(:weights AS bigint)) AS score_most
    FROM weighed w
), best AS (
    SELECT s.* FROM scored s ORDER BY s.score DESC, s.code COLLATE "C" LIMIT CAST(:pool AS bigint)
), last AS (
    SELECT min(b.score) AS score FROM (SELECT score FROM best ORDER BY score DESC LIMIT CAST(:top_k AS bigint)) b
)
SELECT b.code, leaf.idx AS leaf, b.danger_grade, b.heritage, b.age, b.structure, b.danger, b.lift, b.gas, b.energy,
       b.vacancy, b.slack, b.service, b.score, b.score_most, n.candidates, n.possible
FROM best b
CROSS JOIN (SELECT count(*) AS candidates, count(*) FILTER (WHERE s.score_most >= last.score) AS possible
            FROM scored s CROSS JOIN last) n
LEFT JOIN cim.revision r ON r.type = 'building' AND r.code = b.code AND r.rev = b.rev
LEFT JOIN cim.leaf leaf ON leaf.revision_id = r.id
ORDER BY b.score DESC, b.code COLLATE "C"
