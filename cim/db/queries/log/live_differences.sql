SELECT t.name AS type, d.code, d.rev, d.problem
FROM cim.feature_type t CROSS JOIN LATERAL cim.live_differences(t.name) d
UNION ALL
SELECT 'identifier', d.* FROM cim.identifier_differences() d
UNION ALL
SELECT 'parcel', d.* FROM cim.parcel_differences() d
ORDER BY type, code
