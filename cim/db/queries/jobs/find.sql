SELECT id, number, kind, process, owner, request, status, begun, message, failure, created, started, finished
FROM cim.job WHERE id = CAST(:id AS uuid)
