UPDATE cim.job SET status = 'failed', finished = now(), message = :message, failure = :failure
WHERE id = CAST(:id AS uuid) AND status = 'running'
