-- Say what names, in their source, the records that were decided upon but not taken.
UPDATE cim.decision d SET source_id = g.source_id
FROM unnest(CAST(:records AS bigint[]), CAST(:source_ids AS text[])) AS g(record, source_id)
WHERE d.dataset = :dataset AND d.layer = :layer AND d.record = g.record;
