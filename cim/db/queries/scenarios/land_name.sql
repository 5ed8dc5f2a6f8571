-- What the land of these codes is called in its record, and the leaf of that.
SELECT d.name, (SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
                WHERE r.type = 'renewal_district' AND r.code = d.code AND r.rev = d.rev) AS leaf
FROM city.renewal_district_at(CAST(:size AS bigint)) d WHERE d.code = ANY(CAST(:codes AS text[]))
UNION ALL
SELECT d.name, (SELECT l.idx FROM cim.revision r JOIN cim.leaf l ON l.revision_id = r.id
                WHERE r.type = 'division' AND r.code = d.code AND r.rev = d.rev)
FROM city.division_at(CAST(:size AS bigint)) d WHERE d.code = ANY(CAST(:codes AS text[]))
