SELECT id, number, kind, process, owner, request, status, begun, message, failure, created, started, finished
FROM cim.job WHERE owner = :owner ORDER BY number DESC LIMIT :limit
