-- What the land of these codes is called in its record.
SELECT d.name FROM city.renewal_district_at(CAST(:size AS bigint)) d WHERE d.code = ANY(CAST(:codes AS text[]))
UNION ALL
SELECT d.name FROM city.division_at(CAST(:size AS bigint)) d WHERE d.code = ANY(CAST(:codes AS text[]))
