SELECT result, media_type, headers FROM cim.job WHERE id = CAST(:id AS uuid) AND status = 'successful'
