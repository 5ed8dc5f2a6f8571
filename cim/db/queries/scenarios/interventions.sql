-- The records of a proposal's interventions, geometry as hex EWKB.
SELECT to_jsonb(i) || jsonb_build_object('geom', encode(ST_AsEWKB(i.geom), 'hex'))
FROM city.intervention_at(CAST(:size AS bigint)) i
WHERE i.proposal_code = :code
ORDER BY i.phase, i.target COLLATE "C", i.name COLLATE "C"
