-- The record of a proposal.
SELECT to_jsonb(p) - 'geom' FROM city.proposal_at(CAST(:size AS bigint)) p WHERE p.code = :code
