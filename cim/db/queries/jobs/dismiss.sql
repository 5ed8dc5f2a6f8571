UPDATE cim.job
SET status = 'dismissed', finished = coalesce(finished, now()), result = NULL, message = 'dismissed'
WHERE id = CAST(:id AS uuid) AND status <> 'dismissed'
