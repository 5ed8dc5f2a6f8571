-- The known households of some buildings by the tenure of their units, of those valid on the reference date.
SELECT u.building_code, u.tenure, coalesce(sum(u.households), 0)::bigint AS households
FROM city.unit_at(CAST(:size AS bigint)) u
WHERE u.building_code = ANY(CAST(:codes AS text[]))
  AND coalesce(u.valid_from <= :reference_date, true) AND coalesce(u.valid_to > :reference_date, true)
GROUP BY u.building_code, u.tenure
ORDER BY u.building_code COLLATE "C", u.tenure COLLATE "C"
