UPDATE cim.job
SET status = 'successful', finished = now(), result = :result, media_type = :media_type,
    headers = CAST(:headers AS jsonb), message = NULL
WHERE id = CAST(:id AS uuid) AND status = 'running'
