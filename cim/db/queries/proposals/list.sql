-- The record of every proposal, with how many interventions it has.
SELECT to_jsonb(p) - 'geom' || jsonb_build_object('interventions',
           (SELECT count(*) FROM city.intervention i WHERE i.proposal_code = p.code))
FROM city.proposal p
ORDER BY p.code COLLATE "C"
