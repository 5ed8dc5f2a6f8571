-- Jobs of an owner. A condition that is null is none; the duration of what was not begun is unknown.
SELECT id, number, kind, process, owner, request, status, begun, message, failure, created, started, finished
FROM cim.job
WHERE owner = :owner
  AND (CAST(:processes AS text[]) IS NULL OR process = ANY (CAST(:processes AS text[])))
  AND (CAST(:statuses AS text[]) IS NULL OR status = ANY (CAST(:statuses AS text[])))
  AND (CAST(:since AS timestamptz) IS NULL OR created >= CAST(:since AS timestamptz))
  AND (CAST(:until AS timestamptz) IS NULL OR created <= CAST(:until AS timestamptz))
  AND (CAST(:shortest AS bigint) IS NULL
       OR extract(epoch FROM coalesce(finished, now()) - started) >= CAST(:shortest AS bigint))
  AND (CAST(:longest AS bigint) IS NULL
       OR extract(epoch FROM coalesce(finished, now()) - started) <= CAST(:longest AS bigint))
ORDER BY number DESC LIMIT :limit
