-- The new job, unless its owner has as many open ones as may be.
INSERT INTO cim.job (id, kind, process, owner, request)
SELECT CAST(:id AS uuid), :kind, :process, CAST(:owner AS text), CAST(:request AS jsonb)
WHERE (SELECT count(*) FROM cim.job
       WHERE status IN ('accepted', 'running') AND owner IS NOT DISTINCT FROM CAST(:owner AS text)) < :most
