-- Digest of the state a scenario read: SHA-256 over the lines "type code leaf-index", sorted, of every object of
-- the types read that meets the scope, of the buildings without geometry on its parcels, and of the scope itself.
-- Whatever is added to, changed in or taken from that set changes the digest.
-- MATERIALIZED: beside the stated cost of ST_Intersects the planner takes a good and a bad join for equals.
WITH parcel AS MATERIALIZED (
    SELECT p.code, p.rev
    FROM city.parcel_at(CAST(:size AS bigint)) p
    WHERE 'parcel' = ANY(CAST(:types AS text[])) AND ST_Intersects(p.geom, CAST(:scope AS geometry))
), object AS MATERIALIZED (
    SELECT 'parcel' AS type, p.code, p.rev FROM parcel p
    UNION ALL
    SELECT 'building', b.code, b.rev
    FROM city.building_at(CAST(:size AS bigint)) b
    WHERE 'building' = ANY(CAST(:types AS text[])) AND ST_Intersects(b.geom, CAST(:scope AS geometry))
    UNION ALL
    SELECT 'building', b.code, b.rev
    FROM parcel p JOIN city.building_at(CAST(:size AS bigint)) b ON b.parcel_code = p.code AND b.geom IS NULL
    WHERE 'building' = ANY(CAST(:types AS text[]))
    UNION ALL
    SELECT 'road', r.code, r.rev
    FROM city.road_at(CAST(:size AS bigint)) r
    WHERE 'road' = ANY(CAST(:types AS text[])) AND ST_Intersects(r.geom, CAST(:scope AS geometry))
    UNION ALL
    SELECT 'green_space', g.code, g.rev
    FROM city.green_space_at(CAST(:size AS bigint)) g
    WHERE 'green_space' = ANY(CAST(:types AS text[])) AND ST_Intersects(g.geom, CAST(:scope AS geometry))
    UNION ALL
    SELECT 'renewal_district', d.code, d.rev
    FROM city.renewal_district_at(CAST(:size AS bigint)) d
    WHERE 'renewal_district' = :scope_type AND d.code = ANY(CAST(:scope_codes AS text[]))
    UNION ALL
    SELECT 'division', d.code, d.rev
    FROM city.division_at(CAST(:size AS bigint)) d
    WHERE 'division' = :scope_type AND d.code = ANY(CAST(:scope_codes AS text[]))
)
SELECT count(*) AS objects,
       encode(sha256(convert_to(coalesce(string_agg(
           concat(o.type, ' ', o.code, ' ', l.idx, E'\n'), '' ORDER BY o.type COLLATE "C", o.code COLLATE "C"), ''),
           'UTF8')), 'hex') AS sha256
FROM object o
JOIN cim.revision r ON r.type = o.type AND r.code = o.code AND r.rev = o.rev
JOIN cim.leaf l ON l.revision_id = r.id
